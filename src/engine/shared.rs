//! What the handle, the workers and the keeper have in common.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::control::{Control, Health, InFlight, Phase, Work};
use super::errand::Errand;
use super::job::{End, Job};
use super::metrics::Metrics;
use super::pace::Pace;
use super::store::Store;
use super::{JobId, Options, Place, Request, SubmitError};
use crate::model::ModelInfo;

/// For the client of a job that the engine's end cut short.
const STOPPED: &str = "The server stopped before the job was done.";

/// Images that may wait to be tokenized. One takes about as long as a step.
const MAX_ERRANDS: usize = 32;

/// Locks are taken in the order control, then store or a job's state; never the other way round.
pub(super) struct Shared {
    pub options: Options,
    /// What is served, the default first. Models are known by their places here.
    pub models: Vec<Arc<ModelInfo>>,
    pub store: Store,
    pub metrics: Metrics,
    pub pace: Pace,
    control: Mutex<Control>,
    /// Notified when there is something to do for a worker.
    work: Condvar,
    /// Notified when there is something to do for the keeper: a job lives, or the engine stops.
    care: Condvar,
}

impl Shared {
    /// For so many workers.
    pub fn new(options: Options, models: Vec<Arc<ModelInfo>>, workers: usize) -> Self {
        let metrics = Metrics::default();
        Self {
            store: Store::new(&options, &metrics),
            options,
            metrics,
            pace: Pace::new(models.iter().map(Arc::as_ref)),
            control: Mutex::new(Control::new(workers, models.len())),
            models,
            work: Condvar::new(),
            care: Condvar::new(),
        }
    }

    /// The place of a model, if it is served.
    pub fn model(&self, name: &str) -> Option<usize> {
        self.models.iter().position(|model| model.config.name == name)
    }

