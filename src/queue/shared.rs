//! What the tasks of a gateway share: the connection, the jobs, and how jobs are published and ended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_nats::connection::State;
use async_nats::jetstream::publish::PublishAck;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::charges::Charges;
use super::connection::Connection;
use super::fleet::{Fleet, Throughput};
use super::message::{EventMessage, ImageTask, RequestMessage, decode, encode, is_valid_note};
use super::metrics::QueueMetrics;
use super::names::Names;
use super::options::QueueOptions;
use super::publish::{Outgoing, publish, publish_within};
use super::queued_images::QueuedImages;
use crate::engine::{JobEnd, JobId, QueuePosition, Replica, Request, SubmitError};

/// How the ids of messages that accept the job of an idempotency key begin.
pub(super) const KEY_ID: &str = "key/";
/// How long a request waits for the servers.
pub(super) const PATIENCE: Duration = Duration::from_secs(8);
/// When to try again while the servers can't be reached.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The longest `Retry-After`.
const LONGEST_RETRY: Duration = Duration::from_secs(120);

/// What a gateway's tasks share.
pub(super) struct Shared {
    pub names: Names,
    pub options: QueueOptions,
    pub replica: Replica,
    pub fleet: Fleet,
    pub throughput: Throughput,
    pub metrics: QueueMetrics,
    /// `None` until the first connection.
    pub connection: watch::Sender<Option<Connection>>,
    /// The sequence number of the last event that was read.
    pub applied: watch::Sender<u64>,
    /// Whether all events of the time before the start were read.
    pub has_caught_up: AtomicBool,
    /// The jobs of idempotency keys, with the hashes of their bodies.
    pub keys: Mutex<HashMap<String, (JobId, String)>>,
    /// The jobs that this gateway accepted, with the last position that it published.
    pub own: Mutex<HashMap<JobId, usize>>,
    pub is_accepting: AtomicBool,
    pub queued_images: QueuedImages,
    pub charges: Arc<Charges>,
    /// Images of jobs that are being accepted.
    pub reserved: AtomicUsize,
}

/// A job as the web layer submits it.
#[derive(Debug)]
pub struct Submission {
    pub request: Request,
    /// What the web layer keeps of the job; every gateway can read it.
    pub note: String,
    /// The key of an earlier submission that this one may repeat, and the hash of the body.
    pub key: Option<(String, String)>,
}

/// What became of a [`Submission`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The job.
    New(JobId),
    /// The job that an earlier submission with the same key and body made.
    Earlier(JobId),
    /// An earlier submission with the same key had another body.
    KeyReused,
}

impl Shared {
    /// The connection, if jobs can be accepted.
    pub fn connection(&self) -> Result<Connection, SubmitError> {
        if !self.is_accepting.load(Ordering::Relaxed) {
            return Err(SubmitError::ShuttingDown);
        }
        let connection = self.connection.borrow().clone();
        let connected = connection.filter(|it| it.client.connection_state() == State::Connected);
        let has_caught_up = self.has_caught_up.load(Ordering::Relaxed);
        connected.filter(|_| has_caught_up).ok_or(SubmitError::Unavailable { retry_after: RETRY_AFTER })
    }

