//! The task of a gateway that reads the events of all jobs, listens to workers and other gateways, and looks after jobs.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt;

use super::charges;
use super::connection::{Connection, REOPEN, connect_until_it_works};
use super::dispatch;
use super::fleet::WorkerReport;
use super::message::{EventMessage, MessageError, StepReport, decode, is_valid_note};
use super::shared::{KEY_ID, Shared, eta};
use crate::engine::{JobEnd, JobId, LiveJob, QueuePosition};

/// After this time without an event it is checked that there was none.
const STALL: Duration = Duration::from_secs(3);
/// The time between two rounds of looking after jobs.
const ROUND: Duration = Duration::from_millis(200);
/// The time between two rounds of publishing positions.
const POSITIONS: Duration = Duration::from_secs(1);
/// The largest number of jobs that are ended in a round.
const MAX_ENDS: usize = 64;
/// The largest number of positions that are published in a round.
const MAX_POSITIONS: usize = 64;
/// How long gateways have to say that they have a reader of a job.
const READERS_TIMEOUT: Duration = Duration::from_millis(500);
/// With fewer idempotency keys than this, expired ones aren't looked for.
const PRUNE_FROM: usize = 512;

/// Runs until it is aborted.
pub(super) async fn run(shared: Arc<Shared>) {
    let connection = connect_until_it_works(&shared.options, &shared.names, |_| {
        shared.metrics.connected.set(0);
    });
    let connection = connection.await;
    shared.connection.send_replace(Some(connection.clone()));
    tokio::join!(
        read_events(&shared, &connection),
        read_reports(&shared, &connection),
        answer_about_readers(&shared, &connection),
        look_after_jobs(&shared, &connection),
        dispatch::run(&shared, &connection),
        charges::run(&shared.charges, &shared.names, &shared.metrics, &connection),
    );
}

async fn read_events(shared: &Shared, connection: &Connection) {
    loop {
        let Err(error) = read_stream(shared, connection).await;
        tracing::warn!(%error, "the events are read again from the last one");
        tokio::time::sleep(REOPEN).await;
    }
}

/// Reads events from the last one on. Returns when the stream must be opened again.
async fn read_stream(
    shared: &Shared,
    connection: &Connection,
) -> Result<std::convert::Infallible, async_nats::Error> {
    let stream = &connection.events;
    let last = stream.get_info().await?.state.last_sequence;
    let mut applied = *shared.applied.borrow();
    if applied > last {
        tracing::error!(applied, last, "the stream of events was replaced");
        applied = 0;
        shared.applied.send_replace(0);
    }
    let config = OrderedConfig {
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: applied + 1 },
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await?;
    if consumer.cached_info().num_pending == 0 {
        advance(shared, last);
        shared.has_caught_up.store(true, Ordering::Relaxed);
    }
    let mut messages = consumer.messages().await?;
    loop {
        match tokio::time::timeout(STALL, messages.next()).await {
            Ok(Some(message)) => {
                let message = message?;
                let info = message.info()?;
                let (sequence, is_last) = (info.stream_sequence, info.pending == 0);
                apply(shared, &message, sequence, info.published.into());
                advance(shared, sequence);
                if is_last {
                    shared.has_caught_up.store(true, Ordering::Relaxed);
                }
            }
            Ok(None) => return Err("the stream has ended".into()),
            Err(_) => {
                let last = stream.get_info().await?.state.last_sequence;
                if last != *shared.applied.borrow() {
                    return Err("events are missing".into());
                }
            }
        }
    }
}

fn advance(shared: &Shared, sequence: u64) {
    shared.applied.send_if_modified(|applied| {
        let is_later = sequence > *applied;
        *applied = sequence.max(*applied);
        is_later
    });
}

/// Takes an event into the replica. An invalid one is logged and has no effect, in the same way at every gateway.
fn apply(shared: &Shared, message: &jetstream::Message, sequence: u64, at: SystemTime) {
    match try_apply(shared, message, at) {
        Ok(()) => {}
        // Another release of the program or of the weights is being rolled out.
        Err(error @ (MessageError::Version(_) | MessageError::Model { .. })) => {
            tracing::debug!(%error, sequence, "an event is skipped");
        }
        Err(error) => {
            shared.metrics.invalid_messages.inc();
            tracing::warn!(%error, sequence, subject = %message.subject, "an event is invalid");
        }
    }
}

fn try_apply(shared: &Shared, message: &jetstream::Message, at: SystemTime) -> Result<(), MessageError> {
    let replica = &shared.replica;
    let id = shared.names.job_of_event(&message.subject).ok_or(MessageError::Invalid("it has no job"))?;
    let (event, files) = decode::<EventMessage>(&message.payload)?;
    match event {
        EventMessage::Accepted { request, position, eta_ms, note, body } => {
            let request = request.request(replica.models())?;
            if !is_valid_note(&note) {
                return Err(MessageError::Invalid("its note is too long"));
            }
            let position = queue_position(position, eta_ms);
            replica.accept(id, request, at, position, &note);
            if let Some((key, body)) = key_of(message).zip(body) {
                let mut keys = shared.keys.lock();
                if keys.len() >= PRUNE_FROM && keys.len().is_power_of_two() {
                    keys.retain(|_, (id, _)| replica.contains(*id));
                }
                keys.insert(key, (id, body));
            }
        }
        EventMessage::Position { position, eta_ms } => {
            replica.set_position(id, queue_position(position, eta_ms));
        }
        EventMessage::Started { image, run, .. } => replica.start_image(id, image, run, at),
        step @ EventMessage::Step { .. } => {
            // A job that isn't known was evicted, or is one of other weights.
            let Some(request) = replica.request(id) else { return Ok(()) };
            let StepReport { run, step, image, finished } = StepReport::read(step, &files, &request)?;
            let is_finished = finished.is_some();
            if replica.step_image(id, run, (step, image), finished, at) && is_finished {
                shared.throughput.record();
            }
        }
        EventMessage::Ended { end } => replica.end(id, end, at),
    }
    Ok(())
}

