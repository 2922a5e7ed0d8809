//! What the outside gets to know of a job.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use uuid::Uuid;

use super::Request;
use crate::model::{Alternatives, ModelInfo};

/// A job's name: random, so that one client can't guess another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    pub(super) fn random() -> Self {
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

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No image of it has begun.
    Queued,
    Running,
    /// An end: all images are there.
    Completed,
    /// An end: a fault of the server.
    Failed,
    /// An end: somebody asked for it.
    Canceled,
}

impl Status {
    /// Whether nothing can follow.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled)
    }

    /// The name that the API uses.
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

/// What happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It waits at this place. Logged when it is accepted and whenever it has moved: up, or down where a job of a
    /// model that is in less demand goes first.
    Queued(Place),
    /// Its first image is about to be drawn.
    Started,
    /// Some of its images, all at the same timestep, took a step.
    Step(Progress),
    Completed,
    /// `detail` is for the client and names no internals.
    Failed {
        detail: &'static str,
    },
    Canceled,
}

impl Event {
    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Step(progress) => progress.images.iter().map(StepImage::size).sum(),
            _ => size_of::<Self>(),
        }
    }
}

/// Where a waiting job stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// 1 is next, counted in jobs of which no image has begun.
    pub position: usize,
    /// When its first image should begin, from measured step times.
    pub eta: Duration,
}

/// One step of some images of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 1..=T.
    pub step: usize,
    /// By rising index.
    pub images: Vec<StepImage>,
}

/// What one step did to one image. Vectors have h·w entries, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct StepImage {
    /// Number of the image in its job, from 0.
    pub index: u32,
    /// The codes drawn.
    pub tokens: Vec<u32>,
    /// Entropy in bits of the distribution that each code was drawn from.
    pub entropy: Vec<f32>,
    /// Probability of the code that was drawn.
    pub probability: Vec<f32>,
    /// The most probable codes of each position, where the request wants them.
    pub alternatives: Option<Alternatives>,
    /// Both previews, where the request wants them.
    pub preview: Option<StepPreview>,
}

impl StepImage {
    fn size(&self) -> usize {
        let numbers = self.tokens.len() + self.entropy.len() + self.probability.len();
        let alternatives =
            self.alternatives.as_ref().map_or(0, |found| found.codes.len() + found.probabilities.len());
        let preview = self.preview.as_ref().map_or(0, |preview| preview.noisy.len() + preview.clean.len());
        size_of::<Self>() + size_of::<u32>() * (numbers + alternatives) + preview
    }
}

/// What an image is so far.
#[derive(Debug, Clone, PartialEq)]
pub struct StepPreview {
    /// The running latent, decoded: a PNG file.
    pub noisy: Bytes,
    /// The same less its noise: a PNG file.
    pub clean: Bytes,
}

/// A finished image.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Number of the image in its job, from 0.
    pub index: u32,
    /// A PNG file.
    pub png: Bytes,
}

/// A job at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub id: JobId,
    /// The one that draws it.
    pub model: Arc<ModelInfo>,
    pub request: Request,
    pub status: Status,
    /// While it waits.
    pub place: Option<Place>,
    pub created: SystemTime,
    /// When its first image began.
    pub started: Option<SystemTime>,
    pub ended: Option<SystemTime>,
    /// Why it failed, for the client.
    pub detail: Option<&'static str>,
    /// The finished images by rising index; fewer than asked for until it is completed.
    pub images: Vec<Finished>,
    /// Number of the newest event.
    pub last_event: u64,
}
