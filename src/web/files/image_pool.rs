//! Blocking work on images, bounded in number, memory and waiting, and shared fairly between clients.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::picture::PictureError;
use crate::web::access::{ClientPermits, KeyedSemaphores, LimitKey};
use crate::web::background;
use crate::web::problem::Problem;

/// Work that takes more memory than this, in bytes, is large.
pub(in crate::web) const LARGE: u64 = 8 << 20;
/// Small work at once: leaves the processor to the model.
pub(in crate::web) const SMALL_RUNNING: usize = 2;
/// Small work that may wait.
const SMALL_WAITING: usize = 64;
/// Large work at once: bounds the memory.
pub(in crate::web) const LARGE_RUNNING: usize = 1;
/// Large work that may wait: the last one waits for a few seconds.
const LARGE_WAITING: usize = 8;

/// Runs work on images on threads that may block: small work does not wait for large work. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct ImagePool {
    small: BoundedQueue,
    large: BoundedQueue,
}

impl Default for ImagePool {
    fn default() -> Self {
        Self {
            small: BoundedQueue::new(SMALL_RUNNING, SMALL_WAITING, false),
            large: BoundedQueue::new(LARGE_RUNNING, LARGE_WAITING, true),
        }
    }
}

impl ImagePool {
    /// Runs `work` of a client, which takes `memory` bytes, when there is a free place. Once started it runs to its end and
    /// keeps its place, even where the client has disconnected: a blocking thread can't be stopped.
    ///
    /// # Errors
    /// 503 where too many wait already, in all or of this client; 500 where the work fails: the images it works on are the
    /// server's own.
    pub async fn run<T: Send + 'static>(
        &self,
        client: &LimitKey,
        memory: u64,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        let queue = if memory > LARGE { &self.large } else { &self.small };
        queue.run(client, work).await
    }
}

#[derive(Debug, Clone)]
struct BoundedQueue {
    /// Those that run or wait; half of them for each client.
    admitted: Arc<ClientPermits<LimitKey>>,
    running: Arc<Semaphore>,
    /// Of each client as many as may run at once wait for a place beside other clients' work; the rest waits behind them. So
    /// nobody waits for more than a few works of each other client.
    next_of_client: Arc<KeyedSemaphores<LimitKey>>,
    /// Whether it runs on [background] threads.
    is_background: bool,
}

impl BoundedQueue {
    fn new(running: usize, waiting: usize, is_background: bool) -> Self {
        Self {
            is_background,
            admitted: Arc::new(ClientPermits::new(running + waiting, (running + waiting).div_ceil(2))),
            running: Arc::new(Semaphore::new(running)),
            next_of_client: Arc::new(KeyedSemaphores::new(running)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        client: &LimitKey,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        let admitted = self.admitted.try_acquire(client.clone()).ok_or_else(Problem::too_many_pictures)?;
        // The semaphores are never closed.
        let next = self.next_of_client.get(client.clone()).acquire_owned().await;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let work = move || {
            let _permits = (admitted, next, running);
            work()
        };
        const FAILED: &str = "The picture could not be made.";
        let result = if self.is_background {
            background::run(work).await.map_err(|error| Problem::internal(FAILED, &error))?
        } else {
            let result = tokio::task::spawn_blocking(work).await;
            result.map_err(|error| Problem::internal(FAILED, &error))?
        };
        result.map_err(|error| Problem::internal(FAILED, &error))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Mutex;
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    fn client(number: u8) -> LimitKey {
        LimitKey::Network(Some(IpAddr::from([127, 0, 0, number])))
    }

    #[tokio::test]
    async fn a_client_with_much_work_leaves_places_and_turns_to_others() {
        let pool = ImagePool::default();
        let order = Arc::new(Mutex::new(Vec::new()));
        let run = |number: u8| {
            let (pool, order) = (pool.clone(), Arc::clone(&order));
            async move {
                let work = move || {
                    std::thread::sleep(Duration::from_millis(5));
                    order.lock().unwrap().push(number);
                    Ok(())
                };
                pool.run(&client(number), 0, work).await.is_ok()
            }
        };
        // The futures of the first client are polled before those of the second.
        let works = (0..100).map(|_| run(1)).chain((0..5).map(|_| run(2)));
        let done = join_all(works).await;
        let served = |works: &[bool]| works.iter().filter(|&&done| done).count();
        assert_eq!((served(&done[..100]), served(&done[100..])), (33, 5));
        // In turn, not after all works of the first client.
        let order = order.lock().unwrap();
        let last = order.iter().rposition(|&number| number == 2).unwrap();
        assert!(last < 20, "{order:?}");
    }
}
