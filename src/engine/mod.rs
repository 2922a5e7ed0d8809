//! The engine: accepts jobs, samples their images on one or more devices, and publishes each step as an event.
//!
//! ```no_run
//! use std::{path::PathBuf, time::Duration};
//!
//! use rdpm::engine::{Engine, Event, FolderLoader, Options, Request};
//! use rdpm::model::{ModelInfo, SamplingSettings};
//!
//! # async fn generate() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = PathBuf::from("weights/fashion-mnist");
//! let info = ModelInfo::read(&folder)?;
//! let loader = FolderLoader::new([(info.config.name.clone(), folder)], "cpu");
//! let engine = Engine::start(Options::default(), vec![info], vec![loader])?;
//!
//! let model = engine.default_model();
//! let settings = SamplingSettings::new(&model.config, 8)?; // Class 8 is Bag.
//! let job = engine.submit(Request::new(model, settings, 7)?)?;
//! let mut subscription = engine.subscribe(job, 0).ok_or("the job was evicted")?;
//! while let Some((_, event)) = subscription.next().await {
//!     if let Event::Step(progress) = &*event {
//!         println!("step {} of {}", progress.step, model.steps());
//!     }
//! }
//! std::fs::write("bag.png", &subscription.snapshot().images[0].png)?;
//! engine.shutdown(Duration::from_secs(5));
//! # Ok(())
//! # }
//! ```
//!
//! A thread for each device owns it and samples the images of many jobs together. In RDPM a step costs the same whatever
//! its timestep, so images need not start or end together: up to [`Options::max_batch`] of them are in flight on a device,
//! each at its own timestep. Between two steps finished images leave, waiting ones join, and those of canceled jobs are
//! dropped. Several models share these slots: in a round, each model that has images takes one step with its own batch.
//! While several clients have images on a processor, each takes the same number of images through a step.
//!
//! This layer contains jobs and their event logs, the queue, the worker threads, and the recovery from failures. Tensors
//! are behind the [`Backend`] trait; HTTP is in `web`.
//!
//! A job ends exactly once, with [`Event::Completed`], [`Event::Failed`] or [`Event::Canceled`], whatever happens to
//! the workers. Nothing is logged after its end.
//!
//! A subscriber reads the log at its own speed; a slow one needs no memory beyond the log, which the job has anyway. A
//! job's log is bounded by T steps for each of its images and by its queue positions; jobs are bounded by
//! [`Options::max_queue`], [`Options::max_finished`], [`Options::max_finished_bytes`] and [`Options::retention`].
//!
//! | Question | File |
//! |---|---|
//! | What can a client request, and what does it see? | `request`, `between`, `event`, `subscription`, `error`, `options` |
//! | How is a request written and read again? | `serialized_request` |
//! | What is a job, and how does its state change? | `job` |
//! | In which order do images start? | `queue` |
//! | What shares the next step's batch? | `batching` |
//! | When does a waiting job start? | `eta` |
//! | What do the threads share? | `scheduler`, `scheduler_state` |
//! | What does a worker do? | `worker`, `model_instance`, `batch_step`, `tokenize` |
//! | Who is told when a job is accepted and ends? | `observer` |
//! | Who encodes images and logs events? | `publisher` |
//! | What happens when a backend fails or panics? | `recovery`, `fault` |
//! | Which jobs are remembered, which forgotten? | `store`, `eviction` |
//! | What happens when a thread ends or hangs? | `supervision` |
//! | What happens after a time limit or when clients leave? | `janitor` |
//! | How does a process follow jobs that others draw, and in which order are they drawn? | `replica`, `replica_queue` |
//! | How does the engine start, and how does it load models? | `startup`, `loading`, `backend` |
//! | What can an operator measure? | `metrics` |

mod backend;
mod batch_step;
mod batching;
mod between;
mod error;
mod eta;
mod event;
mod eviction;
mod fault;
#[cfg(all(test, feature = "gpu"))]
mod gpu_tests;
mod janitor;
mod job;
mod loading;
mod metrics;
mod model_handle;
mod model_instance;
mod observer;
mod options;
mod publisher;
mod queue;
mod recovery;
mod replica;
mod replica_queue;
mod request;
mod scheduler;
mod scheduler_state;
mod serialized_request;
mod startup;
mod step_share;
mod store;
mod subscription;
mod supervision;
mod tokenize;
mod worker;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use image::DynamicImage;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

