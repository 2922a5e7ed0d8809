//! The options of an engine.

use std::time::Duration;

/// The options of an engine. Start from [`Options::default`].
#[derive(Debug, Clone)]
pub struct Options {
    /// When models are loaded. Default [`ModelLoading::Eager`].
    pub loading: ModelLoading,
    /// The largest number of images in a step, and of images in flight on a device, over all its models; 1 or more. Default 16.
    /// Clients without an image in flight get one each beyond it, up to twice the number.
    pub max_batch: usize,
    /// When images join a batch. Default [`Batching::Continuous`].
    pub batching: Batching,
    /// The largest number of images that wait for a slot in a batch, over all jobs. An empty queue accepts any one job,
    /// even a larger one. Default 256.
    pub max_queue: usize,
    /// How long an ended job stays readable. Default 10 minutes.
    pub retention: Duration,
    /// The largest number of ended jobs that stay readable; the newest always stays. Jobs without a finished image are
    /// evicted first, then the oldest of the [client](super::Request::with_client) with the most. Default 1024.
    pub max_finished: usize,
    /// The approximate number of bytes that logs and images of ended jobs may take. Evicted as for `max_finished`, by the
    /// bytes of each client. Default 256 MiB. A job of 16 images with all its steps takes 0.3 MB at 28 × 28 in grey, 10 MB
    /// at 128 × 128 in colour.
    pub max_finished_bytes: usize,
    /// A job that hasn't ended this long after it was accepted fails. Default 5 minutes; `None` is no limit.
    pub job_timeout: Option<Duration>,
    /// After this time without progress a thread, for example in a step or in loading a model, is a
    /// [failure](super::Engine::failure) of the engine. Default 2 minutes; `None` is no limit.
    pub step_timeout: Option<Duration>,
    /// How long a job [to be canceled on disconnect](super::Request::with_cancel_on_disconnect) waits for a subscriber
    /// after the last one has left. Default 5 seconds: an `EventSource` reconnects after 3.
    pub disconnect_grace: Duration,
    /// After this number of failed batches or loads in a row a model is not ready. Default 3.
    pub max_failures: u32,
    /// The pause after a failed attempt to load a model again. It doubles with each attempt up to 32 times this value.
    /// Default 1 second.
    pub retry_delay: Duration,
}

/// When models are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelLoading {
    /// All models at the start, on every device. One that can't be loaded [isn't
    /// served](super::Engine::unusable_models).
    Eager,
    /// Each model with its first job on a device. That job and the others in flight there wait for it. The model stays
    /// loaded. If it can't be loaded, the job fails.
    Lazy,
}

/// When images join a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Batching {
    /// Between two steps, as soon as a slot is free (continuous batching).
    Continuous,
    /// When the whole batch has finished, and by whole jobs (static batching). For comparison in benchmarks.
    Static,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loading: ModelLoading::Eager,
            max_batch: 16,
            batching: Batching::Continuous,
            max_queue: 256,
            retention: Duration::from_secs(600),
            max_finished: 1024,
            max_finished_bytes: 256 << 20,
            job_timeout: Some(Duration::from_secs(300)),
            step_timeout: Some(Duration::from_secs(120)),
            disconnect_grace: Duration::from_secs(5),
            max_failures: 3,
            retry_delay: Duration::from_secs(1),
        }
    }
}
