//! The options of a queue on NATS JetStream.

use std::path::PathBuf;
use std::time::Duration;

/// How gateways and workers reach the queue, and how they use it. All of them need the same [prefix](Self::prefix); the
/// streams are those of the first that started.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Addresses of the servers, for example `nats://one:4222`. An address may contain user and password, or a token.
    pub servers: Vec<String>,
    /// File with a user's JWT and NKEY seed.
    pub credentials: Option<PathBuf>,
    /// File with an NKEY seed.
    pub nkey: Option<PathBuf>,
    /// PEM file of the authorities that may sign the servers' certificates, beside those of the operating system.
    pub ca: Option<PathBuf>,
    /// PEM files of the own certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether to refuse connections without TLS. Default false.
    pub tls: bool,
    /// The first part of the names of subjects, streams and consumers. Default `rdpm`.
    pub prefix: String,
    /// The number of servers that keep each message, 1 to 5. Default 1.
    pub replicas: usize,
    /// Whether messages are kept in memory only: a restart of the servers then loses them. Default false.
    pub in_memory: bool,
    /// The largest number of bytes that events take; the oldest go first. Default 1 GiB.
    pub max_bytes: u64,
    /// How long events are kept: longer than any job and its retention. Default 15 minutes.
    pub max_age: Duration,
    /// After this time without a sign of its worker an image is given to another. Default 10 seconds.
    pub ack_wait: Duration,
    /// How often an image is started before its job fails. Default 5.
    pub max_deliveries: u32,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".into()],
            credentials: None,
            nkey: None,
            ca: None,
            certificate: None,
            tls: false,
            prefix: "rdpm".into(),
            replicas: 1,
            in_memory: false,
            max_bytes: 1 << 30,
            max_age: Duration::from_secs(900),
            ack_wait: Duration::from_secs(10),
            max_deliveries: 5,
        }
    }
}
