//! What the web layer needs of an engine, wherever it draws.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use image::DynamicImage;
use prometheus_client::registry::Registry;

use super::charges::Charges;
use super::fleet::WorkerReport;
use super::gateway::Gateway;
use super::shared::{Submission, Submitted};
use crate::engine::{
    EndWatcher, Engine, Failure, JobId, ModelHandle, Request, Snapshot, SubmitError, Subscription,
    TokenizeError, Tokenized,
};

/// An engine that accepts jobs and tells their state. Cheap to clone.
///
/// Reading is local: [`get`](Self::get), [`contains`](Self::contains) and [`subscribe`](Self::subscribe) answer from the
/// memory of this process. A job that another process accepted is there after [`load`](Self::load).
#[derive(Debug, Clone)]
pub enum AnyEngine {
    /// The engine of this process, with its own queue.
    Embedded(Arc<Engine>),
    /// Workers on other machines.
    Queue(Gateway),
}

impl From<Arc<Engine>> for AnyEngine {
    fn from(engine: Arc<Engine>) -> Self {
        Self::Embedded(engine)
    }
}

impl From<Gateway> for AnyEngine {
    fn from(gateway: Gateway) -> Self {
        Self::Queue(gateway)
    }
}

impl AnyEngine {
    /// The models that are served, the default first.
    pub fn models(&self) -> &[ModelHandle] {
        match self {
            Self::Embedded(engine) => engine.models(),
            Self::Queue(gateway) => gateway.models(),
        }
    }

    /// The model for requests that name none.
    pub fn default_model(&self) -> &ModelHandle {
        &self.models()[0]
    }

    /// The model of this name; `None` if it isn't served.
    pub fn model(&self, name: &str) -> Option<&ModelHandle> {
        self.models().iter().find(|model| model.name() == name)
    }

    /// The names of the devices that draw, for example `cpu` or `cuda:0`.
    pub fn devices(&self) -> Vec<String> {
        match self {
            Self::Embedded(engine) => engine.devices().to_vec(),
            Self::Queue(gateway) => {
                let workers = gateway.workers().into_iter().flat_map(|worker| worker.devices);
                workers.collect::<BTreeSet<String>>().into_iter().collect()
            }
        }
    }

    /// Adds a job to the queue. Its first event is [`Event::Queued`](crate::engine::Event::Queued).
    ///
    /// # Errors
    /// Those of [`Engine::submit`].
    pub async fn submit(&self, request: Request) -> Result<JobId, SubmitError> {
        match self {
            Self::Embedded(engine) => engine.submit(request),
            Self::Queue(gateway) => {
                let submission = Submission { request, note: String::new(), key: None };
                match gateway.submit(submission).await? {
                    Submitted::New(id) | Submitted::Earlier(id) => Ok(id),
                    // Only a submission with a key can repeat another.
                    Submitted::KeyReused => Err(SubmitError::UnknownModel),
                }
            }
        }
    }

