//! What the handle and the worker thread have in common.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::job::{End, Job};
use super::queue::Queue;
use super::store::Store;
use super::{JobId, Options, Request, SubmitError};

/// An idle worker wakes so often to forget old jobs.
const PRUNE_EVERY: Duration = Duration::from_secs(30);
/// For the client of a job that the engine's end cut short.
const STOPPED: &str = "The server stopped before the job was done.";

/// Locks are taken in the order control, then store or a job's state; never the other way round.
pub(super) struct Shared {
    pub options: Options,
    pub store: Store,
    control: Mutex<Control>,
    /// Notified when there is something to do for the worker.
    wake: Condvar,
    /// Mean time of a turn of the worker in microseconds, and T: what waiting times are estimated from.
    turn_us: AtomicU64,
    steps: AtomicU64,
}

struct Control {
    queue: Queue,
    phase: Phase,
    /// Set while the model is out of order: when to ask again.
    out_of_order: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// No new jobs.
    Draining,
    /// The worker must end.
    Stopped,
}

impl Control {
    fn ready(&self) -> Result<(), SubmitError> {
        match (self.phase, self.out_of_order) {
            (Phase::Open, None) => Ok(()),
            (Phase::Open, Some(wait)) => {
                Err(SubmitError::NotReady { retry_after: wait.max(Duration::from_secs(1)) })
            }
            _ => Err(SubmitError::ShuttingDown),
        }
    }
}

impl Shared {
    pub fn new(options: Options) -> Self {
        let control = Control { queue: Queue::default(), phase: Phase::Open, out_of_order: None };
        Self {
            store: Store::new(&options),
            options,
            control: Mutex::new(control),
            wake: Condvar::new(),
            turn_us: AtomicU64::new(0),
            steps: AtomicU64::new(1),
        }
    }

    pub fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        let mut control = self.control.lock();
        control.ready()?;
        let waiting = control.queue.images();
        let over = (waiting + request.count() as usize).saturating_sub(self.options.max_queue);
        if over > 0 && waiting > 0 {
            return Err(SubmitError::Full { waiting, retry_after: self.time_for(over) });
        }
        let job = Arc::new(Job::new(request, control.queue.len() + 1));
        // In the store first: the worker may end the job as soon as it is in the queue.
        self.store.insert(Arc::clone(&job));
        control.queue.push(Arc::clone(&job));
        drop(control);
        self.wake.notify_one();
        Ok(job.id)
    }

    /// Ends a job unless it has ended, and forgets its waiting images.
    pub fn end(&self, job: &Job, end: End) {
        if job.end(end) {
            self.control.lock().queue.remove(job.id);
            self.store.retire(job.id);
        }
    }

    /// Waits until there is something to draw. Returns the images that join, for which there are `free` slots, or
    /// `None` where the worker must end.
    pub fn next_images(&self, free: usize, in_flight: HashMap<JobId, usize>) -> Option<Vec<(Arc<Job>, u32)>> {
        let mut control = self.control.lock();
        loop {
            if control.phase == Phase::Stopped {
                return None;
            }
            if !(in_flight.is_empty() && control.queue.is_empty()) {
                return Some(control.queue.take(free, in_flight));
            }
            self.wake.wait_for(&mut control, PRUNE_EVERY);
            self.store.prune();
        }
    }

    pub fn position(&self, id: JobId) -> Option<usize> {
        self.control.lock().queue.position(id)
    }

    pub fn ready(&self) -> Result<(), SubmitError> {
        self.control.lock().ready()
    }

    /// Turns readiness off until [`Shared::in_order`]; the next attempt is due after `wait`.
    pub fn out_of_order(&self, wait: Duration) {
        self.control.lock().out_of_order = Some(wait);
    }

    pub fn in_order(&self) {
        self.control.lock().out_of_order = None;
    }

    /// Fails all jobs that haven't begun.
    pub fn fail_waiting(&self, detail: &'static str) {
        let waiting = self.control.lock().queue.drain();
        for job in waiting {
            self.end(&job, End::Failed(detail));
        }
    }

    /// Waits for `time`, or less where the worker must end; returns whether it may go on.
    pub fn pause(&self, time: Duration) -> bool {
        let mut control = self.control.lock();
        self.wake.wait_while_for(&mut control, |control| control.phase != Phase::Stopped, time);
        control.phase != Phase::Stopped
    }

    /// Refuses jobs from now on.
    pub fn stop_admitting(&self) {
        let mut control = self.control.lock();
        if control.phase == Phase::Open {
            control.phase = Phase::Draining;
        }
    }

    /// Makes the worker end and fails what still lives, at once: clients needn't wait for the step at hand.
    pub fn close(&self) {
        {
            let mut control = self.control.lock();
            control.phase = Phase::Stopped;
            control.queue.clear();
        }
        self.wake.notify_all();
        for job in self.store.live() {
            self.end(&job, End::Failed(STOPPED));
        }
    }

    /// Notes how long a turn of the worker took; `steps` is T.
    pub fn turn_took(&self, time: Duration, steps: usize) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 16);
        let mean = match self.turn_us.load(Ordering::Relaxed) {
            0 => new,
            // Follows a change within about eight turns.
            old => (old.saturating_mul(7) / 8).saturating_add(new / 8),
        };
        self.turn_us.store(mean, Ordering::Relaxed);
        self.steps.store(steps as u64, Ordering::Relaxed);
    }

    /// How long a full batch takes to draw `images` images, in whole seconds, 1 or more.
    fn time_for(&self, images: usize) -> Duration {
        let rounds = images.div_ceil(self.options.max_batch) as u64;
        let turns = rounds.saturating_mul(self.steps.load(Ordering::Relaxed));
        let time = Duration::from_micros(self.turn_us.load(Ordering::Relaxed).saturating_mul(turns));
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
