//! The address that a request comes from.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::Extensions;

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

/// The network of an address.
pub(in crate::web) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}