fn queue_position(position: u32, eta_ms: u64) -> QueuePosition {
    QueuePosition { position: position as usize, eta: Duration::from_millis(eta_ms) }
}

/// The idempotency key of a message that accepts a job.
fn key_of(message: &jetstream::Message) -> Option<String> {
    let id = message.headers.as_ref()?.get(async_nats::header::NATS_MESSAGE_ID)?;
    let key = id.as_str().strip_prefix(KEY_ID)?;
    Some(key.split('/').next().unwrap_or(key).to_owned())
}

/// Listens to the workers.
async fn read_reports(shared: &Shared, connection: &Connection) {
    loop {
        if let Ok(mut reports) = connection.client.subscribe(shared.names.all_workers()).await {
            while let Some(message) = reports.next().await {
                let report = decode::<WorkerReport>(&message.payload);
                if !report.is_ok_and(|(report, _)| shared.fleet.record(report)) {
                    shared.metrics.invalid_messages.inc();
                }
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

/// Tells other gateways whether a client of this one reads a job's events.
async fn answer_about_readers(shared: &Shared, connection: &Connection) {
    loop {
        if let Ok(mut questions) = connection.client.subscribe(shared.names.readers()).await {
            while let Some(question) = questions.next().await {
                let job = std::str::from_utf8(&question.payload).ok().and_then(|id| id.parse().ok());
                if let (Some(job), Some(reply)) = (job, question.reply)
                    && shared.replica.has_subscribers(job)
                {
                    let _ = connection.client.publish(reply, "yes".into()).await;
                }
            }
        }
        tokio::time::sleep(REOPEN).await;
    }
}

/// Ends jobs whose time limit has passed or whose subscribers have left, publishes positions, and evicts old jobs.
async fn look_after_jobs(shared: &Shared, connection: &Connection) {
    let mut positions_due = Instant::now();
    loop {
        tokio::time::sleep(ROUND).await;
        shared.replica.evict();
        update_metrics(shared, connection);
        let live = shared.replica.live();
        shared.own.lock().retain(|id, _| live.iter().any(|job| job.id == *id));
        if connection.client.connection_state() != State::Connected {
            continue;
        }
        let options = shared.replica.options();
        let is_late =
            |job: &LiveJob| options.job_timeout.is_some_and(|limit| job.accepted.elapsed() >= limit);
        let is_abandoned =
            |job: &LiveJob| job.abandoned.is_some_and(|since| since.elapsed() >= options.disconnect_grace);
        let due = live.iter().filter(|job| is_late(job) || is_abandoned(job)).take(MAX_ENDS);
        let ends = due.map(async |job| {
            if is_late(job) {
                end(shared, job.id, JobEnd::TimedOut).await;
            } else if !is_read_elsewhere(shared, connection, job.id).await {
                end(shared, job.id, JobEnd::Canceled).await;
            }
        });
        futures_util::future::join_all(ends).await;
        if positions_due <= Instant::now() {
            positions_due = Instant::now() + POSITIONS;
            publish_positions(shared, connection, &live).await;
        }
    }
}

async fn end(shared: &Shared, id: JobId, end: JobEnd) {
    if let Err(error) = shared.end(id, end).await {
        tracing::warn!(%error, job = %id, "a job could not be ended; it will be tried again");
    }
}

/// Whether a client of another gateway reads a job's events.
async fn is_read_elsewhere(shared: &Shared, connection: &Connection, id: JobId) -> bool {
    let request = async_nats::Request::new().payload(id.to_string().into()).timeout(Some(READERS_TIMEOUT));
    connection.client.send_request(shared.names.readers(), request).await.is_ok()
}

/// Tells the clients of jobs that this gateway accepted where they wait now.
async fn publish_positions(shared: &Shared, connection: &Connection, live: &[LiveJob]) {
    let rate = shared.images_per_second();
    let mut changed = Vec::new();
    {
        let mut own = shared.own.lock();
        let mut ahead = 0;
        let mut waiting: Vec<&LiveJob> = live.iter().filter(|job| job.position.is_some()).collect();
        waiting.sort_unstable_by_key(|job| job.position);
        for job in waiting {
            if let Some(position) = job.position
                && let Some(last) = own.get_mut(&job.id)
                && *last != position
                && changed.len() < MAX_POSITIONS
            {
                *last = position;
                changed.push((job.id, QueuePosition { position, eta: eta(ahead, rate) }));
            }
            ahead += job.waiting_images;
        }
    }
    for (id, position) in changed {
        shared.publish_position(connection, id, position).await;
    }
}

fn update_metrics(shared: &Shared, connection: &Connection) {
    let workers = shared.fleet.workers();
    let sum = |count: fn(&WorkerReport) -> u32| workers.iter().map(|it| i64::from(count(it))).sum::<i64>();
    let metrics = &shared.metrics;
    metrics.connected.set(i64::from(connection.client.connection_state() == State::Connected));
    metrics.workers.set(workers.len() as i64);
    metrics.worker_slots.set(sum(|worker| worker.slots));
    metrics.worker_slots_in_use.set(sum(|worker| worker.slots_in_use));
}
