//! Which ended jobs are forgotten: those that ended too long ago and, when there are too many or they take too many bytes,
//! one after the other until the rest fits.
//!
//! Clients have equal shares of the limits, so that one that makes many jobs only loses its own. Jobs without a finished
//! image go first: failed and canceled ones. The next to go is the oldest one of the client with the most; a client counts
//! with the whole group that it belongs to ([`ClientId`](super::ClientId)).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::event::JobId;
use super::job::Job;
use super::options::Options;
use super::request::ClientId;

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
    client: Option<ClientId>,
    ended: Instant,
    bytes: usize,
    /// Whether it has no finished image.
    is_empty: bool,
}

/// What the clients' shares are measured in.
#[derive(Clone, Copy)]
enum Measure {
    Jobs,
    Bytes,
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
        let (bytes, is_empty) = (job.byte_size(), job.finished_images() == 0);
        let client = job.request.client().cloned();
        self.by_age.push_back(Entry { id: job.id, client, ended: Instant::now(), bytes, is_empty });
        self.jobs.insert(job.id, job);
        self.total_bytes += bytes;
    }

    /// Removes a job, if it is there.
    pub fn forget(&mut self, id: JobId) {
        if let Some(at) = self.by_age.iter().position(|entry| entry.id == id) {
            self.remove(at);
        }
    }

    pub fn get(&self, id: JobId) -> Option<&Arc<Job>> {
        self.jobs.get(&id)
    }

    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Removes jobs until the rest is within all limits. The newest job stays even if it exceeds a limit.
    pub fn evict(&mut self) {
        while self.by_age.front().is_some_and(|oldest| oldest.ended.elapsed() >= self.retention) {
            self.remove(0);
        }
        while self.by_age.len() > 1 {
            let measure = if self.by_age.len() > self.max_jobs {
                Measure::Jobs
            } else if self.total_bytes > self.max_bytes {
                Measure::Bytes
            } else {
                break;
            };
            self.remove(self.next_to_go(measure));
        }
    }

    /// The index in `by_age` of the job that goes next. There must be two or more jobs; it is never the newest.
    fn next_to_go(&self, measure: Measure) -> usize {
        let mut groups: HashMap<Option<&str>, usize> = HashMap::new();
        let mut clients: HashMap<Option<&ClientId>, usize> = HashMap::new();
        for entry in &self.by_age {
            let size = match measure {
                Measure::Jobs => 1,
                Measure::Bytes => entry.bytes,
            };
            *groups.entry(entry.group()).or_default() += size;
            *clients.entry(entry.client.as_ref()).or_default() += size;
        }
        let rank = |entry: &Entry| {
            let (of_group, of_client) = (groups[&entry.group()], clients[&entry.client.as_ref()]);
            (entry.is_empty, of_group, of_client)
        };
        let candidates = self.by_age.iter().take(self.by_age.len() - 1).enumerate();
        // The first of the largest is the oldest.
        let next = candidates.rev().max_by(|(_, one), (_, other)| rank(one).cmp(&rank(other)));
        next.map_or(0, |(at, _)| at)
    }

    fn remove(&mut self, at: usize) {
        if let Some(entry) = self.by_age.remove(at) {
            self.total_bytes -= entry.bytes;
            self.jobs.remove(&entry.id);
        }
    }
}

impl Entry {
    fn group(&self) -> Option<&str> {
        self.client.as_ref().map(ClientId::group)
    }
}
