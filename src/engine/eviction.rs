//! Which ended jobs are forgotten: the oldest, when there are too many, when they take too many bytes, or after a while.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::JobId;
use super::job::Job;
use super::options::Options;

/// The ended jobs that are still readable.
pub(super) struct EndedJobs {
    jobs: HashMap<JobId, Arc<Job>>,
    /// The oldest first.
    by_age: VecDeque<Entry>,
    total_bytes: usize,
    retention: Duration,
    max_jobs: usize,
    max_bytes: usize,
}

struct Entry {
    id: JobId,
    ended: Instant,
    bytes: usize,
}

impl EndedJobs {
    pub fn new(options: &Options) -> Self {
        Self {
            jobs: HashMap::new(),
            by_age: VecDeque::new(),
            total_bytes: 0,
            retention: options.retention,
            max_jobs: options.max_finished,
            max_bytes: options.max_finished_bytes,
        }
    }

    /// Adds a job that has just ended.
    pub fn insert(&mut self, job: Arc<Job>) {
        let bytes = job.byte_size();
        self.by_age.push_back(Entry { id: job.id, ended: Instant::now(), bytes });
        self.jobs.insert(job.id, job);
        self.total_bytes += bytes;
    }

    pub fn get(&self, id: JobId) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Removes the oldest jobs until the rest is within all limits. The newest job may exceed the limit of bytes.
    pub fn evict(&mut self) {
        while let Some(oldest) = self.by_age.front() {
            let count = self.by_age.len();
            let fits = count <= self.max_jobs && (count == 1 || self.total_bytes <= self.max_bytes);
            if fits && oldest.ended.elapsed() < self.retention {
                break;
            }
            self.total_bytes -= oldest.bytes;
            self.jobs.remove(&oldest.id);
            self.by_age.pop_front();
        }
    }
}
