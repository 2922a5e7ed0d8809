//! The scheduler: what the engine's handle and its threads share. It accepts jobs, hands images to the workers, publishes
//! queue positions, ends jobs and stops the threads.
//!
//! All changes of what waits and what is in flight go through one lock, around [`SchedulerState`]. Locks are taken in the
//! order scheduler state, then store or a job's state, never the other way round.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Condvar, Mutex};

use super::batching::Assignment;
use super::error::SubmitError;
use super::eta::EtaEstimator;
use super::event::{JobId, QueuePosition};
use super::job::{End, Job};
use super::metrics::Metrics;
use super::model_handle::ModelHandle;
use super::observer::Observer;
use super::options::Options;
use super::request::Request;
use super::scheduler_state::{InFlightImage, Phase, SchedulerState};
use super::store::Store;
use super::supervision::{Supervision, ThreadStatus};
use super::tokenize::TokenizeRequest;

/// The largest number of images that wait to be tokenized. One takes about as long as a step.
const MAX_TOKENIZE_REQUESTS: usize = 32;

pub(super) struct Scheduler {
    pub options: Options,
    /// The models that are served, the default first.
    pub models: Vec<ModelHandle>,
    pub store: Store,
    pub metrics: Metrics,
    pub eta: EtaEstimator,
    pub supervision: Supervision,
    pub(super) state: Mutex<SchedulerState>,
    /// Notified when there is work for a worker, or the engine stops.
    pub(super) work_available: Condvar,
    /// Notified when there is a live job for the janitor to watch, or the engine stops.
    janitor_wakeup: Condvar,
}

impl Scheduler {
    pub fn new(options: Options, models: Vec<ModelHandle>, workers: usize) -> Self {
        let metrics = Metrics::default();
        Self {
            store: Store::new(&options, &metrics),
            metrics,
            supervision: Supervision::new(options.step_timeout),
            eta: EtaEstimator::new(models.iter().map(ModelHandle::steps), options.max_batch),
            state: Mutex::new(SchedulerState::new(workers, models.len())),
            work_available: Condvar::new(),
            janitor_wakeup: Condvar::new(),
            options,
            models,
        }
    }

