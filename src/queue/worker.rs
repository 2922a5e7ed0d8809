//! A worker: draws images of the queue with the engine of its process.
//!
//! It asks for as many images as it has free slots, so that none waits here while another worker is free. Each image is a job of
//! the engine, and shares the engine's batches. Its steps are published as they come, and it is acknowledged after its last; if
//! the worker ends before that, another draws it again. Each attempt is a run with a number of its own: the steps of the run
//! that started last count, so a worker that lost its image doesn't acknowledge it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::jetstream::{self, AckKind};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::connection::{self, Connection};
use super::error::QueueError;
use super::fleet::{REPORT_INTERVAL, Throughput, WorkerModel, WorkerReport};
use super::message::{
    EventMessage, ImageTask, MessageError, StepReport, TokenizeReply, TokenizeTask, decode, encode, read_png,
    tokenize_reply,
};
use super::names::Names;
use super::options::QueueOptions;
use super::publish::{Outgoing, publish};
use super::streams;
use crate::engine::{
    Engine, Event, FinishedImage, JobEnd, JobId, ModelHandle, Status, SubmitError, TokenizeError,
};

/// The longest time that a request for images waits at the servers.
const PULL: Duration = Duration::from_secs(5);
/// The pause after a failed request to the servers.
const RETRY: Duration = Duration::from_millis(250);
/// The longest pause while the model of an image can't be used here.
const NOT_READY: Duration = Duration::from_secs(1);
/// The longest pause before an image that failed is drawn again.
const LONGEST_DELAY: Duration = Duration::from_secs(10);
/// Images that are tokenized for the queue at once.
const MAX_TOKENIZE: usize = 4;

/// Draws images of the queue until `stop` resolves, then finishes what it has started, for up to `drain`. `slots` is the number
/// of images that the engine draws at once. The engine should have no limit of a job's time, and is not shut down.
///
/// # Errors
/// [`QueueError`] for the options. It waits for servers that can't be reached.
pub async fn work(
    engine: Arc<Engine>,
    options: QueueOptions,
    slots: usize,
    drain: Duration,
    stop: impl Future<Output = ()>,
) -> Result<(), QueueError> {
    connection::check(&options).await?;
    let names = Names::new(&options.prefix);
    let mut stop = std::pin::pin!(stop);
    let connection = tokio::select! {
        connection = connection::connect_until_it_works(&options, &names, |_| {}) => connection,
        () = &mut stop => return Ok(()),
    };
    let worker = Arc::new(Worker {
        name: worker_name(),
        free: Arc::new(Semaphore::new(slots)),
        engine,
        names,
        options,
        connection,
        slots,
        is_leaving: AtomicBool::new(false),
        in_flight: Mutex::default(),
        throughput: Throughput::default(),
    });
    tracing::info!(worker = worker.name, slots, "working for the queue");
    let (stopping, stopped) = watch::channel(false);
    let mut pulls = JoinSet::new();
    let mut services = JoinSet::new();
    for model in worker.engine.models() {
        pulls.spawn(Arc::clone(&worker).pull(model.clone(), stopped.clone()));
        services.spawn(Arc::clone(&worker).tokenize(model.clone()));
    }
    services.spawn(Arc::clone(&worker).hear_of_ended_jobs());
    services.spawn(Arc::clone(&worker).report());
    stop.await;
    worker.is_leaving.store(true, Ordering::Relaxed);
    stopping.send_replace(true);
    tracing::info!(?drain, "finishing the images that are drawn");
    while pulls.join_next().await.is_some() {}
    // All slots are free when nothing is drawn any more.
    let idle = worker.free.acquire_many(slots as u32);
    if tokio::time::timeout(drain, idle).await.is_err() {
        let unfinished: Vec<_> = worker.in_flight.lock().values().cloned().collect();
        for image in unfinished {
            image.task.abort();
            let _ = image.message.ack_with(AckKind::Nak(None)).await;
        }
    }
    services.shutdown().await;
    worker.in_flight.lock().clear();
    worker.publish_report().await;
    let _ = worker.connection.client.flush().await;
    Ok(())
}

