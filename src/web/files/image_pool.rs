//! Blocking work on images, bounded in number, memory and waiting.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::picture::PictureError;
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
            small: BoundedQueue::new(SMALL_RUNNING, SMALL_WAITING),
            large: BoundedQueue::new(LARGE_RUNNING, LARGE_WAITING),
        }
    }
}

impl ImagePool {
    /// Runs `work`, which takes `memory` bytes, when there is a free place. Once started it runs to its end and keeps its
    /// place, even where the client has disconnected: a blocking thread can't be stopped.
    ///
    /// # Errors
    /// 503 where too many wait already, 500 where the work fails: the images it works on are the server's own.
    pub async fn run<T: Send + 'static>(
        &self,
        memory: u64,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        let queue = if memory > LARGE { &self.large } else { &self.small };
        queue.run(work).await
    }
}

#[derive(Debug, Clone)]
struct BoundedQueue {
    /// Those that run or wait.
    admitted: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl BoundedQueue {
    fn new(running: usize, waiting: usize) -> Self {
        Self {
            admitted: Arc::new(Semaphore::new(running + waiting)),
            running: Arc::new(Semaphore::new(running)),
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned();
        let admitted = admitted.map_err(|_| Problem::too_many_pictures())?;
        // The semaphore is never closed.
        let running = Arc::clone(&self.running).acquire_owned().await;
        let work = move || {
            let _permits = (admitted, running);
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(Problem::internal("The picture could not be made.", &error)),
            Err(error) => Err(Problem::internal("The picture could not be made.", &error)),
        }
    }
}
