//! Jobs that other processes draw: the same state and event logs as those of an engine, made from what is reported.
//!
//! All processes that apply the same reports in the same order have the same logs, so a client can read on elsewhere. Reports
//! may come twice, too late or out of order: what doesn't continue a job is ignored.
//!
//! An image may be drawn several times, by workers that lost it and by those that took it over. The run that started last
//! counts. Its steps normally repeat those in the log, and nobody sees it; where it got other codes, as another kind of device
//! can, the log says that the image is redrawn, and goes on with that run's steps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::error::{StartError, SubmitError};
use super::event::{FinishedImage, JobId, Progress, QueuePosition, RedrawnSteps, Snapshot, StepImage};
use super::job::{End, Job};
use super::metrics::Metrics;
use super::model_handle::ModelHandle;
use super::options::Options;
use super::replica_queue::{JobImages, NextImages, next_images, start_order};
use super::request::Request;
use super::store::Store;
use super::subscription::{EndWatcher, Subscription};
use crate::model::ModelInfo;

/// For the client of a job whose image could not be drawn.
const INTERRUPTED: &str = "A fault in the server interrupted the generation. It has been logged. Try again.";
/// For the client of a job that took longer than [`job_timeout`](Options::job_timeout).
const TIMED_OUT: &str =
    "The job took longer than this server allows. Try again later, or ask for fewer images.";
/// For the client of a job of which an image stopped several workers.
const GIVEN_UP: &str =
    "The workers that drew this generation stopped, several times. The fault has been logged.";

/// How a job ends other than by its last image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// A client canceled it, or its subscribers left.
    Canceled,
    /// It took longer than [`job_timeout`](Options::job_timeout).
    TimedOut,
    /// A worker could not draw one of its images.
    Interrupted,
    /// One of its images was started several times, and each time its worker stopped.
    GivenUp,
}

/// The jobs of some models, as far as this process knows them.
pub struct Replica {
    models: Vec<ModelHandle>,
    options: Options,
    store: Store,
    metrics: Metrics,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    by_id: HashMap<JobId, Tracked>,
    accepted: u64,
    /// The number of entries after the last pruning.
    pruned_size: usize,
}

/// What is known of a job beside its log.
struct Tracked {
    job: Arc<Job>,
    /// The number of jobs that were accepted before it.
    number: u64,
    note: Arc<str>,
    images: Vec<ImageState>,
}

#[derive(Clone, Copy, Default)]
struct ImageState {
    is_started: bool,
    /// The run of a worker that started last, whose steps count. 0: a worker that doesn't tell.
    run: u32,
    /// The last step in the log; 0 before the first.
    step: usize,
}

/// A job that hasn't ended.
#[derive(Debug, Clone)]
pub struct LiveJob {
    pub id: JobId,
    /// When this process heard of it.
    pub accepted: Instant,
    /// The number of images that no worker has started.
    pub waiting_images: usize,
    /// Its position among the jobs of which no image is started, in the order in which they start, from 1; `None` for another
    /// job.
    pub position: Option<usize>,
    /// Whether somebody reads its events in this process.
    pub has_subscribers: bool,
    /// When its last subscriber in this process left, if it is to be canceled for that.
    pub abandoned: Option<Instant>,
}

impl Replica {
    /// Without jobs. The default model is the first.
    ///
    /// # Errors
    /// [`StartError`] if there is no model, or two have the same name.
    pub fn new(options: Options, models: Vec<ModelInfo>) -> Result<Self, StartError> {
        if models.is_empty() {
            return Err(StartError::Option { option: "models", value: 0, allowed: "1 or more" });
        }
        for (at, info) in models.iter().enumerate() {
            let name = &info.config.name;
            if models[..at].iter().any(|other| other.config.name == *name) {
                return Err(StartError::DuplicateModel(name.clone()));
            }
        }
        let handle = |(at, info)| ModelHandle::new(at, Arc::new(info));
        let metrics = Metrics::default();
        let models: Vec<ModelHandle> = models.into_iter().enumerate().map(handle).collect();
        metrics.create_series(&[], &models);
        Ok(Self { models, store: Store::new(&options, &metrics), options, metrics, jobs: Mutex::default() })
    }

    /// The models, the default first.
    pub fn models(&self) -> &[ModelHandle] {
        &self.models
    }

    /// The options.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Whether a request is for one of these models.
    pub fn knows(&self, model: &ModelHandle) -> bool {
        self.models.contains(model)
    }

    /// A job was accepted, at a time, with this position in the queue. `note` is what the caller keeps of it.
    pub fn accept(&self, id: JobId, request: Request, at: SystemTime, position: QueuePosition, note: &str) {
        let mut jobs = self.jobs.lock();
        if jobs.by_id.contains_key(&id) {
            return;
        }
        self.prune(&mut jobs);
        let steps_before = request.model().steps() - request.steps();
        let images =
            vec![ImageState { is_started: false, run: 0, step: steps_before }; request.count() as usize];
        let job = Arc::new(Job::accepted(id, request, at, None));
        job.publish_position(position);
        let number = jobs.accepted;
        jobs.accepted += 1;
        jobs.by_id.insert(id, Tracked { job: Arc::clone(&job), number, note: note.into(), images });
        self.store.insert(job);
    }

