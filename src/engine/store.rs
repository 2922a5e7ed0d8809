//! Which jobs are remembered: all that live, and the ended ones for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::job::Job;
use super::metrics::Metrics;
use super::{JobId, Options};

/// Jobs by id. Memory is bounded: live jobs by the queue and the batch, ended ones by count, size and age.
pub(super) struct Store {
    shelves: Mutex<Shelves>,
    /// Notified when the last live job ends.
    idle: Condvar,
    retention: Duration,
    max_finished: usize,
    max_finished_bytes: usize,
    metrics: Metrics,
}

#[derive(Default)]
struct Shelves {
    live: HashMap<JobId, Arc<Job>>,
    ended: HashMap<JobId, Arc<Job>>,
    /// Ended jobs with their sizes, oldest first.
    order: VecDeque<(Instant, JobId, usize)>,
    /// Of all ended jobs.
    bytes: usize,
}

impl Store {
    pub fn new(options: &Options, metrics: &Metrics) -> Self {
        Self {
            shelves: Mutex::default(),
            idle: Condvar::new(),
            retention: options.retention,
            max_finished: options.max_finished,
            max_finished_bytes: options.max_finished_bytes,
            metrics: metrics.clone(),
        }
    }

    pub fn insert(&self, job: Arc<Job>) {
        let mut shelves = self.shelves.lock();
        shelves.live.insert(job.id, job);
        self.note(&shelves);
    }

    pub fn get(&self, id: JobId) -> Option<Arc<Job>> {
        let mut shelves = self.shelves.lock();
        self.forget_old(&mut shelves);
        shelves.live.get(&id).or_else(|| shelves.ended.get(&id)).cloned()
    }

    /// Moves a job that has ended to the ended ones.
    pub fn retire(&self, id: JobId) {
        let mut shelves = self.shelves.lock();
        if let Some(job) = shelves.live.remove(&id) {
            let size = job.size();
            shelves.ended.insert(id, job);
            shelves.order.push_back((Instant::now(), id, size));
            shelves.bytes += size;
        }
        self.forget_old(&mut shelves);
        if shelves.live.is_empty() {
            self.idle.notify_all();
        }
    }

    /// Drops ended jobs that are too old or too many.
    pub fn prune(&self) {
        self.forget_old(&mut self.shelves.lock());
    }

    pub fn live(&self) -> Vec<Arc<Job>> {
        self.shelves.lock().live.values().cloned().collect()
    }

    /// Whether no job lives.
    pub fn is_idle(&self) -> bool {
        self.shelves.lock().live.is_empty()
    }

    /// Waits until no job lives, but not longer than `limit`.
    pub fn wait_until_idle(&self, limit: Duration) {
        let mut shelves = self.shelves.lock();
        self.idle.wait_while_for(&mut shelves, |shelves| !shelves.live.is_empty(), limit);
    }

    fn forget_old(&self, shelves: &mut Shelves) {
        while let Some(&(ended, id, size)) = shelves.order.front() {
            let jobs = shelves.order.len();
            let fit = jobs <= self.max_finished && (jobs == 1 || shelves.bytes <= self.max_finished_bytes);
            if fit && ended.elapsed() < self.retention {
                break;
            }
            shelves.order.pop_front();
            shelves.bytes -= size;
            shelves.ended.remove(&id);
        }
        self.note(shelves);
    }

    fn note(&self, shelves: &Shelves) {
        self.metrics.live_jobs.set(shelves.live.len() as i64);
        self.metrics.ended_jobs.set(shelves.ended.len() as i64);
    }
}