pub use crate::model::ModelInfo;
pub use backend::{Backend, FolderLoader, Loader};
pub use between::Between;
pub use error::{StartError, SubmitError, TokenizeError};
pub use event::{
    Event, FinishedImage, JobId, Progress, QueuePosition, RedrawnSteps, Snapshot, Status, StepImage,
    StepPreview,
};
pub use model_handle::ModelHandle;
pub use observer::{EndedJob, Observer};
pub use options::{Batching, ModelLoading, Options};
pub use replica::{JobEnd, LiveJob, Replica};
pub use replica_queue::NextImages;
pub use request::{ClientId, GivenTokens, InitImage, MAX_COUNT, Origin, Request, SEED_MAX};
pub use serialized_request::{InvalidRequest, SerializedRequest};
pub use subscription::{EndWatcher, Subscription};
pub use supervision::Failure;
pub use tokenize::{Tokenized, TokenizedStep};

use job::{End, Job};
use scheduler::{Scheduler, StopOnDrop};
use startup::Started;
use tokenize::TokenizeRequest;

/// How long [`Engine::shutdown`] waits, after the drain, for a worker's running step.
const LAST_STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// The same after a failure, when a thread has ended or hangs.
const LAST_STEP_AFTER_FAILURE: Duration = Duration::from_millis(200);

/// A running engine. Dropping it stops the threads without waiting for them.
pub struct Engine {
    scheduler: Arc<Scheduler>,
    devices: Vec<String>,
    unusable_models: Vec<(String, StartError)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _stop_on_drop: StopOnDrop,
}

impl Engine {
    /// Starts an engine with one worker thread for each loader, the default model first in `models`. Each worker opens
    /// its device and, with [`ModelLoading::Eager`], loads all models and warms them up with one step. Blocks until then.
    /// A model that any worker can't load isn't served and is in [`Engine::unusable_models`].
    ///
    /// # Errors
    /// [`StartError`] if an option is out of range, two models have the same name, a thread or device can't be had, or no
    /// model can be loaded.
    pub fn start<L>(options: Options, models: Vec<ModelInfo>, loaders: Vec<L>) -> Result<Self, StartError>
    where
        L: Loader + Send + 'static,
    {
        let Started { scheduler, devices, unusable_models, threads, stop_on_drop } =
            startup::start(options, models, loaders)?;
        let threads = Mutex::new(threads);
        Ok(Self { scheduler, devices, unusable_models, threads, _stop_on_drop: stop_on_drop })
    }

    /// The models that are served, the default first.
    pub fn models(&self) -> &[ModelHandle] {
        &self.scheduler.models
    }

    /// The model for requests that name none.
    pub fn default_model(&self) -> &ModelHandle {
        // `start` fails if there is no model.
        &self.scheduler.models[0]
    }

    /// The model of this name; `None` if it isn't served.
    pub fn model(&self, name: &str) -> Option<&ModelHandle> {
        self.models().iter().find(|model| model.name() == name)
    }

    /// The names of the models that could not be loaded at the start, each with the reason.
    pub fn unusable_models(&self) -> &[(String, StartError)] {
        &self.unusable_models
    }

