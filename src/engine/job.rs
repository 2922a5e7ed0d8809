//! A job: its status, its finished images and its event log.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::event::{
    Event, FinishedImage, JobId, Progress, QueuePosition, RedrawnSteps, STOPPED, Snapshot, Status,
};
use super::model_handle::ModelHandle;
use super::observer::{EndedJob, Observer};
use super::request::Request;

/// How a job ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    Completed,
    /// With the text for the client.
    Failed(&'static str),
    /// The engine stops: the client sees a failure, and an observer nothing, since the job hasn't had its chance.
    Stopped,
    Canceled,
}

/// The result of a job that has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub status: Status,
    pub finished_images: usize,
    /// From acceptance to end.
    pub duration: Duration,
}

/// An entry of a job's event log.
pub(super) enum LogEntry {
    Event(Arc<Event>),
    /// There is no such event yet.
    Pending,
    /// The job has ended before this event.
    End,
}

/// A job as the engine keeps it.
pub(super) struct Job {
    pub id: JobId,
    pub request: Request,
    pub accepted: Instant,
    /// Who is told of its end.
    pub observer: Option<Arc<dyn Observer>>,
    state: Mutex<State>,
    /// The log's length, which subscribers wait on. They read the log itself by index, so a slow subscriber costs no
    /// memory and misses no event.
    log_length: watch::Sender<usize>,
}

#[derive(Debug)]
struct State {
    status: Status,
    log: Vec<Arc<Event>>,
    images: BTreeMap<u32, FinishedImage>,
    /// The last queue position in the log; 0 before the first.
    last_position: usize,
    created: SystemTime,
    started: Option<(Instant, SystemTime)>,
    ended: Option<SystemTime>,
    has_stepped: bool,
    subscribers: usize,
    /// When the last subscriber left.
    abandoned: Option<Instant>,
}

impl Job {
    /// A job without events. [`Job::publish_position`] must log its first.
    pub fn new(request: Request, observer: Option<Arc<dyn Observer>>) -> Self {
        Self::accepted(JobId::random(), request, SystemTime::now(), observer)
    }

    /// The same for a job with an id, which was accepted at a time.
    pub fn accepted(
        id: JobId,
        request: Request,
        created: SystemTime,
        observer: Option<Arc<dyn Observer>>,
    ) -> Self {
        let state = State {
            status: Status::Queued,
            log: Vec::new(),
            images: BTreeMap::new(),
            last_position: 0,
            created,
            started: None,
            ended: None,
            has_stepped: false,
            subscribers: 0,
            abandoned: None,
        };
        let log_length = watch::Sender::new(0);
        Self { id, request, accepted: Instant::now(), observer, state: Mutex::new(state), log_length }
    }

    /// A job that ended earlier, perhaps in another process.
    pub fn restored(ended: EndedJob) -> Self {
        let EndedJob { snapshot, events } = ended;
        let log_length = watch::Sender::new(events.len());
        let images = snapshot.images.into_iter().map(|image| (image.index, image));
        let state = State {
            status: snapshot.status,
            log: events,
            images: images.collect(),
            last_position: 0,
            created: snapshot.created,
            started: snapshot.started.map(|started| (Instant::now(), started)),
            ended: snapshot.ended,
            has_stepped: true,
            subscribers: 0,
            abandoned: None,
        };
        let (id, request, accepted) = (snapshot.id, snapshot.request, Instant::now());
        Self { id, request, accepted, observer: None, state: Mutex::new(state), log_length }
    }

    /// The job with all its events, once it has ended.
    pub fn ended(&self) -> EndedJob {
        EndedJob { snapshot: self.snapshot(None), events: self.state.lock().log.clone() }
    }

    pub fn model(&self) -> &ModelHandle {
        self.request.model()
    }

    /// Whether the job hasn't ended.
    pub fn is_live(&self) -> bool {
        !self.state.lock().status.is_terminal()
    }

    /// Counts a subscriber and returns the log's length to wait on.
    pub fn add_subscriber(&self) -> watch::Receiver<usize> {
        let mut state = self.state.lock();
        state.subscribers += 1;
        state.abandoned = None;
        self.log_length.subscribe()
    }

    pub fn remove_subscriber(&self) {
        let mut state = self.state.lock();
        state.subscribers -= 1;
        if state.subscribers == 0 {
            state.abandoned = Some(Instant::now());
        }
    }

    /// The log's entry at an index.
    pub fn log_entry(&self, index: usize) -> LogEntry {
        let state = self.state.lock();
        match state.log.get(index) {
            Some(event) => LogEntry::Event(Arc::clone(event)),
            None if state.status.is_terminal() => LogEntry::End,
            None => LogEntry::Pending,
        }
    }

    /// The log's length to wait on, without being counted as a subscriber.
    pub fn log_length(&self) -> watch::Receiver<usize> {
        self.log_length.subscribe()
    }

    /// Whether somebody reads its events.
    pub fn has_subscribers(&self) -> bool {
        self.state.lock().subscribers > 0
    }

    /// When the last subscriber left, if the job is to be canceled for that.
    pub fn abandoned(&self) -> Option<Instant> {
        self.state.lock().abandoned.filter(|_| self.request.cancel_on_disconnect())
    }

