//! A job: its state, its finished images and its event log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::Request;
use super::event::{Event, Finished, JobId, Place, Progress, Snapshot, Status};
use crate::model::ModelInfo;

/// How a job ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Completed,
    Failed(&'static str),
    Canceled,
}

/// How a job that ended fared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub status: Status,
    /// Finished images.
    pub images: usize,
    /// From its acceptance to its end.
    pub time: Duration,
}

/// What a reader of the log finds.
pub(super) enum Read {
    Event(Arc<Event>),
    NotYet,
    /// Nothing follows.
    End,
}

/// A job as the engine keeps it.
#[derive(Debug)]
pub(super) struct Job {
    pub id: JobId,
    pub request: Request,
    /// The model's place among the engine's.
    pub model: usize,
    pub info: Arc<ModelInfo>,
    pub accepted: Instant,
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
    /// The last place that was logged.
    position: usize,
    created: SystemTime,
    started: Option<(Instant, SystemTime)>,
    ended: Option<SystemTime>,
    /// Whether a step was logged.
    stepped: bool,
    subscribers: usize,
    /// Since when the last subscriber has been gone.
    deserted: Option<Instant>,
}

impl Job {
    /// A job that is about to wait: its first event is [`Job::queue`]'s.
    pub fn new(request: Request, model: usize, info: Arc<ModelInfo>) -> Self {
        let state = State {
            status: Status::Queued,
            log: Vec::new(),
            images: BTreeMap::new(),
            position: 0,
            created: SystemTime::now(),
            started: None,
            ended: None,
            stepped: false,
            subscribers: 0,
            deserted: None,
        };
        let (id, length) = (JobId::random(), watch::Sender::new(0));
        Self { id, request, model, info, accepted: Instant::now(), state: Mutex::new(state), length }
    }

    pub fn is_live(&self) -> bool {
        !self.state.lock().status.is_end()
    }

    /// Counts a subscriber in; what it waits on.
    pub fn join(&self) -> watch::Receiver<usize> {
        let mut state = self.state.lock();
        state.subscribers += 1;
        state.deserted = None;
        self.length.subscribe()
    }

    /// Counts a subscriber out.
    pub fn leave(&self) {
        let mut state = self.state.lock();
        state.subscribers -= 1;
        if state.subscribers == 0 {
            state.deserted = Some(Instant::now());
        }
    }

    /// The event at an index of the log.
    pub fn event(&self, index: usize) -> Read {
        let state = self.state.lock();
        match state.log.get(index) {
            Some(event) => Read::Event(Arc::clone(event)),
            None if state.status.is_end() => Read::End,
            None => Read::NotYet,
        }
    }

    /// Since when all its subscribers have been gone, where it had any and should end for that.
    pub fn deserted(&self) -> Option<Instant> {
        self.state.lock().deserted.filter(|_| self.request.cancel_on_disconnect())
    }

    /// Logs a place; does nothing where it is the last one or the job doesn't wait any more.
    pub fn queue(&self, place: Place) {
        let mut state = self.state.lock();
        if state.status == Status::Queued && state.position != place.position {
            state.position = place.position;
            self.append(&mut state, Event::Queued(place));
        }
    }

    /// Notes that its first image begins; does nothing if one already has.
    pub fn start(&self) {
        let mut state = self.state.lock();
        if state.status == Status::Queued {
            state.status = Status::Running;
            state.started = Some((Instant::now(), SystemTime::now()));
            self.append(&mut state, Event::Started);
        }
    }

    /// Logs a step; does nothing after the job's end. Returns whether it was the job's first.
    pub fn step(&self, progress: Progress) -> bool {
        let mut state = self.state.lock();
        if state.status.is_end() {
            return false;
        }
        self.append(&mut state, Event::Step(progress));
        !std::mem::replace(&mut state.stepped, true)
    }

    /// Keeps a finished image; does nothing after the job's end. Returns whether all images are now there.
    pub fn finish_image(&self, index: u32, png: Bytes) -> bool {
        let mut state = self.state.lock();
        if !state.status.is_end() {
            state.images.insert(index, png);
        }
        state.images.len() == self.request.count() as usize
    }

    /// Ends the job. Returns how it fared, or `None`, and changes nothing, where it already had ended.
    pub fn end(&self, end: End) -> Option<Outcome> {
        let mut state = self.state.lock();
        if state.status.is_end() {
            return None;
        }
        let (status, event) = match end {
            End::Completed => (Status::Completed, Event::Completed),
            End::Failed(detail) => (Status::Failed, Event::Failed { detail }),
            End::Canceled => (Status::Canceled, Event::Canceled),
        };
        state.status = status;
        state.ended = Some(SystemTime::now());
        self.append(&mut state, event);
        let outcome = Outcome { status, images: state.images.len(), time: self.accepted.elapsed() };
        let ran = state.started.map_or_else(Default::default, |(started, _)| started.elapsed());
        tracing::info!(
            job = %self.id,
            status = status.as_str(),
            model = self.info.config.name,
            class = self.request.settings().class(),
            images = outcome.images,
            waited_ms = outcome.time.saturating_sub(ran).as_millis() as u64,
            ran_ms = ran.as_millis() as u64,
            "job ended"
        );
        Some(outcome)
    }

    /// About how many bytes its log and its images take.
    pub fn size(&self) -> usize {
        let state = self.state.lock();
        let log: usize = state.log.iter().map(|event| event.size()).sum();
        log + state.images.values().map(Bytes::len).sum::<usize>()
    }

    /// The job now; `place` where it waits.
    pub fn snapshot(&self, place: Option<Place>) -> Snapshot {
        let state = self.state.lock();
        let detail = match state.log.last().map(Arc::as_ref) {
            Some(Event::Failed { detail }) => Some(*detail),
            _ => None,
        };
        Snapshot {
            id: self.id,
            model: Arc::clone(&self.info),
            request: self.request.clone(),
            status: state.status,
            place: place.filter(|_| state.status == Status::Queued),
            created: state.created,
            started: state.started.map(|(_, started)| started),
            ended: state.ended,
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