    /// Images per second: measured, or what the workers say of earlier times.
    pub fn images_per_second(&self) -> f64 {
        let measured = self.throughput.images_per_second();
        if measured > 0.0 {
            return measured;
        }
        self.fleet.workers().iter().map(|worker| worker.images_per_second).sum()
    }

    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let Submission { request, note, key } = submission;
        if !self.replica.knows(request.model()) {
            return Err(SubmitError::UnknownModel);
        }
        let connection = self.connection()?;
        debug_assert!(is_valid_note(&note));
        // An earlier job may be found even where the queue is full.
        if let Some(found) = key.as_ref().and_then(|(key, body)| self.find_key(key, body)) {
            return Ok(found);
        }
        let live = self.replica.live();
        let count = request.count() as usize;
        let reserved = Reservation::new(&self.reserved, count);
        let waiting = live.iter().map(|job| job.waiting_images).sum::<usize>() + reserved.before;
        let excess = (waiting + count).saturating_sub(self.replica.options().max_queue);
        let rate = self.images_per_second();
        if excess > 0 && waiting > 0 {
            let retry_after = eta(excess, rate).clamp(Duration::from_secs(1), LONGEST_RETRY);
            let retry_after = Duration::from_secs(retry_after.as_secs_f64().ceil() as u64);
            return Err(SubmitError::Full { waiting, retry_after });
        }
        let id = JobId::random();
        let (position, ahead) = self.replica.position_of(&request);
        let message = RequestMessage::new(&request).map_err(|error| unavailable(&error))?;
        let accepted = EventMessage::Accepted {
            request: Box::new(message),
            position: position as u32,
            eta_ms: eta(ahead, rate).as_millis() as u64,
            note,
            body: key.as_ref().map(|(_, body)| body.clone()),
        };
        let mut accepted = Outgoing {
            subject: self.names.accepted(id),
            id: Some(key.as_ref().map_or_else(|| format!("{id}/accepted"), |(key, _)| key_id(key))),
            payload: encode(&accepted, &[]).map_err(|error| unavailable(&error))?,
        };
        let mut stored = self.publish(&connection, &accepted).await?;
        if stored.duplicate
            && let Some((key, body)) = &key
        {
            // Another request with the same key was faster, or an attempt whose answer was lost.
            let (earlier, earlier_body) = self.read_accepted(&connection, stored.sequence).await?;
            if earlier != id && self.replica.contains(earlier) {
                let is_equal = earlier_body.as_ref() == Some(body);
                return Ok(if is_equal { Submitted::Earlier(earlier) } else { Submitted::KeyReused });
            }
            if earlier != id {
                // That job was evicted.
                accepted.id = Some(format!("{}/{earlier}", key_id(key)));
                stored = self.publish(&connection, &accepted).await?;
            }
        }
        self.own.lock().insert(id, position);
        // If nothing waits. What isn't published here is published when it is due, by any gateway.
        let images = self.queued_images.take_spare(request.model().index(), request.count());
        self.publish_images(&connection, id, &request, 0..images).await;
        self.wait_until_applied(stored.sequence).await?;
        Ok(Submitted::New(id))
    }

    async fn publish(&self, connection: &Connection, message: &Outgoing) -> Result<PublishAck, SubmitError> {
        publish_within(connection, message, PATIENCE).await.map_err(|error| unavailable(&error))
    }

    /// The job of an earlier submission with a key, if that is known here.
    fn find_key(&self, key: &str, body: &str) -> Option<Submitted> {
        let (id, earlier) = self.keys.lock().get(key).cloned()?;
        self.replica
            .contains(id)
            .then(|| if earlier == body { Submitted::Earlier(id) } else { Submitted::KeyReused })
    }

    /// The job whose acceptance has this sequence number, and the hash of its body.
    async fn read_accepted(
        &self,
        connection: &Connection,
        sequence: u64,
    ) -> Result<(JobId, Option<String>), SubmitError> {
        let message =
            connection.events.get_raw_message(sequence).await.map_err(|error| unavailable(&error))?;
        self.wait_until_applied(sequence).await?;
        let id = self.names.job_of_event(&message.subject);
        let event = decode::<EventMessage>(&message.payload).map(|(event, _)| event);
        match (id, event) {
            (Some(id), Ok(EventMessage::Accepted { body, .. })) => Ok((id, body)),
            _ => Err(SubmitError::Unavailable { retry_after: RETRY_AFTER }),
        }
    }

    /// Ends a job for all gateways and workers.
    pub async fn end(&self, id: JobId, end: JobEnd) -> Result<(), SubmitError> {
        // A gateway that shuts down still cancels what its clients left.
        let connection = self.connection.borrow().clone();
        let connection = connection.ok_or(SubmitError::Unavailable { retry_after: RETRY_AFTER })?;
        let payload = encode(&EventMessage::Ended { end }, &[]).map_err(|error| unavailable(&error))?;
        let message = Outgoing { subject: self.names.ended(id), id: Some(format!("{id}/ended")), payload };
        let stored = self.publish(&connection, &message).await?;
        self.remove_images(&connection, id).await;
        self.wait_until_applied(stored.sequence).await
    }

    /// Publishes images of a job for the workers, and returns whether all are queued. Those that were published before are ignored
    /// by the servers.
    pub async fn publish_images(
        &self,
        connection: &Connection,
        id: JobId,
        request: &Request,
        images: impl IntoIterator<Item = u32>,
    ) -> bool {
        let model = request.model().index();
        let published = images.into_iter().map(async |image| {
            let Ok(message) = RequestMessage::new(&request.part(image)) else { return true };
            let task = ImageTask { job: id.to_string(), image, request: message };
            let Ok(payload) = encode(&task, &[]) else { return true };
            let subject = self.names.work(request.model(), id, image);
            let message = Outgoing { subject, id: Some(format!("{id}/{image}")), payload };
            // Before it is: the next round doesn't choose it again.
            self.queued_images.known.lock().insert((model, id, image), Instant::now());
            match publish_within(connection, &message, PATIENCE).await {
                Ok(_) => true,
                Err(error) => {
                    self.queued_images.known.lock().remove(&(model, id, image));
                    tracing::warn!(%error, job = %id, "an image could not be queued; it will be tried again");
                    false
                }
            }
        });
        let all_queued =
            futures_util::future::join_all(published).await.into_iter().all(|is_queued| is_queued);
        // A job that ended meanwhile had its images removed before these came.
        if self.replica.has_ended(id) {
            self.remove_images(connection, id).await;
        }
        all_queued
    }

    /// Removes the images of a job that has ended.
    pub async fn remove_images(&self, connection: &Connection, id: JobId) {
        let purged = connection.work.purge().filter(self.names.work_of_job(id)).await;
        if let Err(error) = purged {
            tracing::debug!(%error, job = %id, "the images of an ended job stay queued");
        }
    }

    /// Tells clients another position of a job.
    pub async fn publish_position(&self, connection: &Connection, id: JobId, position: QueuePosition) {
        let message = EventMessage::Position {
            position: position.position as u32,
            eta_ms: position.eta.as_millis() as u64,
        };
        let Ok(payload) = encode(&message, &[]) else { return };
        let message = Outgoing { subject: self.names.position(id), id: None, payload };
        if let Err(error) = publish(connection, &message).await {
            tracing::debug!(%error, job = %id, "a queue position could not be published");
        }
    }

    /// Waits until an event was read.
    pub async fn wait_until_applied(&self, sequence: u64) -> Result<(), SubmitError> {
        let mut applied = self.applied.subscribe();
        let waited = tokio::time::timeout(PATIENCE, applied.wait_for(|&applied| applied >= sequence)).await;
        match waited {
            Ok(Ok(_)) => Ok(()),
            _ => Err(SubmitError::Unavailable { retry_after: RETRY_AFTER }),
        }
    }
}

/// Images of a job that is being accepted.
struct Reservation<'a> {
    reserved: &'a AtomicUsize,
    count: usize,
    before: usize,
}

impl<'a> Reservation<'a> {
    fn new(reserved: &'a AtomicUsize, count: usize) -> Self {
        let before = reserved.fetch_add(count, Ordering::Relaxed);
        Self { reserved, count, before }
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.reserved.fetch_sub(self.count, Ordering::Relaxed);
    }
}

/// The id of the message that accepts the job of an idempotency key.
fn key_id(key: &str) -> String {
    format!("{KEY_ID}{key}")
}

/// The time in which images are drawn at a speed; zero if that isn't known.
pub(super) fn eta(images: usize, images_per_second: f64) -> Duration {
    if images_per_second > 0.0 {
        Duration::try_from_secs_f64(images as f64 / images_per_second).unwrap_or(LONGEST_RETRY)
    } else {
        Duration::ZERO
    }
}

pub(super) fn unavailable(error: &dyn std::error::Error) -> SubmitError {
    tracing::warn!(%error, "the queue didn't answer");
    SubmitError::Unavailable { retry_after: RETRY_AFTER }
}
