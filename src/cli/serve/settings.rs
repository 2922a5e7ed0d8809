//! The settings of a server: flags, environment variables or keys of the configuration file.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use rdpm::engine::{self, Batching, ModelLoading};
use rdpm::web::{self, ApiKey, HostName, ModelAlias, Origin, ProxyHeader, PublicPaths, RateLimit, RootPath};
use serde::{Serialize, Serializer};

/// The engine's settings.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Jobs")]
pub struct EngineArguments {
    /// When models are loaded: all before the server is ready (eager), or each at its first request (lazy), which then
    /// waits.
    #[arg(long, env = "RDPM_LOAD", default_value = "eager", value_name = "WHEN")]
    load: Load,
    /// Largest batch of a device, in images, counting all models together.
    #[arg(long, env = "RDPM_MAX_BATCH", default_value_t = engine::Options::default().max_batch as u32, value_name = "IMAGES", value_parser = clap::value_parser!(u32).range(1..))]
    max_batch: u32,
    /// When images join a batch; `job` exists to measure the gain of `step`.
    #[arg(long, env = "RDPM_BATCHING", default_value = "step", hide = true)]
    #[serde(skip)]
    batching: Joining,
    /// Images that may wait in the queue. Further requests are answered with 429.
    #[arg(long, env = "RDPM_MAX_QUEUE", default_value_t = engine::Options::default().max_queue, value_name = "IMAGES")]
    max_queue: usize,
    /// Seconds that a finished generation is kept.
    #[arg(long, env = "RDPM_RETENTION", default_value_t = engine::Options::default().retention.as_secs(), value_name = "SECONDS")]
    retention: u64,
    /// Finished generations that are kept at most. Those without an image go first, then the oldest of the client with
    /// the most.
    #[arg(long, env = "RDPM_RETENTION_JOBS", default_value_t = engine::Options::default().max_finished as u32, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    retention_jobs: u32,
    /// Memory of finished generations in MiB. Beyond it, they go in the same order.
    #[arg(long, env = "RDPM_RETENTION_MIB", default_value_t = (engine::Options::default().max_finished_bytes >> 20) as u32, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..))]
    retention_mib: u32,
    /// Time limit of a generation in seconds, including its wait in the queue; 0 is no limit.
    #[arg(long, env = "RDPM_JOB_TIMEOUT", default_value_t = 300, value_name = "SECONDS")]
    job_timeout: u64,
    /// Longest time without progress, in seconds, for example of a step or of loading a model. Beyond it the server is not
    /// live, and ends with status 1, to be started again; 0 is no limit.
    #[arg(long, env = "RDPM_STEP_TIMEOUT", default_value_t = 120, value_name = "SECONDS")]
    step_timeout: u64,
    /// Longest time in seconds for loading the models before the server is ready. Beyond it the server ends with status 1, to
    /// be started again; 0 is no limit.
    #[arg(long, env = "RDPM_LOAD_TIMEOUT", default_value_t = 600, value_name = "SECONDS")]
    load_timeout: u64,
    /// Seconds that running generations get to finish at shutdown.
    #[arg(long, env = "RDPM_DRAIN_TIMEOUT", default_value_t = 10, value_name = "SECONDS")]
    drain_timeout: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Load {
    Eager,
    Lazy,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Joining {
    Step,
    Job,
}

impl EngineArguments {
    pub fn options(&self) -> engine::Options {
        engine::Options {
            loading: match self.load {
                Load::Eager => ModelLoading::Eager,
                Load::Lazy => ModelLoading::Lazy,
            },
            max_batch: self.max_batch as usize,
            max_queue: self.max_queue,
            retention: self.retention(),
            max_finished: self.retention_jobs as usize,
            max_finished_bytes: (self.retention_mib as usize) << 20,
            step_timeout: self.step_timeout(),
            job_timeout: (self.job_timeout > 0).then(|| Duration::from_secs(self.job_timeout)),
            batching: match self.batching {
                Joining::Step => Batching::Continuous,
                Joining::Job => Batching::Static,
            },
            ..engine::Options::default()
        }
    }

    /// The longest time for loading the models at the start; `None` is no limit.
    pub fn load_timeout(&self) -> Option<Duration> {
        (self.load_timeout > 0).then(|| Duration::from_secs(self.load_timeout))
    }

    /// The longest time without progress; `None` is no limit.
    pub fn step_timeout(&self) -> Option<Duration> {
        (self.step_timeout > 0).then(|| Duration::from_secs(self.step_timeout))
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(self.retention)
    }

    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_timeout)
    }
}