    /// Accepts a job.
    pub fn submit(
        &self,
        request: Request,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<JobId, SubmitError> {
        let job = Job::new(request, observer);
        self.enqueue(job, self.options.max_queue).inspect_err(|error| self.metrics.record_refused(error))
    }

    /// Accepts a job of an earlier process again, even if the queue is full: it had its place in one.
    pub fn resume(
        &self,
        id: JobId,
        created: SystemTime,
        request: Request,
        observer: Option<Arc<dyn Observer>>,
    ) -> Result<(), SubmitError> {
        self.enqueue(Job::accepted(id, request, created, observer), usize::MAX).map(drop)
    }

    fn enqueue(&self, job: Job, max_queue: usize) -> Result<JobId, SubmitError> {
        let model = self.index_of(job.model())?;
        let mut state = self.state.lock();
        state.ready(model)?;
        let waiting = state.queue.waiting_images();
        let excess = (waiting + job.request.count() as usize).saturating_sub(max_queue);
        if excess > 0 && waiting > 0 {
            return Err(SubmitError::Full { waiting, retry_after: self.eta.time_to_draw(excess, &state) });
        }
        let job = Arc::new(job);
        state.queue.push(Arc::clone(&job));
        let positions = self.eta.queue_positions(&state);
        if let Some((_, position)) = positions.into_iter().find(|(waiting, _)| waiting.id == job.id) {
            job.publish_position(position);
        }
        // Both before the lock is released: after that a worker may end the job.
        self.store.insert(Arc::clone(&job));
        if let Some(observer) = &job.observer {
            observer.accepted(job.id);
        }
        self.update_queue_gauge(&state);
        drop(state);
        self.work_available.notify_all();
        self.janitor_wakeup.notify_one();
        Ok(job.id)
    }

    /// Ends a job, unless it has ended, and removes its waiting images from the queue.
    pub fn end_job(&self, job: &Job, end: End) {
        if let Some(outcome) = job.end(end) {
            let mut state = self.state.lock();
            state.queue.remove(job.id);
            self.update_queue_gauge(&state);
            drop(state);
            self.metrics.record_end(job, &outcome);
            if let Some(observer) = &job.observer
                && !matches!(end, End::Stopped)
            {
                observer.ended(job.ended());
            }
            self.store.move_to_ended(job.id);
        }
    }

    /// Removes the waiting images of jobs that are about to end from the queue.
    pub fn remove_from_queue(&self, jobs: &[Arc<Job>]) {
        let mut state = self.state.lock();
        jobs.iter().for_each(|job| state.queue.remove(job.id));
        self.update_queue_gauge(&state);
    }

    /// Accepts an image to tokenize.
    pub fn submit_tokenize(&self, request: TokenizeRequest) -> Result<(), SubmitError> {
        let mut state = self.state.lock();
        state.ready(request.model)?;
        let waiting = state.tokenize_requests.len();
        if waiting >= MAX_TOKENIZE_REQUESTS {
            return Err(SubmitError::Full { waiting, retry_after: Duration::from_secs(1) });
        }
        state.tokenize_requests.push_back(request);
        drop(state);
        self.work_available.notify_all();
        Ok(())
    }

    /// Waits until there is work for worker number `worker`, whose batches contain `batch`, at most until `deadline`.
    /// Returns `None` if the worker must end.
    pub fn next_assignment(
        &self,
        worker: usize,
        batch: Vec<InFlightImage>,
        deadline: Instant,
    ) -> Option<Assignment> {
        let mut state = self.state.lock();
        state.workers[worker].batch = batch;
        loop {
            if state.phase == Phase::Stopped {
                return None;
            }
            state.queue.remove_ended();
            let images = state.assign_images(worker, &self.options);
            let in_flight = images.iter().map(|(job, _)| InFlightImage {
                job: job.id,
                client: job.request.client_group(),
                model: job.model().index(),
                remaining_steps: job.request.steps(),
            });
            state.workers[worker].batch.extend(in_flight);
            self.update_queue_gauge(&state);
            let tokenize_request = state.assign_tokenize_request(worker);
            let is_due = deadline <= Instant::now();
            if !state.workers[worker].batch.is_empty() || tokenize_request.is_some() || is_due {
                let waiting = state.queue.waiting_images_of_clients();
                return Some(Assignment { images, waiting, tokenize_request });
            }
            self.work_available.wait_until(&mut state, deadline);
        }
    }

    /// The queue position of a job; `None` unless it waits.
    pub fn queue_position(&self, id: JobId) -> Option<QueuePosition> {
        let state = self.state.lock();
        let positions = self.eta.queue_positions(&state);
        positions.into_iter().find(|(job, _)| job.id == id).map(|(_, position)| position)
    }

    /// Logs the queue positions that have changed.
    pub fn publish_positions(&self) {
        let state = self.state.lock();
        for (job, position) in self.eta.queue_positions(&state) {
            job.publish_position(position);
        }
    }

    /// The index of a model.
    ///
    /// # Errors
    /// [`SubmitError::UnknownModel`] if the model is one of another engine.
    pub fn index_of(&self, model: &ModelHandle) -> Result<usize, SubmitError> {
        let index = model.index();
        if self.models.get(index) == Some(model) { Ok(index) } else { Err(SubmitError::UnknownModel) }
    }

    /// Whether jobs of a model are accepted.
    pub fn ready(&self, model: usize) -> Result<(), SubmitError> {
        self.state.lock().ready(model)
    }

    /// Waits for the janitor's next round: for `busy` while jobs live, otherwise until one does but at most for `idle`.
    /// Returns false if the janitor must end.
    pub fn wait_for_round(&self, busy: Duration, idle: Duration) -> bool {
        let mut state = self.state.lock();
        if state.phase != Phase::Stopped {
            let timeout = if self.store.is_idle() { idle } else { busy };
            // A job that arrives during a busy wait is watched from the next round on.
            let must_wait = |state: &mut SchedulerState| {
                state.phase != Phase::Stopped && (timeout == busy || self.store.is_idle())
            };
            self.janitor_wakeup.wait_while_for(&mut state, must_wait, timeout);
        }
        state.phase != Phase::Stopped
    }

    /// Refuses jobs from now on.
    pub fn stop_accepting(&self) {
        let mut state = self.state.lock();
        if state.phase == Phase::Accepting {
            state.phase = Phase::Draining;
        }
    }

    /// Makes the threads end and fails all live jobs at once, so that clients don't wait for the running step.
    pub fn stop(&self) {
        {
            let mut state = self.state.lock();
            state.phase = Phase::Stopped;
            state.queue.clear();
            state.tokenize_requests.clear();
            self.update_queue_gauge(&state);
        }
        self.work_available.notify_all();
        self.janitor_wakeup.notify_all();
        for job in self.store.live() {
            self.end_job(&job, End::Stopped);
        }
    }

    fn update_queue_gauge(&self, state: &SchedulerState) {
        self.metrics.queue_images.set(state.queue.waiting_images() as i64);
    }
}

/// Stops the scheduler when dropped.
pub(super) struct StopOnDrop(pub Arc<Scheduler>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Ends the engine with a thread: however the thread ends, even by a bug, all jobs must end.
pub(super) struct ThreadGuard {
    pub scheduler: Arc<Scheduler>,
    pub status: Arc<ThreadStatus>,
}

impl ThreadGuard {
    /// The guard of a new thread, to be dropped at its end.
    pub fn new(scheduler: &Arc<Scheduler>, thread: impl Into<String>) -> Self {
        let scheduler = Arc::clone(scheduler);
        Self { status: scheduler.supervision.add(thread.into()), scheduler }
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.status.wait();
        if std::thread::panicking() {
            self.scheduler.supervision.record_panic(&self.status);
        }
        self.scheduler.stop();
    }
}
