//! What clients see of a job: its id, status, events and snapshots.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::request::Request;
use crate::model::Alternatives;

/// For the client of a job that the engine's shutdown ended.
pub(super) const STOPPED: &str = "The server stopped before the job was done.";

/// A job's id. It is random, so that no client can guess the id of another client's job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// A new one.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self)
    }
}

/// The status of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No image of the job has started.
    Queued,
    /// An image of the job has started.
    Running,
    /// Ended: all images are finished.
    Completed,
    /// Ended: a fault of the server, or the time limit.
    Failed,
    /// Ended: by a client's request or because its subscribers left.
    Canceled,
}

impl Status {
    /// Whether the job has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }
}

/// An event of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The job waits at this position. Logged when the job is accepted and whenever its position changes. It can also
    /// rise: a job of a model with fewer images in flight goes first.
    Queued(QueuePosition),
    /// The job's first image starts.
    Started,
    /// Some images of the job took the same step.
    Step(Progress),
    /// The last event: all images are finished.
    Completed,
    /// The last event: the job failed. `detail` is written for the client and reveals no internals.
    Failed { detail: Cow<'static, str> },
    /// The last event: the job was canceled.
    Canceled,
    /// Steps of an image don't hold any more: another worker draws it and got other codes. They come again.
    Redrawn(RedrawnSteps),
}

impl Event {
    /// The approximate number of bytes that it takes.
    pub(super) fn byte_size(&self) -> usize {
        match self {
            Self::Step(progress) => progress.images.iter().map(StepImage::byte_size).sum(),
            _ => size_of::<Self>(),
        }
    }
}

/// The position of a waiting job in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct QueuePosition {
    /// 1 is next. Jobs with a started image don't count.
    pub position: usize,
    /// The estimated time until its first image starts, from measured step times.
    pub eta: Duration,
}

/// The steps of an image that don't hold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RedrawnSteps {
    /// The image's index in its job, from 0.
    pub index: u32,
    /// The first of the steps, 1..=T.
    pub first: usize,
    /// The last of them.
    pub last: usize,
}

/// One step of some images of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// 1..=T.
    pub step: usize,
    /// Sorted by index.
    pub images: Vec<StepImage>,
}

/// One step of one image. Vectors have h·w entries, row by row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepImage {
    /// The image's index in its job, from 0.
    pub index: u32,
    /// The sampled codes.
    pub tokens: Vec<u32>,
    /// The entropy, in bits, of the distribution that each code was sampled from.
    pub entropy: Vec<f32>,
    /// The probability of each sampled code.
    pub probability: Vec<f32>,
    /// The most probable codes of each position, if the request asks for them.
    pub alternatives: Option<Alternatives>,
    /// Whether each code was given instead of drawn; empty if none was.
    pub given: Vec<bool>,
    /// Both previews, if the request asks for them.
    pub preview: Option<StepPreview>,
}

impl StepImage {
    fn byte_size(&self) -> usize {
        let numbers = self.tokens.len() + self.entropy.len() + self.probability.len();
        let alternatives = self
            .alternatives
            .as_ref()
            .map_or(0, |found| found.codes.len() + found.probabilities.len() + found.ranks.len());
        let preview = self.preview.as_ref().map_or(0, |preview| preview.noisy.len() + preview.clean.len());
        size_of::<Self>() + size_of::<u32>() * (numbers + alternatives) + self.given.len() + preview
    }
}

/// Previews of an unfinished image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPreview {
    /// The running latent, decoded: a PNG file.
    #[serde(with = "file")]
    pub noisy: Bytes,
    /// The running latent with its noise subtracted, decoded: a PNG file.
    #[serde(with = "file")]
    pub clean: Bytes,
}

/// A file in an event that is kept.
mod file {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(file: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(file.iter())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        Vec::deserialize(deserializer).map(Bytes::from)
    }
}

/// A finished image.
#[derive(Debug, Clone, PartialEq)]
pub struct FinishedImage {
    /// The image's index in its job, from 0.
    pub index: u32,
    /// A PNG file.
    pub png: Bytes,
    /// C_1 … C_T. `None` of an image between two others, whose noise isn't that of a seed.
    pub tokens: Option<Arc<[Vec<u32>]>>,
}

impl FinishedImage {
    pub(super) fn byte_size(&self) -> usize {
        let tokens = self.tokens.iter().flat_map(|grids| grids.iter()).map(|grid| 4 * grid.len());
        self.png.len() + tokens.sum::<usize>()
    }
}

/// The state of a job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub id: JobId,
    pub request: Request,
    pub status: Status,
    /// `None` unless the job waits.
    pub queue_position: Option<QueuePosition>,
    /// When the job was accepted.
    pub created: SystemTime,
    /// When its first image started.
    pub started: Option<SystemTime>,
    /// When the job ended.
    pub ended: Option<SystemTime>,
    /// Why it failed, written for the client.
    pub detail: Option<Cow<'static, str>>,
    /// The finished images, sorted by index; fewer than requested until the job is completed.
    pub images: Vec<FinishedImage>,
    /// The number of the newest event.
    pub last_event: u64,
}

impl Snapshot {
    /// Whether the engine's shutdown ended the job: the fault isn't the job's, and a later process may draw it.
    pub fn was_stopped(&self) -> bool {
        self.detail.as_deref() == Some(STOPPED)
    }
}
