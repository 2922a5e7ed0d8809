//! Publishing to the streams.

use std::time::Duration;

use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::publish::PublishAck;
use bytes::Bytes;

use super::connection::Connection;

/// The time between two attempts.
const RETRY: Duration = Duration::from_millis(250);

/// A message for a stream. Two with the same id are stored once, so it can be published again when it isn't known whether it
/// was stored.
#[derive(Debug, Clone)]
pub(super) struct Outgoing {
    pub subject: String,
    /// Without one it may be stored twice.
    pub id: Option<String>,
    pub payload: Bytes,
}

/// Publishes a message once, and returns where it was stored.
pub(super) async fn publish(connection: &Connection, message: &Outgoing) -> Result<PublishAck, PublishError> {
    let mut publish = PublishMessage::build().payload(message.payload.clone());
    if let Some(id) = &message.id {
        publish = publish.message_id(id);
    }
    connection.jetstream.send_publish(message.subject.clone(), publish).await?.await
}

/// The same, again and again, at most for `limit`.
pub(super) async fn publish_within(
    connection: &Connection,
    message: &Outgoing,
    limit: Duration,
) -> Result<PublishAck, PublishError> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        match publish(connection, message).await {
            Ok(stored) => return Ok(stored),
            Err(error) if !may_succeed(&error) || tokio::time::Instant::now() + RETRY >= deadline => {
                return Err(error);
            }
            Err(error) => {
                tracing::debug!(%error, subject = message.subject, "publishing again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

fn may_succeed(error: &PublishError) -> bool {
    error.kind() != PublishErrorKind::MaxPayloadExceeded
}
