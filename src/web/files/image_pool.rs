//! Blocking work on images, bounded.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::picture::PictureError;
use crate::web::problem::Problem;

/// Images encoded or decoded at once: bounds memory and leaves the processor to the model.
const MAX_RUNNING: usize = 2;

/// Runs work on images on threads that may block, a few at a time. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct ImagePool(Arc<Semaphore>);

impl Default for ImagePool {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_RUNNING)))
    }
}

impl ImagePool {
    /// Runs `work` when a permit is free. Once started it runs to its end and keeps its permit, even where the client has
    /// disconnected: a blocking thread can't be stopped.
    ///
    /// # Errors
    /// 500 where it fails: the images it works on are the server's own.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.0).acquire_owned().await;
        let work = move || {
            let _permit = permit;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(Problem::internal("The picture could not be made.", &error)),
            Err(error) => Err(Problem::internal("The picture could not be made.", &error)),
        }
    }
}
