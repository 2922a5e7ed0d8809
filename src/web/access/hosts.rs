//! The host names by which clients may reach the server.
//!
//! A page of another site can let its own name lead to this machine (DNS rebinding). For a browser its requests are then
//! requests of the same site, with that name as their `Host`. So a connection on a loopback address must name the server
//! `localhost`, by an IP address, or by a name that the operator allows.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::request::shorten;
use crate::web::problem::Problem;

/// A host name in lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct HostName(String);

/// A text that is not a [`HostName`].
#[derive(Debug, thiserror::Error)]
#[error("not a host name: letters, digits, -, _ and dots, without a scheme and a port")]
pub struct HostNameError;

impl FromStr for HostName {
    type Err = HostNameError;

    fn from_str(text: &str) -> Result<Self, HostNameError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = (1..=253).contains(&text.len()) && text.bytes().all(is_plain);
        is_name.then(|| Self(normalized(text))).ok_or(HostNameError)
    }
}

/// The server's address of a connection: an extension of requests.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct LocalAddress(pub SocketAddr);

/// The state of [`check_host`].
#[derive(Debug)]
pub(in crate::web) struct HostCheck {
    allowed: Vec<HostName>,
    has_proxy: bool,
}

impl HostCheck {
    /// With `allowed` names, all connections must use one of them. Without, only those on a loopback address are checked,
    /// and only if there is no trusted proxy, which passes on the names that it serves.
    pub fn new(allowed: Vec<HostName>, has_proxy: bool) -> Self {
        Self { allowed, has_proxy }
    }

    fn is_checked(&self, request: &Request) -> bool {
        let local = request.extensions().get::<LocalAddress>();
        let is_loopback =
            local.is_some_and(|LocalAddress(address)| address.ip().to_canonical().is_loopback());
        !self.allowed.is_empty() || (is_loopback && !self.has_proxy)
    }

    fn allows(&self, host: &str) -> bool {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = normalized(authority.host());
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_localhost = name == "localhost" || name.ends_with(".localhost");
        is_address || is_localhost || self.allowed.iter().any(|allowed| allowed.0 == name)
    }

    /// The name by which a request may not reach the server. Browsers always send one.
    fn refused_host(&self, request: &Request) -> Option<String> {
        if !self.is_checked(request) {
            return None;
        }
        let target = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let headers = request.headers().get_all(header::HOST).iter();
        let named = headers.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned());
        target.into_iter().chain(named).find(|host| !self.allows(host))
    }
}

/// Middleware that answers 403 to requests for another host.
pub(in crate::web) async fn check_host(
    State(check): State<Arc<HostCheck>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(host) = check.refused_host(&request) else { return next.run(request).await };
    let detail = format!(
        "The host name {:?} is not allowed here. The operator can allow it with --allowed-host, or set --trust-proxy \
         behind a proxy.",
        shorten(&host)
    );
    Problem::new(StatusCode::FORBIDDEN, detail).into_response()
}

/// Names are equal in any case, and with a dot at the end.
fn normalized(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