/// Access of clients.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Clients")]
pub struct ClientArguments {
    /// API keys, separated by commas, each KEY or NAME:KEY. Without keys the API is public. Prefer the environment or a
    /// file: other users of the machine can read command lines.
    #[arg(long, env = "RDPM_API_KEYS", value_name = "KEYS", value_delimiter = ',', hide_env_values = true)]
    #[serde(serialize_with = "masked")]
    api_keys: Vec<String>,
    /// File with further API keys, one a line.
    #[arg(long, env = "RDPM_API_KEYS_FILE", value_name = "FILE")]
    api_keys_file: Option<PathBuf>,
    /// Whether /health/live and /health/ready are public.
    #[arg(long, env = "RDPM_OPEN_HEALTH", default_value_t = PublicPaths::default().health, action = clap::ArgAction::Set, value_name = "BOOL")]
    open_health: bool,
    /// Whether /metrics is public.
    #[arg(long, env = "RDPM_OPEN_METRICS", default_value_t = PublicPaths::default().metrics, action = clap::ArgAction::Set, value_name = "BOOL")]
    open_metrics: bool,
    /// Whether the page and the documentation are public. Requests of the page to the API still need a key.
    #[arg(long, env = "RDPM_OPEN_PAGE", default_value_t = PublicPaths::default().page, action = clap::ArgAction::Set, value_name = "BOOL")]
    open_page: bool,
    /// Whether /api/v1/pictures/… is public, so that other sites can embed these pictures.
    #[arg(long, env = "RDPM_OPEN_PICTURES", default_value_t = PublicPaths::default().pictures, action = clap::ArgAction::Set, value_name = "BOOL")]
    open_pictures: bool,
    /// Requests for work (POST) that a client may make in a minute, on average; 0 is no limit.
    #[arg(long, env = "RDPM_RATE_LIMIT", default_value_t = 0, value_name = "REQUESTS")]
    rate_limit: u32,
    /// Requests for work that a client may make at once.
    #[arg(long, env = "RDPM_RATE_BURST", default_value_t = 10, value_name = "REQUESTS", value_parser = clap::value_parser!(u32).range(1..))]
    rate_burst: u32,
    /// Cost of a client's requests in a minute, on average; 0 is no limit. An image that is generated or tokenized costs 1, and so
    /// does a million pixels of pictures that are rendered or read.
    #[arg(long, env = "RDPM_COST_LIMIT", default_value_t = 0, value_name = "IMAGES")]
    cost_limit: u32,
    /// Cost of the requests that a client may make at once.
    #[arg(long, env = "RDPM_COST_BURST", default_value_t = 32, value_name = "IMAGES", value_parser = clap::value_parser!(u32).range(1..))]
    cost_burst: u32,
    /// Header in which a proxy in front of the server passes on the client's address. Set it only if the server can't be
    /// reached except through the proxy, since other clients could forge the header.
    #[arg(long, env = "RDPM_TRUST_PROXY", value_name = "HEADER")]
    trust_proxy: Option<ProxyHeader>,
    /// Path below which a proxy serves the site, as in /draw. The proxy may remove it from requests or not. A trusted proxy can
    /// name it instead, in X-Forwarded-Prefix.
    #[arg(long, env = "RDPM_ROOT_PATH", value_name = "PATH")]
    root_path: Option<RootPath>,
    /// Host names by which clients may reach the server, separated by commas, beside localhost and IP addresses. Without any,
    /// all names are allowed, except on loopback addresses without --trust-proxy: there a foreign name is an attack.
    #[arg(long, env = "RDPM_ALLOWED_HOST", value_name = "HOSTS", value_delimiter = ',')]
    allowed_host: Vec<HostName>,
    /// Other sites whose scripts may use the API, separated by commas, as in https://example.org, https://*.example.org,
    /// tauri://localhost or null.
    #[arg(long, env = "RDPM_CORS_ORIGIN", value_name = "ORIGINS", value_delimiter = ',')]
    cors_origin: Vec<Origin>,
    /// Further names of models in the OpenAI-compatible API, separated by commas, as in dall-e-3=emoji.
    #[arg(long, env = "RDPM_MODEL_ALIAS", value_name = "NAME=MODEL", value_delimiter = ',')]
    pub model_alias: Vec<ModelAlias>,
}