    /// Makes a job that another process accepted readable here, if there is such a job. To be called before reading one
    /// whose id a client sent.
    ///
    /// # Errors
    /// [`SubmitError`] if it can't be found out.
    pub async fn load(&self, id: JobId) -> Result<(), SubmitError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Queue(gateway) => gateway.load(id).await,
        }
    }

    /// The state of a job; `None` if there is no such job or it was evicted.
    pub fn get(&self, id: JobId) -> Option<Snapshot> {
        match self {
            Self::Embedded(engine) => engine.get(id),
            Self::Queue(gateway) => gateway.get(id),
        }
    }

    /// Whether there is such a job that wasn't evicted.
    pub fn contains(&self, id: JobId) -> bool {
        match self {
            Self::Embedded(engine) => engine.contains(id),
            Self::Queue(gateway) => gateway.contains(id),
        }
    }

    /// The events of a job after event number `after`; 0 is from the beginning. `None` if there is no such job or it was
    /// evicted.
    pub fn subscribe(&self, id: JobId, after: u64) -> Option<Subscription> {
        match self {
            Self::Embedded(engine) => engine.subscribe(id, after),
            Self::Queue(gateway) => gateway.subscribe(id, after),
        }
    }

    /// Waits for the end of a job without being counted as a reader of its events. `None` if there is no such job or it was
    /// evicted.
    pub fn watch_end(&self, id: JobId) -> Option<EndWatcher> {
        match self {
            Self::Embedded(engine) => engine.watch_end(id),
            Self::Queue(gateway) => gateway.watch_end(id),
        }
    }

    /// Cancels a job and returns its state. Finished images are kept. `None` if there is no such job or it was evicted.
    ///
    /// # Errors
    /// [`SubmitError`] if the job can't be canceled now.
    pub async fn cancel(&self, id: JobId) -> Result<Option<Snapshot>, SubmitError> {
        match self {
            Self::Embedded(engine) => Ok(engine.cancel(id)),
            Self::Queue(gateway) => gateway.cancel(id).await,
        }
    }

    /// Cancels a job without waiting until that is done.
    pub fn cancel_in_background(&self, id: JobId) {
        match self {
            Self::Embedded(engine) => drop(engine.cancel(id)),
            Self::Queue(gateway) => gateway.cancel_in_background(id),
        }
    }

    /// Tokenizes an image with the noise of a seed.
    ///
    /// # Errors
    /// Those of [`Engine::tokenize`].
    pub async fn tokenize(
        &self,
        model: &ModelHandle,
        image: DynamicImage,
        seed: u64,
    ) -> Result<Tokenized, TokenizeError> {
        match self {
            Self::Embedded(engine) => engine.tokenize(model, image, seed).await,
            Self::Queue(gateway) => gateway.tokenize(model, image, seed).await,
        }
    }

    /// Whether jobs of at least one model are accepted (the queue may still be full).
    ///
    /// # Errors
    /// Those of [`Engine::ready`].
    pub fn ready(&self) -> Result<(), SubmitError> {
        match self {
            Self::Embedded(engine) => engine.ready(),
            Self::Queue(gateway) => gateway.ready(),
        }
    }

    /// Whether jobs of a model are accepted (the queue may still be full).
    ///
    /// # Errors
    /// Those of [`Engine::model_ready`].
    pub fn model_ready(&self, model: &ModelHandle) -> Result<(), SubmitError> {
        match self {
            Self::Embedded(engine) => engine.model_ready(model),
            Self::Queue(gateway) => gateway.model_ready(model),
        }
    }

    /// Why the process must be restarted, if it must.
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Embedded(engine) => engine.failure(),
            Self::Queue(gateway) => gateway.failure(),
        }
    }

    /// Whether all of its threads run and make progress.
    pub fn is_alive(&self) -> bool {
        match self {
            Self::Embedded(engine) => engine.is_alive(),
            Self::Queue(gateway) => gateway.failure().is_none(),
        }
    }

    /// The workers on other machines, by name.
    pub fn workers(&self) -> Vec<WorkerReport> {
        match self {
            Self::Embedded(_) => Vec::new(),
            Self::Queue(gateway) => gateway.workers(),
        }
    }

    /// What the limits of clients count at all gateways; `None` where there is one process only.
    pub fn charges(&self) -> Option<&Arc<Charges>> {
        match self {
            Self::Embedded(_) => None,
            Self::Queue(gateway) => Some(gateway.charges()),
        }
    }

    /// Registers its metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        match self {
            Self::Embedded(engine) => engine.register_metrics(registry),
            Self::Queue(gateway) => gateway.register_metrics(registry),
        }
    }

    /// Stops it: refuses jobs, waits up to `drain` for the live ones, and stops what runs in this process. Must not be
    /// called on the event loop: it blocks.
    pub fn shutdown(&self, drain: Duration) {
        match self {
            Self::Embedded(engine) => engine.shutdown(drain),
            Self::Queue(gateway) => gateway.shutdown(drain),
        }
    }
}
