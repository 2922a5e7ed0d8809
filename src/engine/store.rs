//! Which jobs are remembered: all that live, and the ended ones for a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::job::Job;
use super::{JobId, Options};

/// Jobs by id. Memory is bounded: live jobs by the queue and the batch, ended ones by count and age.
pub(super) struct Store {
    shelves: Mutex<Shelves>,
    /// Notified when the last live job ends.
    idle: Condvar,
    retention: Duration,
    max_finished: usize,
}

#[derive(Default)]
struct Shelves {
    live: HashMap<JobId, Arc<Job>>,
    ended: HashMap<JobId, Arc<Job>>,
    /// Ended jobs, oldest first.
    order: VecDeque<(Instant, JobId)>,
}

impl Store {
    pub fn new(options: &Options) -> Self {
        Self {
            shelves: Mutex::default(),
            idle: Condvar::new(),
            retention: options.retention,
            max_finished: options.max_finished,
        }
    }

    pub fn insert(&self, job: Arc<Job>) {
        self.shelves.lock().live.insert(job.id, job);
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
            shelves.ended.insert(id, job);
            shelves.order.push_back((Instant::now(), id));
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

    /// Waits until no job lives, but not longer than `limit`.
    pub fn wait_until_idle(&self, limit: Duration) {
        let mut shelves = self.shelves.lock();
        self.idle.wait_while_for(&mut shelves, |shelves| !shelves.live.is_empty(), limit);
    }

    fn forget_old(&self, shelves: &mut Shelves) {
        while let Some(&(ended, id)) = shelves.order.front() {
            if shelves.order.len() <= self.max_finished && ended.elapsed() < self.retention {
                break;
            }
            shelves.order.pop_front();
            shelves.ended.remove(&id);
        }
    }
}
