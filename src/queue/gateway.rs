//! A gateway: accepts jobs for workers elsewhere, and knows the jobs of all gateways.
//!
//! All that happens to jobs is in one stream of events. Each gateway reads all of it and so has the same jobs, with the same
//! event logs and the same numbers. A gateway that is asked for a job that it hasn't heard of yet looks into the stream, and
//! waits until it has read that far.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_nats::RequestErrorKind;
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use image::DynamicImage;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::charges::Charges;
use super::connection;
use super::error::QueueError;
use super::fleet::{Fleet, Throughput, WorkerReport};
use super::follower;
use super::message::{TokenizeReply, TokenizeTask, decode, encode, read_tokenized};
use super::metrics::QueueMetrics;
use super::names::Names;
use super::options::QueueOptions;
use super::queued_images::QueuedImages;
use super::shared::{RETRY_AFTER, Shared, Submission, Submitted, eta, unavailable};
use crate::engine::{
    EndWatcher, Failure, JobEnd, JobId, ModelHandle, ModelInfo, Options, Replica, Snapshot, StartError,
    SubmitError, Subscription, TokenizeError, Tokenized,
};
use crate::picture::encode_png;

/// The longest time until an image is tokenized.
const TOKENIZE_TIMEOUT: Duration = Duration::from_secs(20);

/// A gateway. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
    task: Arc<JoinHandle<()>>,
    runtime: Handle,
}

impl Gateway {
    /// Starts a gateway for these models, the default first. It connects in the background: until then jobs are refused with
    /// [`SubmitError::Unavailable`]. Must be called on a runtime.
    ///
    /// # Errors
    /// [`StartError`] for the models, [`QueueError`] for the options.
    pub async fn start(
        options: Options,
        models: Vec<ModelInfo>,
        queue: QueueOptions,
    ) -> Result<Self, GatewayError> {
        connection::check(&queue).await?;
        let shared = Arc::new(Shared {
            names: Names::new(&queue.prefix),
            options: queue,
            replica: Replica::new(options, models)?,
            fleet: Fleet::default(),
            throughput: Throughput::default(),
            metrics: QueueMetrics::default(),
            connection: watch::Sender::new(None),
            applied: watch::Sender::new(0),
            has_caught_up: AtomicBool::new(false),
            keys: Mutex::default(),
            own: Mutex::default(),
            is_accepting: AtomicBool::new(true),
            queued_images: QueuedImages::default(),
            charges: Arc::default(),
            reserved: AtomicUsize::new(0),
        });
        let task = Arc::new(tokio::spawn(follower::run(Arc::clone(&shared))));
        Ok(Self { shared, task, runtime: Handle::current() })
    }

    /// The models, the default first.
    pub fn models(&self) -> &[ModelHandle] {
        self.shared.replica.models()
    }

    /// The workers that reported lately, by name.
    pub fn workers(&self) -> Vec<WorkerReport> {
        self.shared.fleet.workers()
    }

    /// What the limits of clients count, here and at other gateways.
    pub fn charges(&self) -> &Arc<Charges> {
        &self.shared.charges
    }

    /// Images per second that all workers drew in the last half minute.
    pub fn images_per_second(&self) -> f64 {
        self.shared.throughput.images_per_second()
    }

    /// Publishes a job, or finds the one that an earlier submission with the same key made. When this returns, the job can be
    /// read.
    ///
    /// # Errors
    /// [`SubmitError`] if the queue is full or can't be reached, or the gateway is shutting down.
    pub async fn submit(&self, submission: Submission) -> Result<Submitted, SubmitError> {
        let submitted = self.shared.submit(submission).await;
        submitted.inspect_err(|error| self.shared.replica.record_refused(error))
    }