    /// The names of the devices, for example `cpu` or `cuda:0`.
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// Adds a job to the queue. Its first event is [`Event::Queued`].
    ///
    /// # Errors
    /// [`SubmitError`] if the queue is full, the model isn't ready or is one of another engine, or the engine is shutting
    /// down.
    pub fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        self.scheduler.submit(request, None)
    }

    /// The same as [`Engine::submit`], with an observer that is told of the job's acceptance and end.
    ///
    /// # Errors
    /// As in [`Engine::submit`].
    pub fn submit_observed(
        &self,
        request: Request,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<JobId, SubmitError> {
        self.scheduler.submit(request, observer)
    }

    /// Adds a job that an earlier engine accepted and didn't finish, with the id that its client knows. The queue may be full.
    ///
    /// # Errors
    /// As in [`Engine::submit`], but never [`SubmitError::Full`].
    pub fn resume(
        &self,
        id: JobId,
        created: SystemTime,
        request: Request,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(), SubmitError> {
        self.scheduler.resume(id, created, request, observer)
    }

    /// Makes a job readable that ended earlier, as long as one that ends now. One that the engine knows doesn't change.
    pub fn restore(&self, job: EndedJob) {
        self.scheduler.store.insert_ended(Job::restored(job));
    }

    /// Forgets a job that has ended.
    pub fn forget(&self, id: JobId) {
        self.scheduler.store.remove_ended(id);
    }

    /// The state of a job; `None` if there is no such job or it was evicted.
    pub fn get(&self, id: JobId) -> Option<Snapshot> {
        let job = self.scheduler.store.get(id)?;
        Some(job.snapshot(self.scheduler.queue_position(id)))
    }

    /// Whether there is such a job that wasn't evicted.
    pub fn contains(&self, id: JobId) -> bool {
        self.scheduler.store.get(id).is_some()
    }

    /// The events of a job after event number `after`; 0 is from the beginning. Past events come at once, the others as
    /// they happen. `None` if there is no such job or it was evicted.
    pub fn subscribe(&self, id: JobId, after: u64) -> Option<Subscription> {
        self.scheduler.store.get(id).map(|job| Subscription::new(job, after))
    }

    /// Waits for the end of a job without being counted as a subscriber. `None` if there is no such job or it was evicted.
    pub fn watch_end(&self, id: JobId) -> Option<EndWatcher> {
        self.scheduler.store.get(id).map(EndWatcher::new)
    }

    /// Cancels a job and returns its state. Images that are finished are kept. A job that has ended doesn't change. `None`
    /// if there is no such job or it was evicted.
    pub fn cancel(&self, id: JobId) -> Option<Snapshot> {
        let job = self.scheduler.store.get(id)?;
        self.scheduler.end_job(&job, End::Canceled);
        Some(job.snapshot(None))
    }

    /// Tokenizes an image with the noise of a seed, between two steps of a worker.
    ///
    /// # Errors
    /// [`TokenizeError::Refused`] for the reasons of [`Engine::submit`], [`TokenizeError::Failed`] if the backend failed.
    pub async fn tokenize(
        &self,
        model: &ModelHandle,
        image: DynamicImage,
        seed: u64,
    ) -> Result<Tokenized, TokenizeError> {
        let model = self.scheduler.index_of(model)?;
        let (reply, result) = tokio::sync::oneshot::channel();
        self.scheduler.submit_tokenize(TokenizeRequest { model, image, seed, reply })?;
        match result.await {
            Ok(result) => result,
            // Dropped without a reply: the engine stops, or the model is unavailable on all workers.
            Err(_) => match self.scheduler.ready(model) {
                Ok(()) => Err(TokenizeError::Failed),
                Err(refused) => Err(refused.into()),
            },
        }
    }

    /// Whether jobs of at least one model are accepted (the queue may still be full).
    ///
    /// # Errors
    /// [`SubmitError::NotReady`], for the model that may be ready first, or [`SubmitError::ShuttingDown`].
    pub fn ready(&self) -> Result<(), SubmitError> {
        let models = (0..self.models().len()).map(|model| self.scheduler.ready(model));
        let delay = |ready: &Result<(), SubmitError>| match ready {
            Ok(()) => Duration::ZERO,
            Err(error) => error.retry_after(),
        };
        models.min_by_key(delay).unwrap_or(Ok(()))
    }

    /// Whether jobs of a model are accepted (the queue may still be full).
    ///
    /// # Errors
    /// As in [`Engine::ready`], or [`SubmitError::UnknownModel`].
    pub fn model_ready(&self, model: &ModelHandle) -> Result<(), SubmitError> {
        self.scheduler.ready(self.scheduler.index_of(model)?)
    }

    /// Why the engine doesn't work any more, if so: a thread has ended by a panic, or makes no progress. The process must
    /// then be restarted. `None` after [`Engine::shutdown`].
    pub fn failure(&self) -> Option<Failure> {
        self.scheduler.supervision.failure()
    }

    /// Whether all threads run and make progress. They end only by [`Engine::shutdown`] or by a bug.
    pub fn is_alive(&self) -> bool {
        if self.failure().is_some() {
            return false;
        }
        let threads = self.threads.lock();
        !threads.is_empty() && threads.iter().all(|thread| !thread.is_finished())
    }

    /// Registers the engine's metrics: queue, slots, step times, batch sizes, faults, jobs and images by status, times
    /// from acceptance to the first step and to completion.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.scheduler.metrics.register(registry);
    }

    /// Stops the engine: refuses jobs, waits up to `drain` for the live jobs to end, fails the rest, and joins the threads.
    /// Blocks for `drain` plus at most the running step, or 10 seconds if that hangs. It hardly waits for them after
    /// a [`failure`](Engine::failure). A second call does nothing.
    pub fn shutdown(&self, drain: Duration) {
        self.scheduler.stop_accepting();
        self.scheduler.store.wait_until_idle(drain);
        self.scheduler.stop();
        let threads = std::mem::take(&mut *self.threads.lock());
        let stopped = Instant::now();
        for thread in threads {
            let limit = if self.failure().is_some() { LAST_STEP_AFTER_FAILURE } else { LAST_STEP_TIMEOUT };
            while !thread.is_finished() && stopped.elapsed() < limit {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !thread.is_finished() {
                tracing::error!(thread = thread.thread().name(), "a thread did not end in time");
            } else if thread.join().is_err() {
                tracing::error!("a thread of the engine panicked");
            }
        }
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models: Vec<&str> = self.models().iter().map(ModelHandle::name).collect();
        f.debug_struct("Engine").field("models", &models).finish_non_exhaustive()
    }
}
