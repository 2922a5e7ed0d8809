//! Web hooks: telling another server that a generation has ended, as Standard Webhooks specifies it
//! (<https://www.standardwebhooks.com>).
//!
//! A client names an address with its request. Web hooks are off unless the operator names hosts, and go to no others. What belongs
//! here: which addresses are allowed, what is sent, and when it is sent again.
//!
//! | file | contents |
//! |---|---|
//! | `options` | an operator's settings, and the limits |
//! | `host`, `address` | which hosts and which addresses are allowed |
//! | `target` | the address that a client names |
//! | `secret` | secrets and signatures |
//! | `message` | what is sent |
//! | `connection` | one attempt: resolve, check, connect, send |
//! | `delivery` | attempts and pauses |
//! | `metrics` | what an operator can count |
//!
//! This file follows jobs to their end, and bounds how many web hooks wait. They are in memory only: those that a killed process
//! had not sent are lost.

mod address;
mod connection;
mod delivery;
mod host;
mod message;
mod metrics;
mod options;
mod secret;
mod target;

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::watch;

pub use address::{WebhookNetwork, WebhookNetworkError};
pub use host::{WebhookHost, WebhookHostError};
pub use options::WebhookOptions;
pub use secret::{WebhookSecret, WebhookSecretError};
pub(in crate::web) use target::Target;

use super::access::ClientPermits;
use crate::engine::EndWatcher;
use crate::request::{FieldError, MAX_WEBHOOK};
use connection::Connector;
use delivery::{Phase, Sender};
use message::Message;
use metrics::{Metrics, Outcome};

/// The request's field.
const FIELD: &str = "webhook";
/// Allowed hosts that an error names.
const MAX_NAMED: usize = 20;

/// Sends web hooks, if the operator allows any. Cheap to clone.
#[derive(Clone)]
pub(in crate::web) struct Webhooks(Option<Arc<Dispatcher>>);

struct Dispatcher {
    sender: Sender,
    pending: ClientPermits<String>,
    phase: watch::Sender<Phase>,
    /// Jobs that are followed, and web hooks that are sent.
    active: watch::Sender<usize>,
    /// Whether jobs that the engine's shutdown ends are drawn by the next process.
    keeps_jobs: bool,
}

impl Webhooks {
    /// `keeps_jobs` says whether jobs that the engine's shutdown ends are drawn by the next process.
    pub fn new(options: Option<&WebhookOptions>, keeps_jobs: bool, registry: &mut Registry) -> Self {
        Self(options.map(|options| {
            let metrics = Metrics::default();
            metrics.register(registry.sub_registry_with_prefix("webhook"));
            let connections = ClientPermits::new(options.max_connections, options.max_connections_per_host);
            Arc::new(Dispatcher {
                pending: ClientPermits::new(options.max_pending, options.max_pending_per_host),
                sender: Sender {
                    connector: Connector::new(options.networks.clone()),
                    options: options.clone(),
                    connections,
                    metrics,
                },
                phase: watch::Sender::new(Phase::Open),
                active: watch::Sender::new(0),
                keeps_jobs,
            })
        }))
    }

    /// Checks the address that a request names, as far as that is possible before the host's name is resolved.
    ///
    /// # Errors
    /// What is allowed.
    pub fn check(&self, address: &str) -> Result<Target, FieldError> {
        let refused = |allowed: String| FieldError::new(FIELD, address.into(), allowed);
        let Some(dispatcher) = &self.0 else {
            return Err(refused(
                "null: this server sends no web hooks; its operator can name hosts with --webhook-hosts"
                    .into(),
            ));
        };
        let (options, connector) = (&dispatcher.sender.options, &dispatcher.sender.connector);
        let target = Target::parse(address).ok_or_else(|| refused(form()))?;
        if !options.hosts.iter().any(|host| host.allows(&target.host)) {
            let named = options.hosts.iter().take(MAX_NAMED).map(ToString::to_string);
            let more = if options.hosts.len() > MAX_NAMED { " and others" } else { "" };
            let named = named.collect::<Vec<_>>().join(", ");
            return Err(refused(format!("a URL of one of the hosts {named}{more}")));
        }
        if !target.is_https && options.networks.is_empty() {
            return Err(refused("an https URL".into()));
        }
        match target.ip().map(|address| connector.check(address, target.is_https)) {
            Some(Err(reason)) => Err(refused(format!("a host with a public address, and https ({reason})"))),
            _ => Ok(target),
        }
    }