    /// Makes a job of another gateway readable here, if there is one with this id.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn load(&self, id: JobId) -> Result<(), SubmitError> {
        if self.shared.replica.contains(id) {
            return Ok(());
        }
        let connection = self.shared.connection()?;
        let subject = self.shared.names.accepted(id);
        match connection.events.get_last_raw_message_by_subject(&subject).await {
            // If it has been read, the job was evicted.
            Ok(message) => self.shared.wait_until_applied(message.sequence).await,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(()),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// The state of a job; `None` if it isn't known or was evicted.
    pub fn get(&self, id: JobId) -> Option<Snapshot> {
        let rate = self.shared.images_per_second();
        self.shared.replica.get(id, |position| eta(position.saturating_sub(1), rate))
    }

    /// Whether a job is known and wasn't evicted.
    pub fn contains(&self, id: JobId) -> bool {
        self.shared.replica.contains(id)
    }

    /// The events of a job after event number `after`; `None` if it isn't known or was evicted.
    pub fn subscribe(&self, id: JobId, after: u64) -> Option<Subscription> {
        self.shared.replica.subscribe(id, after)
    }

    /// Waits for the end of a job without being counted as a subscriber; `None` if it isn't known or was evicted.
    pub fn watch_end(&self, id: JobId) -> Option<EndWatcher> {
        self.shared.replica.watch_end(id)
    }

    /// The note of a job; `None` if it isn't known or was evicted.
    pub fn note(&self, id: JobId) -> Option<Arc<str>> {
        self.shared.replica.note(id)
    }

    /// The notes of all known jobs, the newest job first.
    pub fn notes(&self) -> Vec<(JobId, Arc<str>)> {
        self.shared.replica.notes()
    }

    /// Cancels a job and returns its state; `None` if it isn't known or was evicted.
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`].
    pub async fn cancel(&self, id: JobId) -> Result<Option<Snapshot>, SubmitError> {
        let Some(snapshot) = self.get(id) else { return Ok(None) };
        if !snapshot.status.is_terminal() {
            self.shared.end(id, JobEnd::Canceled).await?;
        }
        Ok(self.get(id))
    }

    /// Cancels a job without waiting until that is done.
    pub fn cancel_in_background(&self, id: JobId) {
        let gateway = self.clone();
        self.runtime.spawn(async move {
            if let Err(error) = gateway.cancel(id).await {
                tracing::warn!(%error, job = %id, "a job could not be canceled");
            }
        });
    }

    /// Has a worker tokenize an image with the noise of a seed.
    ///
    /// # Errors
    /// [`TokenizeError::Refused`] where no worker can do it now, [`TokenizeError::Failed`] where one failed.
    pub async fn tokenize(
        &self,
        model: &ModelHandle,
        image: DynamicImage,
        seed: u64,
    ) -> Result<Tokenized, TokenizeError> {
        let connection = self.shared.connection()?;
        let file = encode_png(&image, None).map_err(|_| TokenizeError::Failed)?;
        let payload = encode(&TokenizeTask { seed }, &[file.into()]).map_err(|_| TokenizeError::Failed)?;
        let not_ready = || SubmitError::NotReady { retry_after: RETRY_AFTER };
        let request = async_nats::Request::new().payload(payload).timeout(Some(TOKENIZE_TIMEOUT));
        let reply = connection.client.send_request(self.shared.names.tokenize(model), request).await;
        let reply = reply.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => not_ready(),
            _ => unavailable(&error),
        })?;
        let invalid = |error| {
            tracing::error!(%error, "a worker's reply is invalid");
            TokenizeError::Failed
        };
        let (reply, files) = decode(&reply.payload).map_err(invalid)?;
        match reply {
            TokenizeReply::Tokens { grids, caption } => {
                read_tokenized(grids, caption, &files, &model.config).map_err(invalid)
            }
            TokenizeReply::Failed => Err(TokenizeError::Failed),
            TokenizeReply::Full { waiting } => {
                Err(SubmitError::Full { waiting, retry_after: Duration::from_secs(1) }.into())
            }
        }
    }

    /// Whether jobs are accepted (the queue may still be full).
    ///
    /// # Errors
    /// [`SubmitError::Unavailable`] or [`SubmitError::ShuttingDown`].
    pub fn ready(&self) -> Result<(), SubmitError> {
        self.shared.connection().map(drop)
    }

    /// Whether jobs of a model are accepted and there is a worker that draws them.
    ///
    /// # Errors
    /// As in [`Gateway::ready`], or [`SubmitError::NotReady`].
    pub fn model_ready(&self, model: &ModelHandle) -> Result<(), SubmitError> {
        self.ready()?;
        if self.shared.fleet.draws(model.name(), &model.version) {
            Ok(())
        } else {
            Err(SubmitError::NotReady { retry_after: RETRY_AFTER })
        }
    }

    /// Why the process must be restarted, if it must.
    pub fn failure(&self) -> Option<Failure> {
        self.task.is_finished().then(|| Failure::ThreadEnded { thread: "rdpm-gateway".into() })
    }

    /// Registers the gateway's metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.shared.replica.register_metrics(registry);
        self.shared.metrics.register(registry);
    }

    /// Refuses jobs from now on, and waits up to `drain` for the jobs that clients of this gateway wait for. Blocks.
    pub fn shutdown(&self, drain: Duration) {
        self.shared.is_accepting.store(false, Ordering::Relaxed);
        let started = std::time::Instant::now();
        while started.elapsed() < drain && self.shared.replica.live().iter().any(|job| job.has_subscribers) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Why a gateway doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The models.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The queue's options.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("prefix", &self.shared.options.prefix).finish_non_exhaustive()
    }
}
