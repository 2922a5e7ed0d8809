//! Sending a web hook: attempts, pauses between them, and the end.

use std::time::{Instant, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tokio::sync::watch;

use super::connection::{Answer, Connector, SendError};
use super::message::Message;
use super::metrics::{Metrics, Outcome};
use super::options::WebhookOptions;
use super::secret::sign;
use super::target::Target;
use crate::web::access::ClientPermits;
use crate::web::unix_time::unix_time;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const USER_AGENT: &str = concat!("rdpm/", env!("CARGO_PKG_VERSION"));
/// How far a pause may be from its average: receivers that were down aren't asked by all at once.
const JITTER: f64 = 0.2;

/// What the server's end means for web hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Open,
    /// The server stops: each is tried at most once more, at once.
    LastAttempts,
    Closed,
}

/// Sends web hooks with these options.
pub(super) struct Sender {
    pub options: WebhookOptions,
    pub connector: Connector,
    pub connections: ClientPermits<String>,
    pub metrics: Metrics,
}

impl Sender {
    /// Sends a web hook, several times if need be.
    pub async fn deliver(
        &self,
        target: &Target,
        message: &Message,
        mut phase: watch::Receiver<Phase>,
    ) -> Outcome {
        let deadline = Instant::now() + self.options.max_age;
        let host = target.host.to_string();
        let mut pauses = self.options.pauses.iter();
        loop {
            let is_last = *phase.borrow() > Phase::Open;
            let permit =
                tokio::time::timeout_at(deadline.into(), self.connections.acquire(host.clone())).await;
            let Ok(permit) = permit else { return Outcome::Failed };
            self.metrics.attempts.inc();
            let result = self.attempt(target, message).await;
            drop(permit);
            let id = &message.id;
            let asked = match result {
                Ok(Answer { status, .. }) if status.is_success() => return Outcome::Delivered,
                Ok(Answer { status: StatusCode::GONE, .. }) => return Outcome::Gone,
                Ok(Answer { status, retry_after }) => {
                    tracing::info!(id, host, %status, "the receiver of a web hook did not take it");
                    retry_after
                }
                Err(SendError::Refused(reason)) => {
                    tracing::warn!(id, host, reason, "a web hook is not sent");
                    return Outcome::Refused;
                }
                Err(SendError::Failed(error)) => {
                    tracing::info!(id, host, error, "a web hook could not be sent");
                    None
                }
            };
            let Some(&pause) = pauses.next().filter(|_| !is_last) else { return Outcome::Failed };
            let pause = pause.mul_f64(rand::random_range(1.0 - JITTER..1.0 + JITTER));
            let pause = pause.max(asked.unwrap_or_default().min(self.options.max_pause));
            if Instant::now() + pause > deadline {
                return Outcome::Failed;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = phase.wait_for(|&phase| phase > Phase::Open) => {}
            }
        }
    }

    async fn attempt(&self, target: &Target, message: &Message) -> Result<Answer, SendError> {
        let timestamp = unix_time(SystemTime::now());
        let signature = sign(&self.options.secrets, &message.id, timestamp, &message.body);
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.insert(ID, HeaderValue::try_from(&message.id).map_err(SendError::failed)?);
        headers.insert(TIMESTAMP, timestamp.into());
        headers.insert(SIGNATURE, HeaderValue::try_from(signature).map_err(SendError::failed)?);
        let sent = self.connector.send(target, headers, message.body.clone());
        match tokio::time::timeout(self.options.attempt_timeout, sent).await {
            Ok(result) => result,
            Err(_) => Err(SendError::failed("no answer in time")),
        }
    }
}
