//! The way to the store's thread: bounded by the memory of what waits, never by the disk's speed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::SystemTime;

use tokio::sync::oneshot;

use super::error::StoreError;
use super::metrics::Metrics;
use super::record::Record;
use crate::engine::{EndedJob, JobId};

/// Bytes of messages that may wait. Beyond them generations are not kept.
const MAX_WAITING: usize = 256 << 20;
/// What a message takes at least.
const OVERHEAD: usize = 1024;

/// What the store's thread does.
pub(super) enum Message {
    Accepted {
        id: JobId,
        created: SystemTime,
        record: Arc<Record>,
        written: Option<oneshot::Sender<()>>,
    },
    Started(JobId),
    Ended {
        record: Arc<Record>,
        job: Box<EndedJob>,
    },
    /// A job of an earlier process whose request is no longer allowed.
    Abandoned(JobId),
    Changed(Change, oneshot::Sender<Result<bool, StoreError>>),
    /// The last one.
    Close(Sender<()>),
}

/// A change of a picture that its owner makes.
#[derive(Debug, Clone)]
pub(super) struct Change {
    /// The gallery that it must be in.
    pub gallery: String,
    pub generation: JobId,
    pub image: u32,
    pub kind: PictureChange,
}

/// What an owner changes of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureChange {
    Favourite(bool),
    /// It can be restored for a time.
    Delete,
    Restore,
}

/// A handle to the store's thread. Sending never blocks.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    messages: Sender<Message>,
    waiting: Arc<AtomicUsize>,
    metrics: Metrics,
}

impl Queue {
    pub fn new(metrics: Metrics) -> (Self, Waiting) {
        let (messages, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Self { messages, waiting: Arc::clone(&waiting), metrics }, Waiting { receiver, bytes: waiting })
    }

    /// Sends a message, unless too many wait: then it is dropped and counted.
    pub fn send(&self, message: Message) {
        let size = message.byte_size();
        let before = self.waiting.fetch_add(size, Ordering::Relaxed);
        let operation = message.operation();
        if before + size > MAX_WAITING || self.messages.send(message).is_err() {
            self.waiting.fetch_sub(size, Ordering::Relaxed);
            self.metrics.record_failure(operation);
            tracing::error!(operation, "the store is too far behind; not kept");
        }
    }
}

/// The messages that wait.
pub(super) struct Waiting {
    pub receiver: Receiver<Message>,
    bytes: Arc<AtomicUsize>,
}

impl Waiting {
    /// Frees the memory of a message that was handled.
    pub fn done(&self, size: usize) {
        self.bytes.fetch_sub(size, Ordering::Relaxed);
    }
}

impl Message {
    pub fn byte_size(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Accepted { record, .. } => record.request.len(),
                Self::Ended { record, job } => record.request.len() + job.byte_size(),
                _ => 0,
            }
    }

    /// Its name in the metrics.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Accepted { .. } | Self::Started(_) => "accept",
            Self::Ended { .. } | Self::Abandoned(_) => "finish",
            Self::Changed(..) | Self::Close(_) => "change",
        }
    }
}