    /// The position of a waiting job has changed.
    pub fn set_position(&self, id: JobId, position: QueuePosition) {
        if let Some(tracked) = self.jobs.lock().by_id.get(&id) {
            tracked.job.publish_position(position);
        }
    }

    /// A worker has started an image. `run` is different for each attempt to draw it, and 0 where the worker doesn't tell.
    pub fn start_image(&self, id: JobId, index: u32, run: u32, at: SystemTime) {
        let mut jobs = self.jobs.lock();
        let Some(tracked) = jobs.by_id.get_mut(&id).filter(|tracked| tracked.job.is_live()) else { return };
        if let Some(image) = tracked.images.get_mut(index as usize) {
            image.is_started = true;
            image.run = run;
            tracked.job.start_at(at);
        }
    }

    /// An image has taken a step in the run that was started last; `finished` is the image after the last step. Returns
    /// whether that is news: not a step that came before, nor one after a missing one.
    pub fn step_image(
        &self,
        id: JobId,
        run: u32,
        (step, image): (usize, StepImage),
        finished: Option<FinishedImage>,
        at: SystemTime,
    ) -> bool {
        let index = image.index;
        let mut jobs = self.jobs.lock();
        let Some(tracked) = jobs.by_id.get_mut(&id).filter(|tracked| tracked.job.is_live()) else {
            return false;
        };
        let job = Arc::clone(&tracked.job);
        let (last, steps_before) = (job.model().steps(), job.model().steps() - job.request.steps());
        let Some(state) = tracked.images.get_mut(index as usize) else { return false };
        if !state.is_started {
            state.is_started = true;
            state.run = run;
            job.start_at(at);
        }
        let is_due = step == state.step + 1;
        let is_again = step > steps_before && step <= state.step;
        // A finished image stays as it is: clients may have it.
        let is_news = (is_due || is_again && !job.has_tokens(index, step, &image.tokens))
            && run == state.run
            && state.step < last
            && finished.is_some() == (step == last);
        if !is_news {
            return false;
        }
        if is_again {
            job.publish_redrawn(RedrawnSteps { index, first: step, last: state.step });
        }
        state.step = step;
        drop(jobs);
        if job.publish_step(Progress { step, images: vec![image] }) {
            self.metrics.record_first_step(&job);
        }
        if let Some(finished) = finished
            && job.store_image(finished)
        {
            self.end_job(&job, End::Completed, at);
        }
        true
    }

    /// A job has ended, unless it had before.
    pub fn end(&self, id: JobId, end: JobEnd, at: SystemTime) {
        let job = self.jobs.lock().by_id.get(&id).map(|tracked| Arc::clone(&tracked.job));
        let end = match end {
            JobEnd::Canceled => End::Canceled,
            JobEnd::TimedOut => End::Failed(TIMED_OUT),
            JobEnd::Interrupted => End::Failed(INTERRUPTED),
            JobEnd::GivenUp => End::Failed(GIVEN_UP),
        };
        if let Some(job) = job {
            self.end_job(&job, end, at);
        }
    }

    fn end_job(&self, job: &Job, end: End, at: SystemTime) {
        if let Some(outcome) = job.end_at(end, at) {
            self.metrics.record_end(job, &outcome);
            self.store.move_to_ended(job.id);
        }
    }

    /// The state of a job; `None` if it isn't known or was evicted.
    pub fn get(&self, id: JobId, eta: impl Fn(usize) -> Duration) -> Option<Snapshot> {
        let job = self.store.get(id)?;
        let position = self.live().into_iter().find(|live| live.id == id).and_then(|live| live.position);
        Some(job.snapshot(position.map(|position| QueuePosition { position, eta: eta(position) })))
    }

    /// Whether a job is known and wasn't evicted.
    pub fn contains(&self, id: JobId) -> bool {
        self.store.get(id).is_some()
    }

    /// The events of a job after event number `after`; `None` if it isn't known or was evicted.
    pub fn subscribe(&self, id: JobId, after: u64) -> Option<Subscription> {
        self.store.get(id).map(|job| Subscription::of_replica(job, after))
    }

    /// Waits for the end of a job without being counted as a subscriber; `None` if it isn't known or was evicted.
    pub fn watch_end(&self, id: JobId) -> Option<EndWatcher> {
        self.store.get(id).map(EndWatcher::new)
    }

    /// Whether somebody reads the events of a job in this process.
    pub fn has_subscribers(&self, id: JobId) -> bool {
        self.store.get(id).is_some_and(|job| job.has_subscribers())
    }

    /// The note of a job; `None` if it isn't known or was evicted.
    pub fn note(&self, id: JobId) -> Option<Arc<str>> {
        self.store.get(id)?;
        self.jobs.lock().by_id.get(&id).map(|tracked| Arc::clone(&tracked.note))
    }

