//! The address that a request comes from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Once;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use clap::ValueEnum;
use serde::Serialize;

/// The header in which a proxy passes on the client's address. Of `X-Forwarded-For` the last address counts: the one that
/// the nearest proxy added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    XForwardedFor,
    XRealIp,
    CfConnectingIp,
}

/// The client's address: the one in the trusted proxy's header, or the connection's.
pub(in crate::web) fn client_address(request: &Request, trust_proxy: Option<ProxyHeader>) -> Option<IpAddr> {
    let forwarded = trust_proxy.and_then(|header| forwarded_address(request.headers(), header));
    forwarded.or_else(|| Some(request.extensions().get::<ConnectInfo<SocketAddr>>()?.ip()))
}

fn forwarded_address(headers: &HeaderMap, header: ProxyHeader) -> Option<IpAddr> {
    let address = match header {
        ProxyHeader::XForwardedFor => client_ip::rightmost_x_forwarded_for(headers),
        ProxyHeader::XRealIp => client_ip::x_real_ip(headers),
        ProxyHeader::CfConnectingIp => client_ip::cf_connecting_ip(headers),
    };
    address.inspect_err(warn_once).ok()
}

/// Warns of the first request without a client address in the proxy's header. Requests that don't come through the proxy,
/// such as those of health checks, have none.
fn warn_once(error: &impl std::fmt::Display) {
    static WARN: Once = Once::new();
    WARN.call_once(
        || tracing::warn!(%error, "no client address in the proxy's header; further ones are not logged"),
    );
}
