//! The address that a request comes from.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Once;

use axum::extract::{ConnectInfo, Request};
use axum::http::{Extensions, HeaderMap};
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

/// The client's address: an extension of requests. `None` where it isn't known.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::web) struct ClientAddress(pub Option<IpAddr>);

impl ClientAddress {
    /// The address of the client that sent a request with these extensions.
    pub fn of(extensions: &Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or_default()
    }

    /// The network that one client usually has: an IPv4 address, or an IPv6 /64 prefix.
    pub fn network(self) -> Option<IpAddr> {
        self.0.map(network)
    }
}

/// The same request with its [`ClientAddress`]: the one in the trusted proxy's header, or the connection's.
pub(in crate::web) fn with_client_address(mut request: Request, trust_proxy: Option<ProxyHeader>) -> Request {
    let forwarded = trust_proxy.and_then(|header| forwarded_address(request.headers(), header));
    let address = forwarded.or_else(|| Some(request.extensions().get::<ConnectInfo<SocketAddr>>()?.ip()));
    request.extensions_mut().insert(ClientAddress(address));
    request
}

/// The network of an address.
pub(in crate::web) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
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
