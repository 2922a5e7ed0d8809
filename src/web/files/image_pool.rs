//! Blocking work on images, bounded in number, memory and waiting, and shared fairly between clients.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::picture::PictureError;
use crate::web::access::{ClientPermits, KeyedSemaphores, LimitKey};
use crate::web::background;
use crate::web::problem::Problem;

/// The bounds of work of one size.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Bytes that it takes at most.
    memory: u64,
    /// At once.
    running: usize,
    /// Beside those that run.
    waiting: usize,
    /// Whether it runs on [background] threads.
    is_background: bool,
}

/// A picture of 640 x 640 pixels: takes milliseconds, and somebody looks at a page that waits for it.
const SMALL: Bounds = Bounds { memory: 4 << 20, running: 2, waiting: 64, is_background: false };
/// Sheets and animations.
const MEDIUM: Bounds = Bounds { memory: 8 << 20, running: 1, waiting: 32, is_background: true };
/// One at once, since it takes up to hundreds of mebibytes; the last one waits for a few seconds.
const LARGE: Bounds = Bounds { memory: u64::MAX, running: 1, waiting: 8, is_background: true };

/// Bytes that the work of a pool takes at most, if large work takes at most `large`.
pub(in crate::web) const fn pool_memory(large: u64) -> u64 {
    SMALL.running as u64 * SMALL.memory + MEDIUM.running as u64 * MEDIUM.memory + LARGE.running as u64 * large
}

/// Runs work on images on threads that may block: work does not wait for larger work. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct ImagePool {
    /// By rising size.
    queues: [BoundedQueue; 3],
}

impl Default for ImagePool {
    fn default() -> Self {
        Self { queues: [SMALL, MEDIUM, LARGE].map(BoundedQueue::new) }
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
        let [smaller @ .., largest] = &self.queues;
        let queue = smaller.iter().find(|queue| memory <= queue.bounds.memory).unwrap_or(largest);
        queue.run(client, work).await
    }
}

#[derive(Debug, Clone)]
struct BoundedQueue {
    bounds: Bounds,
    /// Those that run or wait; half of them for each client.
    admitted: Arc<ClientPermits<LimitKey>>,
    running: Arc<Semaphore>,
    /// Of each client as many as may run at once wait for a place beside other clients' work; the rest waits behind them. So
    /// nobody waits for more than a few works of each other client.
    next_of_client: Arc<KeyedSemaphores<LimitKey>>,
}

impl BoundedQueue {
    fn new(bounds: Bounds) -> Self {
        let admitted = bounds.running + bounds.waiting;
        Self {
            admitted: Arc::new(ClientPermits::new(admitted, admitted.div_ceil(2))),
            running: Arc::new(Semaphore::new(bounds.running)),
            next_of_client: Arc::new(KeyedSemaphores::new(bounds.running)),
            bounds,
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
        let result = if self.bounds.is_background {
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
    async fn work_does_not_wait_for_larger_work() {
        let pool = ImagePool::default();
        let (started, has_started) = std::sync::mpsc::channel();
        let ends: Vec<_> = [8 << 20, 9 << 20]
            .map(|memory| {
                let (pool, started, (end, ended)) =
                    (pool.clone(), started.clone(), std::sync::mpsc::channel());
                let work = move || {
                    started.send(()).unwrap();
                    ended.recv().unwrap();
                    Ok(())
                };
                (end, tokio::spawn(async move { pool.run(&client(1), memory, work).await.is_ok() }))
            })
            .into();
        let wait = move || (has_started.recv().unwrap(), has_started.recv().unwrap());
        tokio::task::spawn_blocking(wait).await.unwrap();
        assert!(pool.run(&client(1), 4 << 20, || Ok(())).await.is_ok());
        for (end, work) in ends {
            assert!(!work.is_finished());
            end.send(()).unwrap();
            assert!(work.await.unwrap());
        }
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
