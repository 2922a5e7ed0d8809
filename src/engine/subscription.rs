//! Reading a job's events, live or from an earlier point of its log: where a stream resumes.

use std::sync::Arc;

use tokio::sync::watch;

use super::event::{Event, JobId, Snapshot};
use super::job::{Job, LogEntry};
use super::model_handle::ModelHandle;

/// A reader of one job's events, at its own speed. The job stays readable as long as this lives, even beyond its
/// retention.
#[derive(Debug)]
pub struct Subscription {
    job: Arc<Job>,
    log_length: watch::Receiver<usize>,
    /// The index in the log of the next event to read.
    next: usize,
}

impl Subscription {
    /// Reads the events after event number `after`; 0 is from the beginning.
    pub(super) fn new(job: Arc<Job>, after: u64) -> Self {
        let log_length = job.add_subscriber();
        // A number beyond the log comes from an earlier run of the server: this log hasn't been read at all.
        let next = usize::try_from(after).ok().filter(|&after| after <= *log_length.borrow()).unwrap_or(0);
        Self { job, log_length, next }
    }

    /// The same of a job that another process draws. A number beyond the log was sent by a process that has read more of what is
    /// reported: this waits for the event after it.
    pub(super) fn of_replica(job: Arc<Job>, after: u64) -> Self {
        let is_live = job.is_live();
        let mut subscription = Self::new(job, after);
        if let (true, Ok(after)) = (is_live, usize::try_from(after)) {
            subscription.next = after;
        }
        subscription
    }

    /// Waits for the next event and returns it with its number (1, 2, …); `None` after the job's last event. Dropping
    /// the future loses no event.
    pub async fn next(&mut self) -> Option<(u64, Arc<Event>)> {
        loop {
            self.log_length.borrow_and_update();
            match self.job.log_entry(self.next) {
                LogEntry::Event(event) => {
                    self.next += 1;
                    return Some((self.next as u64, event));
                }
                LogEntry::End => return None,
                LogEntry::Pending => {}
            }
            self.log_length.changed().await.ok()?;
        }
    }

    /// Whether the job has ended and all its events were read.
    pub fn is_exhausted(&self) -> bool {
        matches!(self.job.log_entry(self.next), LogEntry::End)
    }

    /// The id of the job.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The model that samples the job's images.
    pub fn model(&self) -> &ModelHandle {
        self.job.model()
    }

    /// The job's state now, without its queue position.
    pub fn snapshot(&self) -> Snapshot {
        self.job.snapshot(None)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.job.remove_subscriber();
    }
}

/// Waits for a job's end. It isn't counted as a subscriber, so a job that is to be canceled when its clients leave isn't kept by
/// it. The job stays readable as long as this lives.
#[derive(Debug)]
pub struct EndWatcher {
    job: Arc<Job>,
    log_length: watch::Receiver<usize>,
}

impl EndWatcher {
    pub(super) fn new(job: Arc<Job>) -> Self {
        let log_length = job.log_length();
        Self { job, log_length }
    }

    /// The id of the job.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// Waits until the job has ended and returns its state. Dropping the future loses nothing.
    pub async fn ended(&mut self) -> Snapshot {
        loop {
            self.log_length.borrow_and_update();
            // The job that is held has the sender, so that waiting can't fail.
            if !self.job.is_live() || self.log_length.changed().await.is_err() {
                return self.job.snapshot(None);
            }
        }
    }
}
