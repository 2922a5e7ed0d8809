//! What happens when a backend returns an error, panics, or returns an invalid result.
//!
//! 1. The worker catches it (`fault`) and drops the backend: the fault may have left the device and the sampler states
//!    in any condition. The jobs with images in the model's batch fail with [`INTERRUPTED`]. Other models on the device
//!    and other devices go on.
//! 2. The worker loads the model again, at once after a first fault. Meanwhile the model is
//!    [`Health::Recovering`] there and its waiting jobs go to other workers, or wait.
//! 3. After [`max_failures`](super::Options::max_failures) failures in a row the model is [`Health::Unavailable`] there.
//!    The worker retries with growing pauses. While the model is unavailable on all workers, its jobs are refused, and
//!    those that wait fail with [`UNAVAILABLE`] after the first failed retry.
//!
//! Running out of memory is no fault at first: `batch_step` tries again with half as many images.
//!
//! A panic of the engine's own code ends its thread, and with it the engine: each thread has a guard that stops the
//! scheduler, which fails all live jobs. That is a [`Failure`](super::Failure), as is a thread that makes no progress.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::{Fault, catch_panic};
use super::job::{End, Job};
use super::scheduler::Scheduler;
use super::scheduler_state::Health;

/// For the client of a job that was in a batch that failed.
pub(super) const INTERRUPTED: &str =
    "A fault in the server interrupted the generation. It has been logged. Try again.";
/// For the client of a job whose model could not be loaded.
pub(super) const NOT_LOADED: &str = "The server could not load the model. The fault has been logged.";
/// For the client of a job that waited for a model that became unavailable.
const UNAVAILABLE: &str = "The model is not available at present. Try again later.";

/// The backend of a model on a worker, which is dropped after a fault and loaded again.
pub(super) struct RecoveringBackend<B> {
    state: State<B>,
    /// The number of failures since the last step that succeeded.
    failures: u32,
}

enum State<B> {
    /// Not loaded yet, or being used by [`RecoveringBackend::run`].
    Absent,
    Loaded(B),
    /// To be loaded again at `retry_at`, after this number of failed attempts.
    Failed {
        attempts: u32,
        retry_at: Instant,
    },
}

/// A model on a worker, by their indexes.
#[derive(Clone, Copy)]
pub(super) struct InstanceId {
    pub worker: usize,
    pub model: usize,
}

impl<B> RecoveringBackend<B> {
    /// Without a backend.
    pub fn new() -> Self {
        Self { state: State::Absent, failures: 0 }
    }

    pub fn is_loaded(&self) -> bool {
        matches!(self.state, State::Loaded(_))
    }

    /// Sets the backend that was loaded.
    pub fn set(&mut self, backend: B) {
        self.state = State::Loaded(backend);
    }

    /// When the model is to be loaded again, if it failed.
    pub fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Failed { retry_at, .. } => Some(retry_at),
            State::Absent | State::Loaded(_) => None,
        }
    }

    /// Runs an action with the backend. After a fault the backend is dropped.
    pub fn run<T>(&mut self, action: impl FnOnce(&B) -> Result<T, Fault>) -> Result<T, Fault> {
        let State::Loaded(backend) = std::mem::replace(&mut self.state, State::Absent) else {
            return Err(Fault::NotLoaded);
        };
        match catch_panic(|| action(&backend)) {
            Ok(result) => {
                self.state = State::Loaded(backend);
                Ok(result)
            }
            Err(fault) => {
                drop_failed(backend);
                Err(fault)
            }
        }
    }

    /// Records that a step succeeded.
    pub fn record_success(&mut self) {
        self.failures = 0;
    }

    /// Records that the backend failed, or could not be loaded for a job. It is to be loaded again.
    pub fn record_failure(&mut self, scheduler: &Scheduler, instance: InstanceId) {
        scheduler.set_recovering(instance);
        self.schedule_retry(scheduler, instance, 0);
    }

    /// Loads the model again if it failed and its retry is due. Returns what `load` returned, without the backend.
    pub fn retry_if_due<T>(
        &mut self,
        scheduler: &Scheduler,
        instance: InstanceId,
        load: impl FnOnce() -> Result<(B, T), Fault>,
    ) -> Option<Result<T, Fault>> {
        let State::Failed { attempts, retry_at } = self.state else { return None };
        if retry_at > Instant::now() {
            return None;
        }
        let loaded = load().map(|(backend, details)| {
            if self.failures >= scheduler.options.max_failures {
                self.failures = 0;
            }
            self.set(backend);
            scheduler.set_healthy(instance);
            details
        });
        if loaded.is_err() {
            self.schedule_retry(scheduler, instance, attempts + 1);
        }
        Some(loaded)
    }

    fn schedule_retry(&mut self, scheduler: &Scheduler, instance: InstanceId, attempts: u32) {
        self.failures = self.failures.saturating_add(1);
        let delay = scheduler.options.retry_delay.saturating_mul(1 << attempts.min(5));
        if self.failures >= scheduler.options.max_failures {
            let (model, failures) = (scheduler.models[instance.model].name(), self.failures);
            tracing::error!(model, failures, retry_in = ?delay, "model not ready");
            scheduler.set_unavailable(instance, delay);
            if attempts > 0 {
                scheduler.fail_waiting(instance.model);
            }
        }
        // No pause after the first fault: it is most likely the only one.
        let delay = if self.failures > 1 { delay } else { Duration::ZERO };
        self.state = State::Failed { attempts, retry_at: Instant::now() + delay };
    }
}

impl Scheduler {
    /// Records that a worker lost a model with its batch and loads it again.
    fn set_recovering(&self, instance: InstanceId) {
        let mut state = self.state.lock();
        let worker = &mut state.workers[instance.worker];
        worker.batch.retain(|image| image.model != instance.model);
        worker.health[instance.model] = Health::Recovering;
        drop(state);
        // The other workers may take its share of the images.
        self.work_available.notify_all();
    }

    /// Records that a model is unavailable on a worker until [`Scheduler::set_healthy`]; the next attempt to load it is
    /// after `delay`.
    fn set_unavailable(&self, instance: InstanceId, delay: Duration) {
        self.state.lock().workers[instance.worker].health[instance.model] = Health::Unavailable(delay);
    }

    fn set_healthy(&self, instance: InstanceId) {
        self.state.lock().workers[instance.worker].health[instance.model] = Health::Healthy;
    }

    /// Fails the jobs of a model that haven't started and drops its tokenize requests, unless another worker can serve
    /// them.
    fn fail_waiting(&self, model: usize) {
        let mut state = self.state.lock();
        let is_unavailable = |health: Health| matches!(health, Health::Unavailable(_));
        if !state.workers.iter().all(|worker| is_unavailable(worker.health[model])) {
            return;
        }
        let waiting = state.queue.drain_model(model);
        state.tokenize_requests.retain(|request| request.model != model);
        drop(state);
        self.fail_jobs(&waiting, UNAVAILABLE);
    }

    /// Fails jobs; `detail` is for their clients.
    pub fn fail_jobs(&self, jobs: &[Arc<Job>], detail: &'static str) {
        jobs.iter().for_each(|job| self.end_job(job, End::Failed(detail)));
    }
}

/// Drops a backend that failed, which may panic again.
fn drop_failed<B>(backend: B) {
    let dropped = catch_panic(|| {
        drop(backend);
        Ok(())
    });
    if let Err(fault) = dropped {
        tracing::warn!(%fault, "the failed model could not be dropped cleanly");
    }
}
