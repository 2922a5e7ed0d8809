//! What an operator may set about HTTP, with the defaults.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderValue, Uri};
use clap::ValueEnum;
use serde::Serialize;

use super::keys::ApiKey;

/// How the site is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// A request's head must be there within this time, and a connection may wait so long between two requests.
    pub header_timeout: Duration,
    /// A request's body must be there within this time.
    pub body_timeout: Duration,
    /// A client that takes nothing for so long while there is something to send is cut off.
    pub write_timeout: Duration,
    /// Connections open at once.
    pub max_connections: usize,
    /// Event streams open at once.
    pub max_streams: usize,
    /// How many requests for work a client may make; `None` is any number.
    pub rate_limit: Option<RateLimit>,
    /// Where a client's address stands if a proxy is in front; `None` is the connection's own.
    pub trust_proxy: Option<ProxyHeader>,
    /// Who may use the API; empty is everybody.
    pub keys: Vec<ApiKey>,
    /// What needs no key where there are keys.
    pub open: Open,
    /// Other sites whose scripts may use the API.
    pub cors_origins: Vec<Origin>,
    /// Jobs get so long to end by themselves when the server is asked to stop.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            max_connections: 1024,
            max_streams: 512,
            rate_limit: None,
            trust_proxy: None,
            keys: Vec::new(),
            open: Open::default(),
            cors_origins: Vec::new(),
            drain: Duration::from_secs(10),
        }
    }
}

/// How many requests for work (POST) one client may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In the long run.
    pub per_minute: NonZeroU32,
    /// At once.
    pub burst: NonZeroU32,
}

/// The header in which a proxy says whose request it passes on. Of `X-Forwarded-For` the last address counts: the one
/// that the nearest proxy added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    XForwardedFor,
    XRealIp,
    CfConnectingIp,
}

/// The parts of the site that are open to those without a key. The API never is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// `/health/…`
    pub health: bool,
    /// `/metrics`
    pub metrics: bool,
    /// The page, its files and the documentation: all that is neither of the others nor the API.
    pub page: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { health: true, metrics: false, page: false }
    }
}

/// Another site, as a browser names it: `https://example.org`, with a port where it isn't the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

/// Why a text is no [`Origin`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not an origin as browsers send it: http or https, ://, host in lower case, and :port unless it is 80 or 443"
)]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OriginError);
        };
        let own_port = if scheme == "https" { 443 } else { 80 };
        // An origin written in any other way would never equal what browsers send.
        let canonical = ["http", "https"].contains(&scheme)
            && authority.port_u16() != Some(own_port)
            && format!("{scheme}://{authority}").to_ascii_lowercase() == text
            && !text.contains('@');
        canonical.then(|| Self(text.to_owned())).ok_or(OriginError)
    }
}
