//! The engine: jobs in, events out. Between the two, a thread for each device that owns it and draws the images of many
//! jobs together.
//!
//! In RDPM a step costs the same whatever its timestep, so images needn't start or end together: up to
//! [`Options::max_batch`] of them are in flight on a device, each at its own timestep, and between two steps finished
//! ones leave, waiting ones join and those of canceled jobs are dropped. Several models share these places: in a turn
//! each model that has images takes one step with its own batch.
//!
//! What belongs here: jobs and their event logs, the queue, the worker threads and what happens when one fails. What
//! doesn't: tensors (a [`Backend`] has them) and HTTP (`web` has it).
//!
//! A job ends exactly once, with [`Event::Completed`], [`Event::Failed`] or [`Event::Canceled`], whatever happens to
//! the workers. All changes of a job's state go through one lock and nothing is appended after an end.
//!
//! A subscriber reads the log at its own pace; one that doesn't read costs the log that the job has anyway. A job's log
//! is bounded by T steps for each of its images and by a place in the queue now and then; jobs are bounded by
//! [`Options::max_queue`], [`Options::max_finished`] and [`Options::retention`].
//!
//! An image to be tokenized is no job: it is done between two steps and answered at once.
//!
//! Reading order: `event` (what the outside sees), `job` (what a job is and how it changes), `store` (which ones are
//! remembered), `queue` (which image is drawn next), `control` (what the lock guards), `worker` (a device's thread),
//! `turn` (what it does over and over), `publisher` (what becomes of what it drew), `lane` (what it holds of a model, and what it does after a fault), `keeper` (what
//! happens on the clock), `pace` (how long it all takes).

mod backend;
mod control;
mod errand;
mod event;
mod fault;
mod job;
mod keeper;
mod lane;
mod metrics;
mod options;
mod pace;
mod publisher;
mod queue;
mod request;
mod shared;
mod store;
mod subscription;
mod turn;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use image::DynamicImage;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

pub use crate::model::ModelInfo;
pub use backend::{Backend, Folders, Loader};
pub use errand::{TokenizeError, Tokenized, TokenizedStep};
pub use event::{Event, Finished, JobId, Place, Progress, Snapshot, Status, StepImage, StepPreview};
pub use options::{Batching, Loading, Options};
pub use request::{MAX_COUNT, Request, SEED_MAX, Source};
pub use subscription::Subscription;

use errand::Errand;
use fault::Fault;
use job::End;
use publisher::Publisher;
use shared::Shared;
use worker::{Device, Worker};

/// After the drain a worker gets so long to end the step at hand; one that hangs longer is left behind.
const LAST_STEP: Duration = Duration::from_secs(10);

/// Why an engine didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("{option} is {value}; allowed: {allowed}")]
    Option { option: &'static str, value: usize, allowed: &'static str },
    /// The operating system gave no thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// Two models have this name.
    #[error("two models are called {0:?}")]
    SameName(String),
    /// A device isn't there, or no model could be loaded or took its first step: this is wrong with the first one.
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
    /// There is no model of the name that the request has.
    #[error("there is no such model")]
    UnknownModel,
    /// The queue is full.
    #[error("the queue is full: {waiting} images are waiting")]
    Full {
        /// Images waiting.
        waiting: usize,
        /// When there should be room, from measured step times; 1 second or more.
        retry_after: Duration,
    },
    /// The model failed repeatedly and is being loaded again; of [`Engine::ready`], all models did.
    #[error("the model is not ready")]
    NotReady {
        /// When the next attempt is due; 1 second or more.
        retry_after: Duration,
    },
    /// [`Engine::shutdown`] was called.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

/// A handle to a running engine. Dropping it stops the threads without waiting for them.
pub struct Engine {
    shared: Arc<Shared>,
    devices: Vec<String>,
    unusable: Vec<(String, StartError)>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    _closing: shared::Closing,
}

/// A device's name, and what is wrong with each model.
type Opened = (String, Vec<Option<Fault>>);

/// A device with its models, in a thread that waits to be told what it shares with the others.
struct Starting {
    thread: JoinHandle<()>,
    loaded: Receiver<Result<Opened, Fault>>,
    begin: SyncSender<(Arc<Shared>, Publisher)>,
}