    pub fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        self.admit(request).inspect_err(|error| self.metrics.refused(error))
    }

    fn admit(&self, request: Request) -> Result<JobId, SubmitError> {
        let model = self.model(request.settings().model()).ok_or(SubmitError::UnknownModel)?;
        let mut control = self.control.lock();
        control.ready(model)?;
        let waiting = control.queue.images();
        let over = (waiting + request.count() as usize).saturating_sub(self.options.max_queue);
        if over > 0 && waiting > 0 {
            return Err(SubmitError::Full { waiting, retry_after: self.time_for(over, &control) });
        }
        let job = Arc::new(Job::new(request, model, Arc::clone(&self.models[model])));
        control.queue.push(Arc::clone(&job));
        let places = self.places(&control);
        if let Some((_, place)) = places.into_iter().find(|(waiting, _)| waiting.id == job.id) {
            job.queue(place);
        }
        // In the store before the lock is released: then a worker may end the job.
        self.store.insert(Arc::clone(&job));
        self.note_queue(&control);
        drop(control);
        self.work.notify_all();
        self.care.notify_one();
        Ok(job.id)
    }

    /// Ends a job unless it has ended, and forgets its waiting images.
    pub fn end(&self, job: &Job, end: End) {
        if let Some(outcome) = job.end(end) {
            let mut control = self.control.lock();
            control.queue.remove(job.id);
            self.note_queue(&control);
            drop(control);
            self.metrics.ended(job, &outcome);
            self.store.retire(job.id);
        }
    }

    /// Takes what waits of these jobs out of the queue: they are about to end.
    pub fn withdraw(&self, jobs: &[Arc<Job>]) {
        let mut control = self.control.lock();
        jobs.iter().for_each(|job| control.queue.remove(job.id));
        self.note_queue(&control);
    }

    /// Leaves an image to be tokenized.
    pub fn leave(&self, errand: Errand) -> Result<(), SubmitError> {
        let mut control = self.control.lock();
        control.ready(errand.model)?;
        let waiting = control.errands.len();
        if waiting >= MAX_ERRANDS {
            return Err(SubmitError::Full { waiting, retry_after: Duration::from_secs(1) });
        }
        control.errands.push_back(errand);
        drop(control);
        self.work.notify_all();
        Ok(())
    }

    /// Waits until there is something to do for worker `at`, whose batches are these, but not beyond `until`; `None`
    /// where it must end.
    pub fn next_work(&self, at: usize, batch: Vec<InFlight>, until: Option<Instant>) -> Option<Work> {
        let mut control = self.control.lock();
        control.workers[at].batch = batch;
        loop {
            if control.phase == Phase::Stopped {
                return None;
            }
            control.queue.forget_ended();
            let joining = control.deal(at, &self.options);
            let begun = joining.iter().map(|(job, _)| InFlight {
                job: job.id,
                model: job.model,
                remaining: job.request.remaining(self.pace.steps(job.model)),
            });
            control.workers[at].batch.extend(begun);
            self.note_queue(&control);
            let errand = control.take_errand(at);
            let is_due = until.is_some_and(|until| until <= Instant::now());
            if !control.workers[at].batch.is_empty() || errand.is_some() || is_due {
                return Some(Work { joining, errand });
            }
            match until {
                Some(until) => {
                    self.work.wait_until(&mut control, until);
                }
                None => self.work.wait(&mut control),
            }
        }
    }

    /// Where a job waits, if it does.
    pub fn place_of(&self, id: JobId) -> Option<Place> {
        let control = self.control.lock();
        self.places(&control).into_iter().find(|(job, _)| job.id == id).map(|(_, place)| place)
    }

    /// Tells waiting jobs how far they have moved.
    pub fn tell_places(&self) {
        let control = self.control.lock();
        for (job, place) in self.places(&control) {
            job.queue(place);
        }
    }

    /// Whether jobs of a model are accepted.
    pub fn ready(&self, model: usize) -> Result<(), SubmitError> {
        self.control.lock().ready(model)
    }

    /// Worker `at` has lost a model and the images in its batch, and makes it anew.
    pub fn recovering(&self, at: usize, model: usize) {
        let mut control = self.control.lock();
        let worker = &mut control.workers[at];
        worker.batch.retain(|image| image.model != model);
        worker.models[model] = Health::Recovering;
        drop(control);
        // Its share of the work falls to the others.
        self.work.notify_all();
    }

    /// Turns a model's readiness off, unless another worker can draw it, until [`Shared::in_order`]; the next attempt is
    /// due after `wait`.
    pub fn out_of_order(&self, at: usize, model: usize, wait: Duration) {
        self.control.lock().workers[at].models[model] = Health::OutOfOrder(wait);
    }

    pub fn in_order(&self, at: usize, model: usize) {
        self.control.lock().workers[at].models[model] = Health::Well;
    }

    /// Fails all jobs of a model that haven't begun, unless another worker can draw them.
    pub fn fail_waiting(&self, model: usize, detail: &'static str) {
        let mut control = self.control.lock();
        let is_lost = |health: Health| matches!(health, Health::OutOfOrder(_));
        if !control.workers.iter().all(|worker| is_lost(worker.models[model])) {
            return;
        }
        let waiting = control.queue.drain(model);
        control.errands.retain(|errand| errand.model != model);
        drop(control);
        for job in waiting {
            self.end(&job, End::Failed(detail));
        }
    }

    /// Waits for the keeper's next round: `busy` long while jobs live, else until one does or `idle` is over. Returns
    /// whether the keeper may go on.
    pub fn rest(&self, busy: Duration, idle: Duration) -> bool {
        let mut control = self.control.lock();
        if control.phase != Phase::Stopped {
            let time = if self.store.is_idle() { idle } else { busy };
            // A job that comes during a busy rest is looked after in the next round.
            let quiet = |control: &mut Control| {
                control.phase != Phase::Stopped && (time == busy || self.store.is_idle())
            };
            self.care.wait_while_for(&mut control, quiet, time);
        }
        control.phase != Phase::Stopped
    }

    /// Refuses jobs from now on.
    pub fn stop_admitting(&self) {
        let mut control = self.control.lock();
        if control.phase == Phase::Open {
            control.phase = Phase::Draining;
        }
    }

    /// Makes the threads end and fails what still lives, at once: clients needn't wait for the step at hand.
    pub fn close(&self) {
        {
            let mut control = self.control.lock();
            control.phase = Phase::Stopped;
            control.queue.clear();
            control.errands.clear();
            self.note_queue(&control);
        }
        self.work.notify_all();
        self.care.notify_all();
        for job in self.store.live() {
            self.end(&job, End::Failed(STOPPED));
        }
    }

    fn note_queue(&self, control: &Control) {
        self.metrics.queue_images.set(control.queue.images() as i64);
    }

    /// The waiting jobs with their places: the first gets the slot that is free first, and so on.
    fn places<'a>(&self, control: &'a Control) -> Vec<(&'a Arc<Job>, Place)> {
        // For each slot of all workers in how many turns it gets free, the soonest first; 0 where it is.
        let mut releases: Vec<usize> = control.in_flight().map(|image| image.remaining).collect();
        let slots = self.options.max_batch * control.workers.len();
        releases.resize(slots.max(releases.len()), 0);
        releases.sort_unstable();
        let busy = control.busy();
        let longest = self.pace.longest(&busy);
        let place = |at: usize| {
            let turns = at / releases.len() * longest + releases[at % releases.len()];
            Place { position: at + 1, eta: self.pace.turns(turns, &busy) }
        };
        control.unbegun().into_iter().enumerate().map(|(at, job)| (job, place(at))).collect()
    }

    /// How long full batches take to draw `images` images, in whole seconds, 1 or more.
    fn time_for(&self, images: usize, control: &Control) -> Duration {
        let rounds = images.div_ceil(self.options.max_batch * control.workers.len());
        let busy = control.busy();
        let time = self.pace.turns(rounds.saturating_mul(self.pace.longest(&busy)), &busy);
        Duration::from_secs(time.as_secs() + 1)
    }
}

/// Closes when dropped.
pub(super) struct Closing(pub Arc<Shared>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}
