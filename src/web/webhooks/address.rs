//! Which addresses web hooks may connect to.
//!
//! A client chooses where a web hook goes, and the server sends it from inside the operator's network. So a host's addresses are
//! checked after its name was resolved, and only a checked address is connected to: a name that leads to another address a moment
//! later changes nothing.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

/// The IPv4 networks that aren't public: those of IANA's registry of special-purpose addresses, and one that a cloud uses for its own
/// services inside of all its machines.
const NOT_PUBLIC: [&str; 18] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "168.63.129.16/32",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    // Multicast, reserved, broadcast.
    "224.0.0.0/3",
];
/// The only IPv6 network with public addresses. Outside of it are loopback, link-local and unique-local addresses, multicast, and
/// IPv4 addresses in other forms (mapped, compatible, NAT64).
const PUBLIC_V6: &str = "2000::/3";
/// Parts of it that aren't public: protocols and tunnels (Teredo among them), documentation, 6to4.
const NOT_PUBLIC_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];

struct Networks {
    not_public: Vec<IpNet>,
    public_v6: Vec<IpNet>,
}

static NETWORKS: LazyLock<Networks> = LazyLock::new(|| {
    let networks = |texts: &[&str]| texts.iter().filter_map(|text| text.parse().ok()).collect();
    Networks {
        not_public: networks(&[&NOT_PUBLIC[..], &NOT_PUBLIC_V6[..]].concat()),
        public_v6: networks(&[PUBLIC_V6]),
    }
});

/// Whether anybody on the internet may have this address.
pub(super) fn is_public(address: IpAddr) -> bool {
    let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
    let may_be_public = address.is_ipv4() || is_in(&NETWORKS.public_v6);
    may_be_public && !is_in(&NETWORKS.not_public)
}

/// A network to which web hooks may be sent although it isn't public, as in `10.1.0.0/16`, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookNetwork(IpNet);

/// A text that is not a [`WebhookNetwork`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not a network: an IP address, or an address and the length of its prefix, as in 10.1.0.0/16 or fd00::/8"
)]
pub struct WebhookNetworkError;

impl WebhookNetwork {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

impl FromStr for WebhookNetwork {
    type Err = WebhookNetworkError;

    fn from_str(text: &str) -> Result<Self, WebhookNetworkError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| Self(network.trunc())).map_err(|_| WebhookNetworkError)
    }
}

impl fmt::Display for WebhookNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for WebhookNetwork {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn public(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    #[test]
    fn all_networks_of_the_tables_are_read() {
        assert_eq!(NETWORKS.not_public.len(), NOT_PUBLIC.len() + NOT_PUBLIC_V6.len());
        assert_eq!(NETWORKS.public_v6.len(), 1);
    }

    #[test]
    fn private_and_special_addresses_are_not_public() {
        for address in [
            "0.0.0.0",
            "10.255.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "168.63.129.16",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            // IPv4 addresses in other forms: compatible, mapped, NAT64, 6to4, Teredo.
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2001::1",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!public(address), "{address}");
        }
    }

    #[test]
    fn other_addresses_are_public() {
        for address in
            ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.15.0.1", "172.32.0.1", "2606:4700::1111", "2a00::1"]
        {
            assert!(public(address), "{address}");
        }
    }

    #[test]
    fn networks_are_addresses_or_prefixes() {
        let network = |text: &str| text.parse::<WebhookNetwork>();
        let written = |text: &str| network(text).unwrap().to_string();
        assert_eq!([written("10.1.2.3/16"), written("::1")], ["10.1.0.0/16", "::1/128"]);
        assert!(network("127.0.0.0/8").unwrap().contains("127.0.0.1".parse().unwrap()));
        // Naming IPv4 addresses doesn't allow their other forms.
        assert!(!network("127.0.0.0/8").unwrap().contains("::ffff:127.0.0.1".parse().unwrap()));
        for text in ["", "10.0.0.0/33", "10.0.0", "localhost", "*"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
