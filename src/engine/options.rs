//! How an engine runs.

use std::time::Duration;

/// How an engine runs. Start from [`Options::default`].
#[derive(Debug, Clone)]
pub struct Options {
    /// When models are loaded. Default at the start.
    pub loading: Loading,
    /// Images in flight on a device at most, those of all models together, 1 or more. Default 16.
    pub max_batch: usize,
    /// When images join a batch. Default between steps.
    pub batching: Batching,
    /// Images that may wait for a place in the batch, counted over all jobs. An empty queue takes any one job,
    /// also one that is larger than this. Default 256.
    pub max_queue: usize,
    /// How long an ended job stays readable. Default 10 minutes.
    pub retention: Duration,
    /// How many ended jobs stay readable; the oldest goes first. Default 256.
    pub max_finished: usize,
    /// How many bytes the logs and images of ended jobs may take, about; the oldest goes first, the newest stays. Default
    /// 256 MiB. A job of 16 images with all its steps takes 0.3 MB at 28 × 28 in grey, 3 MB at 64 × 64 in colour.
    pub max_finished_bytes: usize,
    /// A job that hasn't ended so long after its acceptance is failed. Default 5 minutes; `None` is no limit.
    pub job_timeout: Option<Duration>,
    /// A job that is [to be canceled](super::Request::with_cancel_on_disconnect) when its subscribers have left waits so long
    /// for one to come back. Default 5 seconds: an `EventSource` reconnects after 3.
    pub disconnect_grace: Duration,
    /// So many failed batches or failed attempts to load the model in a row turn readiness off. Default 3.
    pub max_failures: u32,
    /// Pause before the model is loaded again after a failed attempt; doubles up to 32 times this. Default 1 second.
    pub retry_delay: Duration,
}

/// When models are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loading {
    /// At the start, all of them on every device. One that can't be [isn't served](super::Engine::unusable).
    Eager,
    /// When a device gets the first job of a model, which waits for that, as do the others in flight there. The model stays.
    /// One that can't be loaded fails the job.
    Lazy,
}

/// When images join a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Between steps, as soon as there is a free slot.
    Step,
    /// When the whole batch is done, and by whole jobs, as servers commonly do; to measure what the other one gains.
    Job,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loading: Loading::Eager,
            max_batch: 16,
            batching: Batching::Step,
            max_queue: 256,
            retention: Duration::from_secs(600),
            max_finished: 256,
            max_finished_bytes: 256 << 20,
            job_timeout: Some(Duration::from_secs(300)),
            disconnect_grace: Duration::from_secs(5),
            max_failures: 3,
            retry_delay: Duration::from_secs(1),
        }
    }
}
