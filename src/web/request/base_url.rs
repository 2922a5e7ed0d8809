//! The address by which a client reached the server.

use axum::http::uri::Authority;
use axum::http::{HeaderMap, header};

use crate::web::access::root_path;

/// The scheme, the host and the root path that a request was sent to, without a slash at the end; `None` where it names no
/// host. A wrong header only affects the client that sent it.
pub(in crate::web) fn base_url(headers: &HeaderMap) -> Option<String> {
    let host = headers.get(header::HOST)?.to_str().ok()?;
    let authority: Authority = host.parse().ok().filter(|_| !host.contains('@'))?;
    // A proxy that terminates TLS says so.
    let is_https = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    Some(format!("{}://{authority}{}", if is_https { "https" } else { "http" }, root_path(headers)))
}
