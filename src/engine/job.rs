//! A job: its state, its finished images and its event log.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::Request;

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
    /// It waits; `position` 1 is next, counted in jobs.
    Queued {
        position: usize,
    },
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
    pub request: Request,
    pub status: Status,
    /// While it waits: 1 is next, counted in jobs.
    pub position: Option<usize>,
    /// Why it failed, for the client.
    pub detail: Option<&'static str>,
    /// The finished images by rising index; fewer than asked for until it is completed.
    pub images: Vec<Finished>,
    /// Number of the newest event.
    pub last_event: u64,
}

/// How a job ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Completed,
    Failed(&'static str),
    Canceled,
}

/// A job as the engine keeps it.
#[derive(Debug)]
pub(super) struct Job {
    pub id: JobId,
    pub request: Request,
    state: Mutex<State>,
    /// The log's length: what subscribers wait on. They read the log itself by number, so that a slow one costs
    /// nothing and misses nothing.
    length: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    status: Status,
    log: Vec<Arc<Event>>,
    images: BTreeMap<u32, Bytes>,
    accepted: Instant,
    started: Option<Instant>,
}

impl Job {
    /// A job that waits at a position.
    pub fn new(request: Request, position: usize) -> Self {
        let log = vec![Arc::new(Event::Queued { position })];
        let length = watch::Sender::new(log.len());
        let state = State {
            status: Status::Queued,
            log,
            images: BTreeMap::new(),
            accepted: Instant::now(),
            started: None,
        };
        Self { id: JobId::random(), request, state: Mutex::new(state), length }
    }

    pub fn is_live(&self) -> bool {
        !self.state.lock().status.is_end()
    }

    /// Notes that its first image begins; does nothing if one already has.
    pub fn start(&self) {
        let mut state = self.state.lock();
        if state.status == Status::Queued {
            state.status = Status::Running;
            state.started = Some(Instant::now());
            self.append(&mut state, Event::Started);
        }
    }

    /// Logs a step; does nothing after the job's end.
    pub fn step(&self, progress: Progress) {
        let mut state = self.state.lock();
        if !state.status.is_end() {
            self.append(&mut state, Event::Step(progress));
        }
    }

    /// Keeps a finished image; does nothing after the job's end. Returns whether all images are now there.
    pub fn finish_image(&self, index: u32, png: Bytes) -> bool {
        let mut state = self.state.lock();
        if !state.status.is_end() {
            state.images.insert(index, png);
        }
        state.images.len() == self.request.count() as usize
    }

    /// Ends the job. Returns false, and changes nothing, where it already had ended.
    pub fn end(&self, end: End) -> bool {
        let mut state = self.state.lock();
        if state.status.is_end() {
            return false;
        }
        let (status, event) = match end {
            End::Completed => (Status::Completed, Event::Completed),
            End::Failed(detail) => (Status::Failed, Event::Failed { detail }),
            End::Canceled => (Status::Canceled, Event::Canceled),
        };
        state.status = status;
        self.append(&mut state, event);
        let waited = state.started.map_or(state.accepted.elapsed(), |started| started - state.accepted);
        let ran = state.started.map_or_else(Default::default, |started| started.elapsed());
        tracing::info!(
            job = %self.id,
            status = status.as_str(),
            class = self.request.settings().class(),
            images = state.images.len(),
            waited_ms = waited.as_millis(),
            ran_ms = ran.as_millis(),
            "job ended"
        );
        true
    }

    /// The job now; `position` where it waits.
    pub fn snapshot(&self, position: Option<usize>) -> Snapshot {
        let state = self.state.lock();
        let detail = match state.log.last().map(Arc::as_ref) {
            Some(Event::Failed { detail }) => Some(*detail),
            _ => None,
        };
        Snapshot {
            id: self.id,
            request: self.request.clone(),
            status: state.status,
            position: position.filter(|_| state.status == Status::Queued),
            detail,
            images: state.images.iter().map(|(&index, png)| Finished { index, png: png.clone() }).collect(),
            last_event: state.log.len() as u64,
        }
    }

    fn append(&self, state: &mut State, event: Event) {
        state.log.push(Arc::new(event));
        self.length.send_replace(state.log.len());
    }
}

/// A reader of one job's events, at its own pace. It keeps the job readable, also beyond its retention.
#[derive(Debug)]
pub struct Subscription {
    job: Arc<Job>,
    length: watch::Receiver<usize>,
    next: usize,
}

impl Subscription {
    pub(super) fn new(job: Arc<Job>, after: u64) -> Self {
        let length = job.length.subscribe();
        // A number from the future (of another server's life) means: nothing of this log was seen.
        let next = usize::try_from(after).ok().filter(|&after| after <= *length.borrow()).unwrap_or(0);
        Self { job, length, next }
    }

    /// The next event and its number (1, 2, …), as soon as there is one; `None` after the job's end. Canceling the
    /// future loses nothing.
    pub async fn next(&mut self) -> Option<(u64, Arc<Event>)> {
        loop {
            self.length.borrow_and_update();
            {
                let state = self.job.state.lock();
                if let Some(event) = state.log.get(self.next) {
                    self.next += 1;
                    return Some((self.next as u64, Arc::clone(event)));
                }
                if state.status.is_end() {
                    return None;
                }
            }
            self.length.changed().await.ok()?;
        }
    }

    /// Whether the job has ended and all its events were read.
    pub fn is_exhausted(&self) -> bool {
        let state = self.job.state.lock();
        state.status.is_end() && self.next >= state.log.len()
    }

    /// The job whose events these are.
    pub fn id(&self) -> JobId {
        self.job.id
    }

    /// The job now, without its position.
    pub fn snapshot(&self) -> Snapshot {
        self.job.snapshot(None)
    }
}
