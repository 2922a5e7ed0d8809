//! Who is told when a job is accepted and when it ends, for example to keep it beyond the life of the process.

use std::sync::Arc;

use super::event::{Event, FinishedImage, JobId, Snapshot};

/// Is told when a job is accepted, when its first image starts and when it ends, in this order. The calls come from threads that
/// must not wait: they may send a message, but do nothing that takes time.
pub trait Observer: Send + Sync {
    /// The job was accepted.
    fn accepted(&self, id: JobId);

    /// The job's first image starts.
    fn started(&self, id: JobId);

    /// The job has ended. Not called where the engine stopped before that.
    fn ended(&self, job: EndedJob);
}

/// A job that has ended, with all its events. Its files are shared, not copied.
#[derive(Debug, Clone)]
pub struct EndedJob {
    pub snapshot: Snapshot,
    pub events: Vec<Arc<Event>>,
}

impl EndedJob {
    /// The approximate number of bytes that its events and images take.
    pub fn byte_size(&self) -> usize {
        let events: usize = self.events.iter().map(|event| event.byte_size()).sum();
        events + self.snapshot.images.iter().map(FinishedImage::byte_size).sum::<usize>()
    }
}
