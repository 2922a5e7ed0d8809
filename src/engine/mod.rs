//! The engine: jobs in, events out. Between the two, one thread that owns the device and draws the images of many
//! jobs together.
//!
//! In RDPM a step costs the same whatever its timestep, so images needn't start or end together: up to
//! [`Options::max_batch`] of them are in flight, each at its own timestep, and between two steps finished ones leave,
//! waiting ones join and those of canceled jobs are dropped.
//!
//! What belongs here: jobs and their event logs, the queue, the worker thread and what happens when it fails. What
//! doesn't: tensors (a [`Backend`] has them) and HTTP (`web` has it).
//!
//! A job ends exactly once, with [`Event::Completed`], [`Event::Failed`] or [`Event::Canceled`], whatever happens to
//! the worker. All changes of a job's state go through one lock and nothing is appended after an end.
//!
//! Reading order: `job` (what a job is and how it changes), `store` (which ones are remembered), `queue` (which image is
//! drawn next), `worker` (the thread), `recovery` (what it does after a fault).

mod backend;
mod job;
mod queue;
mod recovery;
mod request;
mod shared;
mod store;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

pub use backend::{Backend, ModelInfo};
pub use job::{Event, Finished, JobId, Progress, Snapshot, Status, StepImage, Subscription};
pub use request::{MAX_COUNT, Request, SEED_MAX};

use job::End;
use shared::Shared;
use worker::Worker;

/// How an engine runs. Start from [`Options::default`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Images in flight at most, 1 or more. Default 16.
    pub max_batch: usize,
    /// Images that may wait for a place in the batch, counted over all jobs. An empty queue takes any one job,
    /// also one that is larger than this. Default 256.
    pub max_queue: usize,
    /// How long an ended job stays readable. Default 10 minutes.
    pub retention: Duration,
    /// How many ended jobs stay readable; the oldest goes first. Default 256. A job of 16 images of 28 × 28 with all
    /// its steps takes about 0.3 MB.
    pub max_finished: usize,
    /// So many failed batches or failed attempts to load the model in a row turn readiness off. Default 3.
    pub max_failures: u32,
    /// Pause before the model is loaded again after a failed attempt; doubles up to 32 times this. Default 1 second.
    pub retry_delay: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_batch: 16,
            max_queue: 256,
            retention: Duration::from_secs(600),
            max_finished: 256,
            max_failures: 3,
            retry_delay: Duration::from_secs(1),
        }
    }
}

/// Why an engine didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("{option} is {value}; allowed: {allowed}")]
    Option { option: &'static str, value: usize, allowed: &'static str },
    /// The operating system gave no thread.
    #[error("the worker thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The model could not be loaded, or its first step failed.
    #[error(transparent)]
    Model(#[from] crate::model::ModelError),
    /// Loading or the first step panicked.
    #[error("the model panicked while it was loaded: {0}")]
    Panicked(String),
    /// The backend broke its contract in the first step.
    #[error("the model is unusable: {0}")]
    Backend(String),
}

/// Why a request wasn't accepted. Nothing of it is kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The queue is full.
    #[error("the queue is full: {waiting} images are waiting")]
    Full {
        /// Images waiting.
        waiting: usize,
        /// When there should be room, from measured step times; 1 second or more.
        retry_after: Duration,
    },
    /// The model failed repeatedly and is being loaded again.
    #[error("the model is not ready")]
    NotReady {
        /// When the next attempt is due; 1 second or more.
        retry_after: Duration,
    },
    /// [`Engine::shutdown`] was called.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

/// A handle to a running engine. Dropping it stops the worker without waiting for it.
pub struct Engine {
    shared: Arc<Shared>,
    info: ModelInfo,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Starts the worker thread, loads the model on it by calling `factory` there, takes one trial step and waits for
    /// all that. The factory is called again after a fault, so it must be able to make a model repeatedly.
    ///
    /// # Errors
    /// [`StartError`]: an option out of range, no thread, or a model that can't be loaded or can't step.
    pub fn start<B, F>(options: Options, factory: F) -> Result<Self, StartError>
    where
        B: Backend + 'static,
        F: FnMut() -> Result<B, crate::model::ModelError> + Send + 'static,
    {
        if options.max_batch == 0 {
            return Err(StartError::Option { option: "max_batch", value: 0, allowed: "1 or more" });
        }
        let shared = Arc::new(Shared::new(options));
        let (sender, loaded) = std::sync::mpsc::sync_channel(1);
        let worker_shared = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("rdpm-worker".into()).spawn(move || {
            // Whatever ends this thread, a bug included, no job may be left without an end.
            let _closing = shared::Closing(Arc::clone(&worker_shared));
            match Worker::load(worker_shared, factory) {
                Ok((worker, backend, info)) => {
                    let _ = sender.send(Ok(info));
                    worker.run(backend);
                }
                Err(fault) => {
                    let _ = sender.send(Err(fault));
                }
            }
        })?;
        let info = loaded.recv().map_err(|_| StartError::Panicked("the worker thread ended".into()))??;
        Ok(Self { shared, info, thread: Mutex::new(Some(thread)) })
    }

    /// What is being served.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Queues a job. Its first event is [`Event::Queued`].
    ///
    /// # Errors
    /// [`SubmitError`]: the queue is full, the model isn't ready, or the engine is shutting down.
    pub fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        self.shared.submit(request)
    }

    /// The state of a job, or `None` where there is no such job (any more).
    pub fn get(&self, id: JobId) -> Option<Snapshot> {
        let job = self.shared.store.get(id)?;
        Some(job.snapshot(self.shared.position(id)))
    }

    /// The events of a job after number `after` (0: all of them), past ones first and then live until its end.
    /// `None` where there is no such job (any more).
    pub fn subscribe(&self, id: JobId, after: u64) -> Option<Subscription> {
        self.shared.store.get(id).map(|job| Subscription::new(job, after))
    }

    /// Cancels a job; images that are already finished are kept. An ended job stays as it is. `None` where there is
    /// no such job (any more), otherwise its state, which is an end.
    pub fn cancel(&self, id: JobId) -> Option<Snapshot> {
        let job = self.shared.store.get(id)?;
        self.shared.end(&job, End::Canceled);
        Some(job.snapshot(None))
    }

    /// Whether jobs are accepted (there may still be no room in the queue).
    ///
    /// # Errors
    /// [`SubmitError::NotReady`] or [`SubmitError::ShuttingDown`].
    pub fn ready(&self) -> Result<(), SubmitError> {
        self.shared.ready()
    }

    /// Whether the worker thread runs. It ends by [`Engine::shutdown`] only, or by a bug.
    pub fn is_alive(&self) -> bool {
        self.thread.lock().as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops accepting jobs, gives those that are there `drain` to end by themselves, fails the rest, and joins the
    /// thread, which takes up to one step more. Blocks for so long. A second call does nothing.
    pub fn shutdown(&self, drain: Duration) {
        self.shared.stop_admitting();
        self.shared.store.wait_until_idle(drain);
        self.shared.close();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the worker thread had panicked");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("model", &self.info.config.name).finish_non_exhaustive()
    }
}
