//! An operator's settings of web hooks.

use std::time::Duration;

use super::address::WebhookNetwork;
use super::host::WebhookHost;
use super::secret::WebhookSecret;

/// To whom web hooks are sent, and how. Start from [`WebhookOptions::new`].
#[derive(Debug, Clone)]
pub struct WebhookOptions {
    /// The hosts that web hooks may name.
    pub hosts: Vec<WebhookHost>,
    /// Networks that are allowed although they aren't public. To these, and to no others, web hooks may go without TLS.
    pub networks: Vec<WebhookNetwork>,
    /// Each signs every web hook.
    pub secrets: Vec<WebhookSecret>,
    /// The pauses before further attempts, on average.
    pub pauses: Vec<Duration>,
    /// The longest pause, where the receiver asks for one.
    pub max_pause: Duration,
    /// The longest time of an attempt.
    pub attempt_timeout: Duration,
    /// The longest time from a generation's end to its last attempt.
    pub max_age: Duration,
    /// Web hooks at most that wait to be sent, or sent again.
    pub max_pending: usize,
    /// The same for one host.
    pub max_pending_per_host: usize,
    /// Open connections at most.
    pub max_connections: usize,
    /// The same to one host.
    pub max_connections_per_host: usize,
}

impl WebhookOptions {
    /// The default limits.
    pub fn new(hosts: Vec<WebhookHost>, networks: Vec<WebhookNetwork>, secrets: Vec<WebhookSecret>) -> Self {
        Self {
            hosts,
            networks,
            secrets,
            pauses: [5, 30, 120, 600, 1800].map(Duration::from_secs).to_vec(),
            max_pause: Duration::from_secs(1800),
            attempt_timeout: Duration::from_secs(10),
            max_age: Duration::from_secs(3600),
            max_pending: 1000,
            max_pending_per_host: 500,
            max_connections: 8,
            max_connections_per_host: 2,
        }
    }
}