/// Limits of connections.
#[derive(Debug, Args, Serialize)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArguments {
    /// Second address with /health/live, /health/ready and /metrics, which needs no key, as in 127.0.0.1:3001. Clients can't use
    /// up its connections.
    #[arg(long, env = "RDPM_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub admin_listen: Option<SocketAddr>,
    /// Open connections at most; further ones are answered with 503.
    #[arg(long, env = "RDPM_MAX_CONNECTIONS", default_value_t = 1024, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
    /// Open connections of one address (an IPv6 /64 network) at most; further ones are answered with 503. 0 is no limit. Not used
    /// with --trust-proxy, since all connections are the proxy's then.
    #[arg(long, env = "RDPM_MAX_CONNECTIONS_PER_ADDRESS", default_value_t = 256, value_name = "COUNT")]
    max_connections_per_address: u32,
    /// Open event streams at most; further ones are answered with 503.
    #[arg(long, env = "RDPM_MAX_STREAMS", default_value_t = 512, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    max_streams: u32,
    /// Seconds in which the headers of a connection's first request must arrive.
    #[arg(long, env = "RDPM_HEADER_TIMEOUT", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    header_timeout: u32,
    /// Seconds that a connection may be idle between two requests. A proxy in front must close its idle connections earlier.
    #[arg(long, env = "RDPM_KEEP_ALIVE_TIMEOUT", default_value_t = 90, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    keep_alive_timeout: u32,
    /// Seconds in which a request's body must arrive; otherwise the answer is 408.
    #[arg(long, env = "RDPM_BODY_TIMEOUT", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    body_timeout: u32,
    /// Seconds after which a connection is closed whose client reads nothing.
    #[arg(long, env = "RDPM_WRITE_TIMEOUT", default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    write_timeout: u32,
}

/// Open files other than clients' connections: refused and the operator's connections, weights, the log, the runtimes'.
const OTHER_FILES: u64 = 256;

impl ConnectionArguments {
    /// Raises the limit of open files to the number of connections, as far as the system allows.
    pub fn raise_file_limit(&self) {
        let wanted = u64::from(self.max_connections) + OTHER_FILES;
        match rlimit::increase_nofile_limit(wanted) {
            Ok(limit) if limit < wanted => {
                tracing::warn!(
                    limit,
                    wanted,
                    "the system allows fewer open files than --max-connections needs"
                );
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "the limit of open files can't be raised"),
        }
    }

    /// The web layer's options.
    pub fn options(
        &self,
        clients: &ClientArguments,
        engine: &EngineArguments,
    ) -> anyhow::Result<web::Options> {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        let limit = |per_minute: u32, burst: u32| {
            let limit = NonZeroU32::new(per_minute).zip(NonZeroU32::new(burst));
            limit.map(|(per_minute, burst)| RateLimit { per_minute, burst })
        };
        Ok(web::Options {
            header_timeout: seconds(self.header_timeout),
            keep_alive_timeout: seconds(self.keep_alive_timeout),
            body_timeout: seconds(self.body_timeout),
            write_timeout: seconds(self.write_timeout),
            max_connections: self.max_connections as usize,
            max_connections_per_address: (self.max_connections_per_address > 0)
                .then_some(self.max_connections_per_address as usize),
            max_streams: self.max_streams as usize,
            rate_limit: limit(clients.rate_limit, clients.rate_burst),
            cost_limit: limit(clients.cost_limit, clients.cost_burst),
            trust_proxy: clients.trust_proxy,
            root_path: clients.root_path.clone().unwrap_or_default(),
            keys: clients.keys()?,
            public_paths: PublicPaths {
                health: clients.open_health,
                metrics: clients.open_metrics,
                page: clients.open_page,
                pictures: clients.open_pictures,
            },
            allowed_hosts: clients.allowed_host.clone(),
            cors_origins: clients.cors_origin.clone(),
            model_aliases: clients.model_alias.clone(),
            link_lifetime: engine.retention(),
            drain: engine.drain(),
            ..web::Options::default()
        })
    }
}

impl ClientArguments {
    /// The keys of the settings and of the file. Errors don't contain them.
    fn keys(&self) -> anyhow::Result<Vec<ApiKey>> {
        let mut keys = Vec::new();
        for (at, text) in self.api_keys.iter().enumerate() {
            keys.push(text.parse().with_context(|| format!("API key {}", at + 1))?);
        }
        if let Some(path) = &self.api_keys_file {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))?;
            let more = ApiKey::parse_lines(&text).with_context(|| path.display().to_string())?;
            // Without keys the API would be public, which is not what the setting means.
            anyhow::ensure!(!more.is_empty(), "{} has no API key", path.display());
            keys.extend(more);
        }
        Ok(keys)
    }
}

/// The names of keys, without the keys.
fn masked<S: Serializer>(keys: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(keys.iter().map(|key| match key.split_once(':') {
        Some((name, _)) => format!("{name}:***"),
        None => "***".into(),
    }))
}
