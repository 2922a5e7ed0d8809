//! The queue's settings, and `rdpm queue`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use rdpm::engine::Options;
use rdpm::model::ModelInfo;
use rdpm::queue::{QueueOptions, plan};
use serde::{Serialize, Serializer};

use super::models::ModelArguments;
use super::output::print;
use super::starting::describe_models;

/// The queue between gateways and workers.
#[derive(Debug, Clone, Args, Serialize)]
#[command(next_help_heading = "Queue")]
pub struct QueueArguments {
    /// Addresses of the NATS servers, separated by commas, as in nats://one:4222. They may contain user and password, or a
    /// token; prefer the environment or a file then. `serve` hands its generations to the workers of this queue instead of
    /// drawing them.
    #[arg(long, env = "RDPM_QUEUE", value_name = "ADDRESSES", value_delimiter = ',', hide_env_values = true)]
    #[serde(serialize_with = "without_secrets")]
    pub queue: Vec<String>,
    /// File with a user's JWT and NKEY seed, as `nsc` writes it.
    #[arg(long, env = "RDPM_QUEUE_CREDENTIALS", value_name = "FILE")]
    pub queue_credentials: Option<PathBuf>,
    /// File with an NKEY seed.
    #[arg(long, env = "RDPM_QUEUE_NKEY", value_name = "FILE")]
    pub queue_nkey: Option<PathBuf>,
    /// Whether to refuse connections without TLS.
    #[arg(long, env = "RDPM_QUEUE_TLS", default_value_t = false, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub queue_tls: bool,
    /// PEM file of authorities that may sign the servers' certificates, beside those of the system.
    #[arg(long, env = "RDPM_QUEUE_CA", value_name = "FILE")]
    pub queue_ca: Option<PathBuf>,
    /// PEM file of the own certificate, for servers that ask for one.
    #[arg(long, env = "RDPM_QUEUE_CERT", value_name = "FILE", requires = "queue_key")]
    pub queue_cert: Option<PathBuf>,
    /// PEM file of that certificate's key.
    #[arg(long, env = "RDPM_QUEUE_KEY", value_name = "FILE", requires = "queue_cert")]
    pub queue_key: Option<PathBuf>,
    /// First part of the names of subjects, streams and consumers. Gateways and workers need the same.
    #[arg(long, env = "RDPM_QUEUE_PREFIX", default_value = "rdpm", value_name = "NAME", value_parser = prefix)]
    pub queue_prefix: String,
    /// Servers that keep each message.
    #[arg(long, env = "RDPM_QUEUE_REPLICAS", default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=5))]
    pub queue_replicas: u32,
    /// Disk space of events in MiB. Beyond it the oldest go first.
    #[arg(long, env = "RDPM_QUEUE_MIB", default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_mib: u32,
    /// Seconds after which an image is given to another worker if its own gives no sign.
    #[arg(long, env = "RDPM_QUEUE_ACK_WAIT", default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub queue_ack_wait: u32,
    /// How often an image is started before its generation fails.
    #[arg(long, env = "RDPM_QUEUE_ATTEMPTS", default_value_t = 5, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub queue_attempts: u32,
}

/// A part of a subject: letters, digits, - and _.
fn prefix(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=32).contains(&text.len()) && text.bytes().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("allowed: 1 to 32 letters, digits, - and _".to_owned())
    }
}

impl QueueArguments {
    /// The queue's options, if there is a queue. `engine` says how long generations are kept.
    pub fn options(&self, engine: &Options) -> Option<QueueOptions> {
        let servers: Vec<String> = self.queue.iter().filter(|server| !server.is_empty()).cloned().collect();
        if servers.is_empty() {
            return None;
        }
        Some(self.with_servers(servers, engine))
    }

    fn with_servers(&self, servers: Vec<String>, engine: &Options) -> QueueOptions {
        // Events outlive the jobs that are made of them.
        let longest_job = engine.job_timeout.unwrap_or(Duration::from_secs(3600));
        QueueOptions {
            servers,
            credentials: self.queue_credentials.clone(),
            nkey: self.queue_nkey.clone(),
            ca: self.queue_ca.clone(),
            certificate: self.queue_cert.clone().zip(self.queue_key.clone()),
            tls: self.queue_tls,
            prefix: self.queue_prefix.clone(),
            replicas: self.queue_replicas as usize,
            in_memory: false,
            max_bytes: u64::from(self.queue_mib) << 20,
            max_age: engine.retention + longest_job,
            ack_wait: Duration::from_secs(u64::from(self.queue_ack_wait)),
            max_deliveries: self.queue_attempts,
        }
    }
}

/// The addresses without users, passwords and tokens.
fn without_secrets<S: Serializer>(servers: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(servers.iter().map(|server| match server.rsplit_once('@') {
        Some((secret, host)) => {
            let scheme = secret.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***@{host}")
        }
        None => server.clone(),
    }))
}

#[derive(Debug, Args)]
pub struct Queue {
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// Print the streams and consumers that gateways and workers create, as JSON. Those of a server must agree.
    Plan(Box<Plan>),
}

#[derive(Debug, Args)]
struct Plan {
    #[command(flatten)]
    model: ModelArguments,
    #[command(flatten)]
    queue: QueueArguments,
    /// Seconds that a finished generation is kept, as for `serve`.
    #[arg(long, env = "RDPM_RETENTION", default_value_t = Options::default().retention.as_secs(), value_name = "SECONDS")]
    retention: u64,
    /// Time limit of a generation in seconds, as for `serve`; 0 is no limit.
    #[arg(long, env = "RDPM_JOB_TIMEOUT", default_value_t = 300, value_name = "SECONDS")]
    job_timeout: u64,
}

impl Queue {
    pub fn run(self) -> anyhow::Result<()> {
        let QueueCommand::Plan(plan) = self.command;
        plan.run()
    }
}

impl Plan {
    fn run(&self) -> anyhow::Result<()> {
        let seconds = Duration::from_secs;
        let engine = Options {
            retention: seconds(self.retention),
            job_timeout: (self.job_timeout > 0).then(|| seconds(self.job_timeout)),
            ..Options::default()
        };
        let chosen = describe_models(&self.model)?;
        let infos: Vec<ModelInfo> = chosen.models.into_iter().map(|(_, info)| info).collect();
        let options = self.queue.with_servers(self.queue.queue.clone(), &engine);
        let plan = plan(&options, &infos).context("the plan can't be written")?;
        print(format!("{plan}\n"))
    }
}