struct Worker {
    name: String,
    engine: Arc<Engine>,
    names: Names,
    options: QueueOptions,
    connection: Connection,
    slots: usize,
    free: Arc<Semaphore>,
    is_leaving: AtomicBool,
    /// By job of the queue and image.
    in_flight: Mutex<HashMap<(JobId, u32), InFlight>>,
    throughput: Throughput,
}

#[derive(Clone)]
struct InFlight {
    message: Arc<jetstream::Message>,
    task: AbortHandle,
    /// The engine's job.
    local: Option<JobId>,
}

/// What becomes of a message.
enum Done {
    /// The image is finished, or nobody wants it any more.
    Ack,
    /// Another worker has started it since, and acknowledges it.
    Lost,
    /// Another attempt, after a pause.
    Again(Duration),
    /// The job fails.
    Fail(JobEnd),
}

impl Worker {
    /// Asks for images of a model until told to stop.
    async fn pull(self: Arc<Self>, model: ModelHandle, mut stopped: watch::Receiver<bool>) {
        // Models share the slots. One without images holds a single slot, if there are others.
        let models = self.engine.models().len();
        let share = (self.slots / models).max(1);
        let (idle, most) =
            (if models == 1 { share } else { 1 }, (self.slots + 1).saturating_sub(models).max(1));
        let mut wanted = share;
        let mut consumer = None;
        while !*stopped.borrow() {
            let Ok(permit) = Arc::clone(&self.free).acquire_owned().await else { return };
            let mut permits = vec![permit];
            while permits.len() < wanted
                && let Ok(permit) = Arc::clone(&self.free).try_acquire_owned()
            {
                permits.push(permit);
            }
            let count = permits.len();
            let pulled = tokio::select! {
                pulled = self.pull_some(&model, &mut consumer, &mut permits) => pulled,
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            wanted = match pulled {
                Ok(()) if permits.len() == count => idle,
                Ok(()) => (2 * wanted).min(most),
                Err(error) => {
                    tracing::warn!(%error, model = model.name(), "no images could be asked for");
                    consumer = None;
                    drop(permits);
                    tokio::time::sleep(RETRY).await;
                    wanted
                }
            };
        }
    }

    /// Asks for as many images as there are permits, and starts them. Returns when there are no more for a while.
    async fn pull_some(
        self: &Arc<Self>,
        model: &ModelHandle,
        consumer: &mut Option<PullConsumer>,
        permits: &mut Vec<OwnedSemaphorePermit>,
    ) -> Result<(), async_nats::Error> {
        let consumer = match consumer {
            Some(consumer) => consumer,
            None => {
                let config = streams::consumer(&self.names, &self.options, model);
                consumer.insert(self.connection.work.create_consumer(config).await?)
            }
        };
        let batch = consumer.batch().max_messages(permits.len()).expires(PULL).heartbeat(PULL / 3);
        let mut messages = batch.messages().await?;
        while let Some(message) = messages.next().await {
            let Some(permit) = permits.pop() else { break };
            self.start(message?, model.clone(), permit);
        }
        Ok(())
    }

    /// Draws the image of a message on a task of its own.
    fn start(
        self: &Arc<Self>,
        message: jetstream::Message,
        model: ModelHandle,
        permit: OwnedSemaphorePermit,
    ) {
        let (worker, message) = (Arc::clone(self), Arc::new(message));
        let image = self.names.image_of_work(&message.subject, self.engine.models());
        let key = image.map(|(_, job, image)| (job, image));
        let mut in_flight = self.in_flight.lock();
        let own = Arc::clone(&message);
        let task = tokio::spawn(async move {
            worker.handle(&own, key, &model).await;
            if let Some(key) = key {
                worker.remove(key, &own);
            }
            drop(permit);
        });
        if let Some(key) = key {
            in_flight.insert(key, InFlight { message, task: task.abort_handle(), local: None });
        }
    }

    fn remove(&self, key: (JobId, u32), message: &Arc<jetstream::Message>) {
        let mut in_flight = self.in_flight.lock();
        // A redelivered image may have replaced it.
        if in_flight.get(&key).is_some_and(|image| Arc::ptr_eq(&image.message, message)) {
            in_flight.remove(&key);
        }
    }

    async fn handle(
        &self,
        message: &Arc<jetstream::Message>,
        key: Option<(JobId, u32)>,
        model: &ModelHandle,
    ) {
        let Some(key) = key else {
            tracing::error!(subject = %message.subject, "a message of the queue is for no job");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        // Tells the servers that the worker lives, until this is dropped.
        let _in_progress = self.extend(message);
        let attempt = match self.attempt(message, key).await {
            Some(attempt) => attempt,
            None => {
                let _ = message.ack().await;
                return;
            }
        };
        let done = self.draw(message, key, model, attempt).await;
        let done = match done {
            Done::Again(_) if attempt >= self.options.max_deliveries => Done::Fail(JobEnd::Interrupted),
            done => done,
        };
        let result = match done {
            Done::Ack => message.ack().await,
            Done::Lost => {
                tracing::warn!(job = %key.0, image = key.1, "an image was given to another worker meanwhile");
                Ok(())
            }
            Done::Again(delay) => message.ack_with(AckKind::Nak(Some(delay))).await,
            Done::Fail(end) => {
                let id = Some(format!("{}/ended", key.0));
                self.publish(self.names.ended(key.0), id, &EventMessage::Ended { end }, &[]).await;
                message.ack().await
            }
        };
        if let Err(error) = result {
            tracing::warn!(%error, job = %key.0, "an image could not be acknowledged");
        }
    }

    fn extend(&self, message: &Arc<jetstream::Message>) -> AbortOnDrop {
        let (message, interval) = (Arc::clone(message), self.options.ack_wait / 3);
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(interval).await;
                let _ = message.ack_with(AckKind::Progress).await;
            }
        });
        AbortOnDrop(task.abort_handle())
    }

    async fn draw(
        &self,
        message: &Arc<jetstream::Message>,
        key @ (job, image): (JobId, u32),
        model: &ModelHandle,
        attempt: u32,
    ) -> Done {
        if attempt > self.options.max_deliveries {
            tracing::error!(%job, image, attempt, "an image stopped its workers and is given up");
            return Done::Fail(JobEnd::GivenUp);
        }
        if attempt > 1 {
            tracing::warn!(%job, image, attempt, "an image is drawn again");
        }
        let request = match self.read(message, key, model) {
            Ok(request) => request,
            // A newer worker can read it.
            Err(error @ MessageError::Version(_)) => {
                tracing::warn!(%error, %job, "a message of the queue is left to others");
                return Done::Again(delay(attempt));
            }
            Err(error) => {
                tracing::error!(%error, %job, "a message of the queue is invalid");
                return Done::Fail(JobEnd::Interrupted);
            }
        };
        while let Err(error) = self.engine.model_ready(model) {
            let SubmitError::NotReady { retry_after } = error else { return Done::Again(delay(attempt)) };
            tokio::time::sleep(retry_after.min(NOT_READY)).await;
        }
        // Before it is drawn: if that stops this process, the attempt counts.
        let run = rand::random_range(1..=u32::MAX);
        let (device, worker) = (self.engine.devices().join(","), self.name.clone());
        let started = EventMessage::Started { image, run, worker, device, attempt };
        let id = Some(format!("{job}/{image}/{run}/started"));
        self.publish(self.names.started(job, image), id, &started, &[]).await;
        let local = loop {
            match self.engine.submit(request.clone()) {
                Ok(local) => break local,
                Err(SubmitError::NotReady { retry_after } | SubmitError::Full { retry_after, .. }) => {
                    tokio::time::sleep(retry_after.min(NOT_READY)).await;
                }
                Err(_) => return Done::Again(Duration::ZERO),
            }
        };
        let _cancel = CancelOnDrop { engine: &self.engine, local };
        if let Some(image) = self.in_flight.lock().get_mut(&key) {
            image.local = Some(local);
        }
        let Some(mut events) = self.engine.subscribe(local, 0) else { return Done::Again(delay(attempt)) };
        let (last_step, mut last) = (model.steps(), None);
        while let Some((_, event)) = events.next().await {
            let Event::Step(progress) = &*event else { continue };
            for own in &progress.images {
                let mut own = own.clone();
                own.index = image;
                let report = StepReport { run, step: progress.step, image: own, finished: None };
                if progress.step < last_step {
                    self.publish_step(job, report).await;
                } else {
                    // With the file, which is ready when the job has ended.
                    last = Some(report);
                }
            }
        }
        let snapshot = events.snapshot();
        match (snapshot.status, last) {
            (Status::Completed, Some(report)) => {
                let own = |finished: &FinishedImage| FinishedImage {
                    index: report.image.index,
                    ..finished.clone()
                };
                let finished = snapshot.images.first().map(own);
                if !self.publish_step(job, StepReport { finished, ..report }).await {
                    return Done::Fail(JobEnd::Interrupted);
                }
                self.throughput.record();
                if self.is_last_run(key, run).await { Done::Ack } else { Done::Lost }
            }
            (Status::Canceled, _) => Done::Ack,
            _ => {
                tracing::error!(%job, image, attempt, detail = snapshot.detail.as_deref(), "an image failed");
                Done::Again(delay(attempt))
            }
        }
    }

    /// The number of this attempt to draw an image, from 1; `None` if its job has ended. The servers' number of deliveries can't
    /// be used: they also count while no worker has a free slot.
    async fn attempt(&self, message: &jetstream::Message, (job, image): (JobId, u32)) -> Option<u32> {
        if message.info().is_ok_and(|info| info.delivered <= 1) {
            return Some(1);
        }
        let events = &self.connection.events;
        if events.get_last_raw_message_by_subject(&self.names.ended(job)).await.is_ok() {
            return None;
        }
        loop {
            let subjects = events.info_with_subjects(self.names.started(job, image)).await;
            let starts = match subjects {
                Ok(subjects) => subjects.try_collect::<Vec<_>>().await,
                Err(error) => Err(error),
            };
            match starts {
                Ok(starts) => return Some(1 + starts.iter().map(|(_, count)| *count as u32).sum::<u32>()),
                Err(error) => {
                    tracing::warn!(%error, %job, "the starts of an image can't be counted; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// The request of a message, which must be for its subject.
    fn read(
        &self,
        message: &jetstream::Message,
        (job, image): (JobId, u32),
        model: &ModelHandle,
    ) -> Result<crate::engine::Request, MessageError> {
        let (task, _) = decode::<ImageTask>(&message.payload)?;
        if task.job != job.to_string() || task.image != image {
            return Err(MessageError::Invalid("its subject is another"));
        }
        let request = task.request.request(self.engine.models())?;
        if request.model() != model || request.count() != 1 {
            return Err(MessageError::Invalid("it is not one image of the model of its subject"));
        }
        Ok(request.with_cancel_on_disconnect(false))
    }

    /// Publishes a step. Returns whether it is stored: it isn't if it is too large.
    async fn publish_step(&self, job: JobId, report: StepReport) -> bool {
        let subject = self.names.image(job, report.image.index);
        let id = Some(format!("{job}/{}/{}/{}", report.image.index, report.run, report.step));
        let (message, files) = report.message();
        self.publish(subject, id, &message, &files).await
    }

    /// Whether no other run of an image has started since this one, so that its steps count.
    async fn is_last_run(&self, (job, image): (JobId, u32), run: u32) -> bool {
        let subject = self.names.started(job, image);
        loop {
            match self.connection.events.get_last_raw_message_by_subject(&subject).await {
                Ok(message) => {
                    let event = decode::<EventMessage>(&message.payload).map(|(event, _)| event);
                    let is_other =
                        matches!(event, Ok(EventMessage::Started { run: last, .. }) if last != run);
                    return !is_other;
                }
                // The stream is full, and has lost it.
                Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => return true,
                Err(error) => {
                    tracing::warn!(%error, %job, "the last start of an image can't be read; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Publishes an event until it is stored. Returns false if it never can be.
    async fn publish(
        &self,
        subject: String,
        id: Option<String>,
        message: &EventMessage,
        files: &[Bytes],
    ) -> bool {
        let payload = match encode(message, files) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(%error, "an event could not be written");
                return false;
            }
        };
        let outgoing = Outgoing { subject, id, payload };
        loop {
            match publish(&self.connection, &outgoing).await {
                Ok(_) => return true,
                Err(error) if error.kind() == PublishErrorKind::MaxPayloadExceeded => {
                    let bytes = outgoing.payload.len();
                    tracing::error!(%error, bytes, "an event is larger than the servers' max_payload");
                    return false;
                }
                Err(error) => {
                    tracing::warn!(%error, "an event could not be published; it is tried again");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Stops drawing the images of jobs that have ended.
    async fn hear_of_ended_jobs(self: Arc<Self>) {
        loop {
            if let Ok(mut ended) = self.connection.client.subscribe(self.names.all_ended()).await {
                while let Some(message) = ended.next().await {
                    let Some(job) = self.names.job_of_event(&message.subject) else { continue };
                    let in_flight = self.in_flight.lock();
                    let images = in_flight.iter().filter(|((id, _), _)| *id == job);
                    for local in images.filter_map(|(_, image)| image.local) {
                        self.engine.cancel(local);
                    }
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Tokenizes images for gateways.
    async fn tokenize(self: Arc<Self>, model: ModelHandle) {
        let permits = Arc::new(Semaphore::new(MAX_TOKENIZE));
        loop {
            let subject = self.names.tokenize(&model);
            let subscribed = self.connection.client.queue_subscribe(subject, "workers".into()).await;
            if let Ok(mut requests) = subscribed {
                while let Some(request) = requests.next().await {
                    let Some(reply) = request.reply else { continue };
                    let (worker, model) = (Arc::clone(&self), model.clone());
                    let permit = Arc::clone(&permits).try_acquire_owned();
                    tokio::spawn(async move {
                        let payload = match permit {
                            Ok(_permit) => worker.tokenize_one(&model, &request.payload).await,
                            Err(_) => encode(&TokenizeReply::Full { waiting: MAX_TOKENIZE }, &[]),
                        };
                        if let Ok(payload) = payload {
                            let _ = worker.connection.client.publish(reply, payload).await;
                        }
                    });
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn tokenize_one(&self, model: &ModelHandle, payload: &Bytes) -> Result<Bytes, MessageError> {
        let read = decode::<TokenizeTask>(payload).and_then(|(task, files)| match &files[..] {
            [file] => Ok((task, read_png(file, &model.config)?)),
            _ => Err(MessageError::Invalid("it has no image")),
        });
        let reply = match read {
            Ok((task, image)) => match self.engine.tokenize(model, image, task.seed).await {
                Ok(tokenized) => return tokenize_reply(tokenized),
                Err(TokenizeError::Refused(SubmitError::Full { waiting, .. })) => {
                    TokenizeReply::Full { waiting }
                }
                Err(_) => TokenizeReply::Failed,
            },
            Err(error) => {
                tracing::warn!(%error, "a request to tokenize is invalid");
                TokenizeReply::Failed
            }
        };
        encode(&reply, &[])
    }

    /// Tells gateways about this worker, again and again.
    async fn report(self: Arc<Self>) {
        loop {
            self.publish_report().await;
            tokio::time::sleep(REPORT_INTERVAL).await;
        }
    }

    async fn publish_report(&self) {
        let model = |model: &ModelHandle| WorkerModel {
            name: model.name().to_owned(),
            version: model.version.clone(),
            precision: model.computation.precision.name().to_owned(),
        };
        let report = WorkerReport {
            name: self.name.clone(),
            devices: self.engine.devices().to_vec(),
            models: self.engine.models().iter().map(model).collect(),
            slots: self.slots as u32,
            slots_in_use: self.in_flight.lock().len() as u32,
            images_per_second: self.throughput.images_per_second(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            leaving: self.is_leaving.load(Ordering::Relaxed),
        };
        if let Ok(payload) = encode(&report, &[]) {
            let _ = self.connection.client.publish(self.names.worker(&self.name), payload).await;
        }
    }
}

/// Cancels a job of the engine when it is dropped.
struct CancelOnDrop<'a> {
    engine: &'a Engine,
    local: JobId,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.engine.cancel(self.local);
    }
}

struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The pause after attempt number `attempt`. It is random, so that images that failed together are drawn apart: one of them may
/// be the reason.
fn delay(attempt: u32) -> Duration {
    let longest = Duration::from_millis(500) * 2_u32.saturating_pow(attempt.min(8));
    longest.min(LONGEST_DELAY).mul_f64(rand::random_range(0.1..=1.0))
}

/// The machine's name, the process and a random part.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    let host: String = host.trim().chars().filter(is_plain).take(64).collect();
    let host = if host.is_empty() { "worker".to_owned() } else { host };
    format!("{host}-{}-{:04x}", std::process::id(), rand::random::<u16>())
}