    /// Sends a web hook when a job has ended, with links below the path `root`.
    pub fn follow(&self, job: EndWatcher, target: Target, root: String) {
        if let Some(dispatcher) = &self.0 {
            let active = Active::new(Arc::clone(dispatcher));
            tokio::spawn(async move { active.dispatcher.follow(job, target, root).await });
        }
    }

    /// Sends what waits at once, and returns when that is done or the time has passed. What isn't sent then is dropped.
    pub async fn close(&self, grace: Duration) {
        let Some(dispatcher) = &self.0 else { return };
        dispatcher.phase.send_replace(Phase::LastAttempts);
        let mut active = dispatcher.active.subscribe();
        let _ = tokio::time::timeout(grace, active.wait_for(|&active| active == 0)).await;
        dispatcher.phase.send_replace(Phase::Closed);
        let dropped = *active.borrow();
        if dropped > 0 {
            tracing::warn!(dropped, "web hooks were not sent before the server stopped");
        }
    }
}

impl Dispatcher {
    async fn follow(&self, mut job: EndWatcher, target: Target, root: String) {
        let id = job.id();
        let mut phase = self.phase.subscribe();
        let ended = tokio::select! {
            // An engine that was shut down has ended all its jobs before.
            biased;
            ended = job.ended() => Some(ended),
            _ = phase.wait_for(|&phase| phase > Phase::Open) => None,
        };
        drop(job);
        // A job that was only interrupted may be completed later, and its end isn't known here.
        let message = ended.filter(|ended| !(self.keeps_jobs && ended.was_stopped()));
        let message = message.map(|ended| Message::new(&ended, &root));
        let outcome = match &message {
            Some(message) => self.send(&target, message).await,
            None => Outcome::Dropped,
        };
        self.sender.metrics.record(outcome);
        let (outcome, host) = (outcome.as_str(), &target.host);
        tracing::info!(job = %id, %host, outcome, "web hook");
    }

    async fn send(&self, target: &Target, message: &Message) -> Outcome {
        let Some(_permit) = self.pending.try_acquire(target.host.to_string()) else {
            tracing::warn!(id = message.id, host = %target.host, "too many web hooks wait: one is dropped");
            return Outcome::Dropped;
        };
        let _counted = Pending::new(&self.sender.metrics);
        let mut closed = self.phase.subscribe();
        tokio::select! {
            outcome = self.sender.deliver(target, message, self.phase.subscribe()) => outcome,
            _ = closed.wait_for(|&phase| phase == Phase::Closed) => Outcome::Dropped,
        }
    }
}

/// A job that is followed, until this is dropped.
struct Active {
    dispatcher: Arc<Dispatcher>,
}

impl Active {
    fn new(dispatcher: Arc<Dispatcher>) -> Self {
        dispatcher.active.send_modify(|active| *active += 1);
        Self { dispatcher }
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.dispatcher.active.send_modify(|active| *active -= 1);
    }
}

/// Counts a web hook that waits, until this is dropped.
struct Pending<'a>(&'a Metrics);

impl<'a> Pending<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        metrics.pending.inc();
        Self(metrics)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.pending.dec();
    }
}

/// The form that an address must have.
fn form() -> String {
    format!(
        "an https URL of at most {MAX_WEBHOOK} characters, without a user name and a password, whose port is 443, 80 or 1024 to 65535"
    )
}
