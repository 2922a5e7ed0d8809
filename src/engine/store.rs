//! The jobs by id: all live ones, and the ended ones that `eviction` keeps.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::event::JobId;
use super::eviction::EndedJobs;
use super::job::Job;
use super::metrics::Metrics;
use super::options::Options;

/// The jobs by id. Memory is bounded: live jobs by the queue and the batches, ended ones by count, size and age.
pub(super) struct Store {
    jobs: Mutex<Jobs>,
    /// Notified when the last live job ends.
    idle: Condvar,
    metrics: Metrics,
}

struct Jobs {
    live: HashMap<JobId, Arc<Job>>,
    ended: EndedJobs,
}

impl Store {
    pub fn new(options: &Options, metrics: &Metrics) -> Self {
        let jobs = Jobs { live: HashMap::new(), ended: EndedJobs::new(options) };
        Self { jobs: Mutex::new(jobs), idle: Condvar::new(), metrics: metrics.clone() }
    }

    /// Adds a live job.
    pub fn insert(&self, job: Arc<Job>) {
        let mut jobs = self.jobs.lock();
        jobs.live.insert(job.id, job);
        self.update_gauges(&jobs);
    }

    pub fn get(&self, id: JobId) -> Option<Arc<Job>> {
        let mut jobs = self.jobs.lock();
        self.evict_locked(&mut jobs);
        jobs.live.get(&id).or_else(|| jobs.ended.get(id)).cloned()
    }

    /// Moves a job that has ended from the live ones to the ended ones.
    pub fn move_to_ended(&self, id: JobId) {
        let mut jobs = self.jobs.lock();
        if let Some(job) = jobs.live.remove(&id) {
            jobs.ended.insert(job);
        }
        self.evict_locked(&mut jobs);
        if jobs.live.is_empty() {
            self.idle.notify_all();
        }
    }

    /// Adds a job that ended earlier, unless there is one with its id.
    pub fn insert_ended(&self, job: Job) {
        let mut jobs = self.jobs.lock();
        if !jobs.live.contains_key(&job.id) && jobs.ended.get(job.id).is_none() {
            jobs.ended.insert(Arc::new(job));
        }
        self.evict_locked(&mut jobs);
    }

    /// Forgets a job that has ended.
    pub fn remove_ended(&self, id: JobId) {
        let mut jobs = self.jobs.lock();
        jobs.ended.forget(id);
        self.update_gauges(&jobs);
    }

    /// Forgets ended jobs that exceed the limits.
    pub fn evict(&self) {
        self.evict_locked(&mut self.jobs.lock());
    }

    /// All live jobs.
    pub fn live(&self) -> Vec<Arc<Job>> {
        self.jobs.lock().live.values().cloned().collect()
    }

    /// Whether there is no live job.
    pub fn is_idle(&self) -> bool {
        self.jobs.lock().live.is_empty()
    }

    /// Waits until there is no live job, at most for `timeout`.
    pub fn wait_until_idle(&self, timeout: Duration) {
        let mut jobs = self.jobs.lock();
        self.idle.wait_while_for(&mut jobs, |jobs| !jobs.live.is_empty(), timeout);
    }

    fn evict_locked(&self, jobs: &mut Jobs) {
        jobs.ended.evict();
        self.update_gauges(jobs);
    }

    fn update_gauges(&self, jobs: &Jobs) {
        self.metrics.live_jobs.set(jobs.live.len() as i64);
        self.metrics.ended_jobs.set(jobs.ended.len() as i64);
    }
}