impl Engine {
    /// Starts a worker thread for each loader, which opens its device and, unless [`Loading::Lazy`], loads all models and
    /// warms them up with a trial step; waits for all that. `models` are described as they will be loaded, the default
    /// first. One that any worker can't load is left out and is among [`Engine::unusable`].
    ///
    /// # Errors
    /// [`StartError`]: an option out of range, no thread, no device, or no model at all that can be loaded.
    pub fn start<L>(options: Options, models: Vec<ModelInfo>, loaders: Vec<L>) -> Result<Self, StartError>
    where
        L: Loader + Send + 'static,
    {
        check(&options, &models, loaders.len())?;
        let models: Vec<Arc<ModelInfo>> = models.into_iter().map(Arc::new).collect();
        let mut starting = Vec::new();
        for (number, loader) in loaders.into_iter().enumerate() {
            starting.push(start_device(number, loader, &models, &options)?);
        }
        let (mut devices, mut faults) = (Vec::new(), Vec::new());
        for device in &starting {
            let lost = |_| StartError::Panicked("a worker thread ended".into());
            let (name, unusable) = device.loaded.recv().map_err(lost)??;
            devices.push(name);
            faults.push(unusable);
        }
        let (mut usable, mut unusable) = (Vec::new(), Vec::new());
        for (at, model) in models.into_iter().enumerate() {
            match faults.iter_mut().find_map(|faults| faults[at].take()) {
                None => usable.push(model),
                Some(fault) => unusable.push((model.config.name.clone(), fault.into())),
            }
        }
        if usable.is_empty() {
            return Err(unusable.swap_remove(0).1);
        }

        let shared = Arc::new(Shared::new(options, usable, starting.len()));
        shared.metrics.announce(&devices, &shared.models);
        // Whatever goes wrong from here on, the threads that run must end.
        let closing = shared::Closing(Arc::clone(&shared));
        let keeper = Arc::clone(&shared);
        let mut threads = vec![spawn("rdpm-keeper".into(), move || {
            let _closing = shared::Closing(Arc::clone(&keeper));
            keeper::run(&keeper);
        })?];
        for (number, device) in starting.into_iter().enumerate() {
            let publisher = Publisher::start(Arc::clone(&shared), number)?;
            // A thread that has ended is found by `is_alive`.
            let _ = device.begin.send((Arc::clone(&shared), publisher));
            threads.push(device.thread);
        }
        Ok(Self { shared, devices, unusable, threads: Mutex::new(threads), _closing: closing })
    }

    /// What is being served, the default first.
    pub fn models(&self) -> &[Arc<ModelInfo>] {
        &self.shared.models
    }

    /// The model of requests that name none.
    pub fn default_model(&self) -> &Arc<ModelInfo> {
        // There is at least one: `start` sees to that.
        &self.shared.models[0]
    }

    /// The model of this name, if it is served.
    pub fn model(&self, name: &str) -> Option<&Arc<ModelInfo>> {
        self.shared.model(name).map(|model| &self.shared.models[model])
    }

    /// The models that could not be loaded at the start, by name.
    pub fn unusable(&self) -> &[(String, StartError)] {
        &self.unusable
    }

    /// The devices that draw, as `cpu` or `cuda:0`.
    pub fn devices(&self) -> &[String] {
        &self.devices
    }