    /// Logs a queue position, unless it is the last one logged or the job doesn't wait any more.
    pub fn publish_position(&self, queue_position: QueuePosition) {
        let mut state = self.state.lock();
        if state.status == Status::Queued && state.last_position != queue_position.position {
            state.last_position = queue_position.position;
            self.append(&mut state, Event::Queued(queue_position));
        }
    }

    /// Logs that the job's first image starts, unless one has started before.
    pub fn start(&self) {
        self.start_at(SystemTime::now());
    }

    /// The same, at a time.
    pub fn start_at(&self, now: SystemTime) {
        let mut state = self.state.lock();
        if state.status == Status::Queued {
            state.status = Status::Running;
            state.started = Some((Instant::now(), now));
            self.append(&mut state, Event::Started);
            if let Some(observer) = &self.observer {
                observer.started(self.id);
            }
        }
    }

    /// Logs a step, unless the job has ended. Returns whether it was the job's first step.
    pub fn publish_step(&self, progress: Progress) -> bool {
        let mut state = self.state.lock();
        if state.status.is_terminal() {
            return false;
        }
        self.append(&mut state, Event::Step(progress));
        !std::mem::replace(&mut state.has_stepped, true)
    }

    /// Logs that steps of an image don't hold any more, unless the job has ended.
    pub fn publish_redrawn(&self, steps: RedrawnSteps) {
        let mut state = self.state.lock();
        if !state.status.is_terminal() {
            self.append(&mut state, Event::Redrawn(steps));
        }
    }

    /// Whether the log has these codes for a step of an image that has taken it.
    pub fn has_tokens(&self, index: u32, step: usize, tokens: &[u32]) -> bool {
        let state = self.state.lock();
        // The last one holds.
        let found = state.log.iter().rev().find_map(|event| match &**event {
            Event::Step(progress) if progress.step == step => {
                progress.images.iter().find(|image| image.index == index)
            }
            _ => None,
        });
        found.is_some_and(|image| image.tokens == tokens)
    }

    /// Keeps a finished image, unless the job has ended. Returns whether all images are finished.
    pub fn store_image(&self, image: FinishedImage) -> bool {
        let mut state = self.state.lock();
        if !state.status.is_terminal() {
            state.images.insert(image.index, image);
        }
        state.images.len() == self.request.count() as usize
    }

    /// Ends the job. Returns `None`, and changes nothing, if it had already ended.
    pub fn end(&self, end: End) -> Option<Outcome> {
        self.end_at(end, SystemTime::now())
    }

    /// The same, at a time.
    pub fn end_at(&self, end: End, now: SystemTime) -> Option<Outcome> {
        let mut state = self.state.lock();
        if state.status.is_terminal() {
            return None;
        }
        let (status, event) = match end {
            End::Completed => (Status::Completed, Event::Completed),
            End::Failed(detail) => (Status::Failed, Event::Failed { detail: Cow::Borrowed(detail) }),
            End::Stopped => (Status::Failed, Event::Failed { detail: Cow::Borrowed(STOPPED) }),
            End::Canceled => (Status::Canceled, Event::Canceled),
        };
        state.status = status;
        state.ended = Some(now);
        self.append(&mut state, event);
        let finished_images = state.images.len();
        let outcome = Outcome { status, finished_images, duration: self.accepted.elapsed() };
        let ran = state.started.map_or_else(Default::default, |(started, _)| started.elapsed());
        tracing::info!(
            job = %self.id,
            status = status.as_str(),
            model = self.model().name(),
            class = self.request.settings().class(),
            images = finished_images,
            waited_ms = outcome.duration.saturating_sub(ran).as_millis() as u64,
            ran_ms = ran.as_millis() as u64,
            "job ended"
        );
        Some(outcome)
    }

    /// The approximate number of bytes that the request, the log and the images take.
    pub fn byte_size(&self) -> usize {
        let origin = self.request.origin_byte_size();
        let state = self.state.lock();
        let log: usize = state.log.iter().map(|event| event.byte_size()).sum();
        size_of::<Self>() + origin + log + state.images.values().map(FinishedImage::byte_size).sum::<usize>()
    }

    /// The number of finished images.
    pub fn finished_images(&self) -> usize {
        self.state.lock().images.len()
    }

    /// The job's state now. `queue_position` is used if it waits.
    pub fn snapshot(&self, queue_position: Option<QueuePosition>) -> Snapshot {
        let state = self.state.lock();
        let detail = match state.log.last().map(Arc::as_ref) {
            Some(Event::Failed { detail }) => Some(detail.clone()),
            _ => None,
        };
        Snapshot {
            id: self.id,
            request: self.request.clone(),
            status: state.status,
            queue_position: queue_position.filter(|_| state.status == Status::Queued),
            created: state.created,
            started: state.started.map(|(_, started)| started),
            ended: state.ended,
            detail,
            images: state.images.values().cloned().collect(),
            last_event: state.log.len() as u64,
        }
    }

    fn append(&self, state: &mut State, event: Event) {
        state.log.push(Arc::new(event));
        self.log_length.send_replace(state.log.len());
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("id", &self.id).field("state", &self.state).finish_non_exhaustive()
    }
}
