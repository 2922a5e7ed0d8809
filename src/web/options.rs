//! The web layer's options and their defaults.

use std::time::Duration;

use super::access::{ApiKey, HostName, Origin, ProxyHeader, PublicPaths, RateLimit, RootPath};
use super::model_alias::ModelAlias;
use super::webhooks::WebhookOptions;
use crate::store::Store;

/// The default of [`Options::answer_memory`].
pub(super) const MAX_ANSWER_MEMORY: usize = 64 << 20;

/// How the site is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time in which the headers of a connection's first request must arrive.
    pub header_timeout: Duration,
    /// Time between two requests of a connection, until the headers of the second have arrived.
    pub keep_alive_timeout: Duration,
    /// Time in which a request's body must arrive.
    pub body_timeout: Duration,
    /// A connection is closed when its client reads nothing for this time while there is something to send.
    pub write_timeout: Duration,
    /// Open connections at most.
    pub max_connections: usize,
    /// Open connections of one address (an IPv6 /64 network) at most; `None` is no limit. Not used with `trust_proxy`, since
    /// all connections are the proxy's then.
    pub max_connections_per_address: Option<usize>,
    /// Open event streams at most.
    pub max_streams: usize,
    /// Bytes of large answers that clients have not read yet, all together.
    pub answer_memory: usize,
    /// Limit of a client's requests for work; `None` is no limit.
    pub rate_limit: Option<RateLimit>,
    /// Limit of a client's cost, in images: a million pixels of rendered or read pictures count as an image. `None` is no
    /// limit.
    pub cost_limit: Option<RateLimit>,
    /// The header with the client's address where a proxy is in front; `None` takes the connection's.
    pub trust_proxy: Option<ProxyHeader>,
    /// The path below which a proxy serves the site, unless the trusted proxy names another.
    pub root_path: RootPath,
    /// The keys that the API accepts; without any, it needs none.
    pub keys: Vec<ApiKey>,
    /// What needs no key where there are keys.
    pub public_paths: PublicPaths,
    /// Names by which clients may reach the server, beside `localhost` and IP addresses. If empty: any name, except on
    /// loopback addresses without a proxy.
    pub allowed_hosts: Vec<HostName>,
    /// Other sites whose scripts may use the API.
    pub cors_origins: Vec<Origin>,
    /// The model of the page's first view, at the address `/`; the default model if absent.
    pub first_model: Option<String>,
    /// Further names of models in the OpenAI-compatible API.
    pub model_aliases: Vec<ModelAlias>,
    /// Time that links to pictures are valid which the OpenAI-compatible API returns.
    pub link_lifetime: Duration,
    /// Keeps generations beyond the process; `None` keeps them in memory only.
    pub store: Option<Store>,
    /// To whom web hooks are sent; `None` to nobody.
    pub webhooks: Option<WebhookOptions>,
    /// Time that running jobs get to finish at shutdown.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            keep_alive_timeout: Duration::from_secs(90),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 1024,
            max_connections_per_address: Some(256),
            max_streams: 512,
            answer_memory: MAX_ANSWER_MEMORY,
            rate_limit: None,
            cost_limit: None,
            trust_proxy: None,
            root_path: RootPath::default(),
            keys: Vec::new(),
            public_paths: PublicPaths::default(),
            allowed_hosts: Vec::new(),
            cors_origins: Vec::new(),
            first_model: None,
            model_aliases: Vec::new(),
            link_lifetime: Duration::from_secs(600),
            store: None,
            webhooks: None,
            drain: Duration::from_secs(10),
        }
    }
}