    /// Queues a job. Its first event is [`Event::Queued`].
    ///
    /// # Errors
    /// [`SubmitError`]: no such model, the queue is full, the model isn't ready, or the engine is shutting down.
    pub fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        self.shared.submit(request)
    }

    /// The state of a job, or `None` where there is no such job (any more).
    pub fn get(&self, id: JobId) -> Option<Snapshot> {
        let job = self.shared.store.get(id)?;
        Some(job.snapshot(self.shared.place_of(id)))
    }

    /// Whether there is such a job (still).
    pub fn contains(&self, id: JobId) -> bool {
        self.shared.store.get(id).is_some()
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

    /// Tokenizes an image by the model of this name with the noise of a seed, between two steps of a worker.
    ///
    /// # Errors
    /// [`TokenizeError`]: refused as jobs are, or a fault.
    pub async fn tokenize(
        &self,
        model: &str,
        image: DynamicImage,
        seed: u64,
    ) -> Result<Tokenized, TokenizeError> {
        let model = self.shared.model(model).ok_or(SubmitError::UnknownModel)?;
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.shared.leave(Errand { model, image, seed, reply })?;
        match answer.await {
            Ok(answer) => answer,
            // Dropped unanswered: the engine stops, or no worker has the model in order.
            Err(_) => {
                Err(self.shared.ready(model).map_or_else(TokenizeError::Refused, |()| TokenizeError::Failed))
            }
        }
    }

    /// Whether jobs of any model are accepted (there may still be no room in the queue).
    ///
    /// # Errors
    /// [`SubmitError::NotReady`] or [`SubmitError::ShuttingDown`].
    pub fn ready(&self) -> Result<(), SubmitError> {
        let models = (0..self.shared.models.len()).map(|model| self.shared.ready(model));
        // Of several that aren't, the one that may be soonest.
        models.min_by_key(wait).unwrap_or(Ok(()))
    }

    /// Whether jobs of the model of this name are accepted.
    ///
    /// # Errors
    /// As in [`Engine::ready`], or [`SubmitError::UnknownModel`].
    pub fn model_ready(&self, name: &str) -> Result<(), SubmitError> {
        self.shared.ready(self.shared.model(name).ok_or(SubmitError::UnknownModel)?)
    }

    /// Whether all threads run. They end by [`Engine::shutdown`] only, or by a bug.
    pub fn is_alive(&self) -> bool {
        let threads = self.threads.lock();
        !threads.is_empty() && threads.iter().all(|thread| !thread.is_finished())
    }

    /// Names the engine's metrics in a registry: queue, slots, step times, batch sizes, faults, jobs and images by end,
    /// times from acceptance to the first step and to completion.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.metrics.register(registry);
    }

    /// Stops accepting jobs, gives those that are there `drain` to end by themselves, fails the rest, and joins the
    /// threads, which takes up to one step more. Blocks for so long. A second call does nothing.
    pub fn shutdown(&self, drain: Duration) {
        self.shared.stop_admitting();
        self.shared.store.wait_until_idle(drain);
        self.shared.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        let closed = Instant::now();
        for thread in threads {
            while !thread.is_finished() && closed.elapsed() < LAST_STEP {
                std::thread::sleep(Duration::from_millis(2));
            }
            if !thread.is_finished() {
                tracing::error!(thread = thread.thread().name(), "hangs and is left behind");
            } else if thread.join().is_err() {
                tracing::error!("a thread of the engine had panicked");
            }
        }
    }
}

fn check(options: &Options, models: &[ModelInfo], workers: usize) -> Result<(), StartError> {
    for (option, value) in [("max_batch", options.max_batch), ("devices", workers), ("models", models.len())]
    {
        if value == 0 {
            return Err(StartError::Option { option, value, allowed: "1 or more" });
        }
    }
    let mut names: Vec<&str> = models.iter().map(|model| model.config.name.as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(StartError::SameName(pair[0].into())),
        None => Ok(()),
    }
}

/// Starts the thread of a device, which ends by itself where the engine doesn't come about.
fn start_device<L>(
    number: usize,
    loader: L,
    models: &[Arc<ModelInfo>],
    options: &Options,
) -> Result<Starting, StartError>
where
    L: Loader + Send + 'static,
{
    let ((report, loaded), (begin, begun)) = (sync_channel(1), sync_channel::<(Arc<Shared>, Publisher)>(1));
    let (models, options) = (models.to_vec(), options.clone());
    let thread = spawn(format!("rdpm-worker-{number}"), move || {
        let mut device = match Device::open(loader) {
            Ok(device) => device,
            Err(fault) => {
                let _ = report.send(Err(fault));
                return;
            }
        };
        let faults = match options.loading {
            Loading::Eager => device.load(&models, &options),
            Loading::Lazy => models.iter().map(|_| None).collect(),
        };
        let _ = report.send(Ok((device.name.clone(), faults)));
        if let Ok((shared, publisher)) = begun.recv() {
            // Whatever ends it, a bug included, no job is left without an end.
            let _closing = shared::Closing(Arc::clone(&shared));
            Worker::new(shared, number, device, publisher).run();
        }
    })?;
    Ok(Starting { thread, loaded, begin })
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name).spawn(run)
}

/// How long until a model is ready, as far as one can say.
fn wait(ready: &Result<(), SubmitError>) -> Duration {
    match ready {
        Ok(()) => Duration::ZERO,
        Err(SubmitError::NotReady { retry_after }) => *retry_after,
        Err(_) => Duration::MAX,
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let models: Vec<&str> = self.models().iter().map(|model| model.config.name.as_str()).collect();
        f.debug_struct("Engine").field("models", &models).finish_non_exhaustive()
    }
}
