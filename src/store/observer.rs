//! When a generation is written: at its acceptance, at its start and at its end.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::queue::{Message, Queue};
use super::record::Record;
use crate::engine::{EndedJob, JobId, Observer};

/// Resolves when the acceptance of a job was written, or could not be.
pub type Written = oneshot::Receiver<()>;

/// Sends what happens to a job to the store's thread.
pub(super) struct RecordObserver {
    queue: Queue,
    record: Arc<Record>,
    written: Mutex<Option<oneshot::Sender<()>>>,
}

impl RecordObserver {
    /// An observer of a job with this record, and what resolves when the job's acceptance was written.
    pub fn observe(queue: Queue, record: Record) -> (Arc<dyn Observer>, Written) {
        let (written, wait) = oneshot::channel();
        (Arc::new(Self { queue, record: Arc::new(record), written: Mutex::new(Some(written)) }), wait)
    }
}

impl Observer for RecordObserver {
    fn accepted(&self, id: JobId) {
        let (record, created) = (Arc::clone(&self.record), SystemTime::now());
        self.queue.send(Message::Accepted { id, created, record, written: self.written.lock().take() });
    }

    fn started(&self, id: JobId) {
        self.queue.send(Message::Started(id));
    }

    fn ended(&self, job: EndedJob) {
        self.queue.send(Message::Ended { record: Arc::clone(&self.record), job: Box::new(job) });
    }
}
