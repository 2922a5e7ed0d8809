//! Following a job.

use std::sync::Arc;

use tokio::sync::watch;

use super::event::{Event, JobId, Snapshot};
use super::job::{Job, Read};
use crate::model::ModelInfo;

/// A reader of one job's events, at its own pace. It keeps the job readable, also beyond its retention.
#[derive(Debug)]
pub struct Subscription {
    job: Arc<Job>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Subscription {
    pub(super) fn new(job: Arc<Job>, after: u64) -> Self {
        let length = job.join();
        // A number from the future (of another server's life) means: nothing of this log was seen.
        let next = usize::try_from(after).ok().filter(|&after| after <= *length.borrow()).unwrap_or(0);
        Self { job, length, next }
    }

    /// The next event and its number (1, 2, …), as soon as there is one; `None` after the job's end. Canceling the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<(u64, Arc<Event>)> {
        loop {
            self.length.borrow_and_update();
            match self.job.event(self.next) {
                Read::Event(event) => {
                    self.next += 1;
                    return Some((self.next as u64, event));
                }
                Read::End => return None,
                Read::NotYet => {}
            }
            self.length.changed().await.ok()?;
        }
    }

    /// Whether the job has ended and all its events were read.
    pub fn is_exhausted(&self) -> bool {
        matches!(self.job.event(self.next), Read::End)
    }

    /// The job whose events these are.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The model that draws it.
    pub fn model(&self) -> &ModelInfo {
        &self.job.info
    }

    /// The job now, without its place in the queue.
    pub fn snapshot(&self) -> Snapshot {
        self.job.snapshot(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.job.leave();
    }
}