    /// The notes of all jobs that are known, the newest job first.
    pub fn notes(&self) -> Vec<(JobId, Arc<str>)> {
        self.store.evict();
        let jobs = self.jobs.lock();
        let mut notes: Vec<_> =
            jobs.by_id.iter().map(|(&id, tracked)| (tracked.number, id, Arc::clone(&tracked.note))).collect();
        drop(jobs);
        notes.sort_unstable_by_key(|&(number, ..)| std::cmp::Reverse(number));
        let known = notes.into_iter().filter(|&(_, id, _)| self.contains(id));
        known.map(|(_, id, note)| (id, note)).collect()
    }

    /// The jobs that haven't ended, in the order in which they were accepted.
    pub fn live(&self) -> Vec<LiveJob> {
        let jobs = self.job_images(|_, _, _| false);
        let order = start_order(&jobs, self.models.len());
        let positions: HashMap<JobId, usize> = order.into_iter().zip(1..).collect();
        let live_job = |JobImages { job, waiting, .. }: JobImages| LiveJob {
            id: job.id,
            accepted: job.accepted,
            waiting_images: waiting.len(),
            position: positions.get(&job.id).copied(),
            has_subscribers: job.has_subscribers(),
            abandoned: job.abandoned(),
        };
        jobs.into_iter().map(live_job).collect()
    }

    /// The position that a job with this request would have, and the number of images before its own.
    pub fn position_of(&self, request: &Request) -> (usize, usize) {
        let mut jobs = self.job_images(|_, _, _| false);
        let job = Arc::new(Job::new(request.clone(), None));
        let (id, waiting) = (job.id, (0..request.count()).collect());
        jobs.push(JobImages { job, in_flight: 0, handed_out: 0, waiting });
        let order = start_order(&jobs, self.models.len());
        let counts: HashMap<JobId, usize> = jobs.iter().map(|it| (it.job.id, it.waiting.len())).collect();
        let before = order.iter().take_while(|&&other| other != id);
        let images = before.clone().filter_map(|other| counts.get(other)).sum();
        (before.count() + 1, images)
    }

    /// Chooses the images that workers should get next, with the same fairness as in an engine. `is_handed_out` says of a
    /// model's index, a job and an image whether workers can get it already; `targets` are how many of these should not be started, by model index.
    pub fn next_images(
        &self,
        is_handed_out: impl Fn(usize, JobId, u32) -> bool,
        targets: &[usize],
    ) -> NextImages {
        let jobs = self.job_images(is_handed_out);
        if targets.len() == self.models.len() {
            next_images(&jobs, targets)
        } else {
            NextImages { images: Vec::new(), spare: vec![0; self.models.len()] }
        }
    }

    /// The images of the live jobs, which are in the order in which they were accepted.
    fn job_images(&self, is_handed_out: impl Fn(usize, JobId, u32) -> bool) -> Vec<JobImages> {
        let jobs = self.jobs.lock();
        let mut live: Vec<&Tracked> =
            self.store.live().iter().filter_map(|job| jobs.by_id.get(&job.id)).collect();
        live.sort_unstable_by_key(|tracked| tracked.number);
        let job_images = |tracked: &Tracked| {
            let (job, steps) = (Arc::clone(&tracked.job), tracked.job.model().steps());
            let mut images = JobImages { job, in_flight: 0, handed_out: 0, waiting: Vec::new() };
            for (index, image) in (0..).zip(&tracked.images) {
                if image.is_started {
                    images.in_flight += usize::from(image.step < steps);
                } else if is_handed_out(tracked.job.model().index(), tracked.job.id, index) {
                    images.handed_out += 1;
                } else {
                    images.waiting.push(index);
                }
            }
            images
        };
        live.into_iter().map(job_images).collect()
    }

    /// The request of a job; `None` if it isn't known or was evicted.
    pub fn request(&self, id: JobId) -> Option<Request> {
        self.store.get(id).map(|job| job.request.clone())
    }

    /// Whether a job is known, and has ended.
    pub fn has_ended(&self, id: JobId) -> bool {
        self.store.get(id).is_some_and(|job| !job.is_live())
    }

    /// Forgets ended jobs that exceed the limits, and renews the gauge of waiting images. To be called regularly.
    pub fn evict(&self) {
        self.store.evict();
        let waiting: usize = self.live().iter().map(|job| job.waiting_images).sum();
        self.metrics.queue_images.set(waiting as i64);
    }

    /// Counts a request that wasn't accepted.
    pub fn record_refused(&self, error: &SubmitError) {
        self.metrics.record_refused(error);
    }

    /// Registers its metrics, which count the jobs of all processes.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Forgets what was tracked of evicted jobs, whenever the number of entries has doubled.
    fn prune(&self, jobs: &mut Jobs) {
        if jobs.by_id.len() >= 512.max(2 * jobs.pruned_size) {
            jobs.by_id.retain(|&id, _| self.store.get(id).is_some());
            jobs.pruned_size = jobs.by_id.len();
        }
    }
}

impl std::fmt::Debug for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Replica").finish_non_exhaustive()
    }
}
