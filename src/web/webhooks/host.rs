//! The hosts that web hooks may be sent to.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use url::Host;

/// A host, as in `hooks.example.org` or `192.0.2.1`, or all names below a domain, as in `*.example.org`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebhookHost {
    /// This host only.
    Exact(Host),
    /// Names that end in a dot and this domain.
    Below(String),
}

/// A text that is not a [`WebhookHost`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not a host: a name as in hooks.example.org, *. and a domain as in *.example.org, or an IP address; without a scheme and a port"
)]
pub struct WebhookHostError;

impl WebhookHost {
    pub(super) fn allows(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Exact(allowed), host) => allowed == host,
            (Self::Below(domain), Host::Domain(name)) => {
                let below = name.strip_suffix(domain.as_str()).and_then(|rest| rest.strip_suffix('.'));
                below.is_some_and(|rest| !rest.is_empty())
            }
            (Self::Below(_), _) => false,
        }
    }
}

/// A host as it is compared: an address, or a name in lower case and ASCII without a dot at its end.
pub(super) fn normalized(host: Host<&str>) -> Host {
    match host {
        Host::Domain(name) => Host::Domain(name.strip_suffix('.').unwrap_or(name).to_owned()),
        Host::Ipv4(address) => Host::Ipv4(address),
        Host::Ipv6(address) => Host::Ipv6(address),
    }
}

impl FromStr for WebhookHost {
    type Err = WebhookHostError;

    fn from_str(text: &str) -> Result<Self, WebhookHostError> {
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self::Exact(Host::Ipv6(address)));
        }
        let (is_domain, name) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        if name.contains(['*', '%']) {
            return Err(WebhookHostError);
        }
        let host = Host::parse(name).map_err(|_| WebhookHostError)?;
        match (is_domain, host) {
            (false, host) => {
                let host = match host {
                    Host::Domain(name) => normalized(Host::Domain(&name)),
                    address => address,
                };
                if host == Host::Domain(String::new()) {
                    Err(WebhookHostError)
                } else {
                    Ok(Self::Exact(host))
                }
            }
            (true, Host::Domain(name)) => {
                let name = name.strip_suffix('.').unwrap_or(&name).to_owned();
                if name.is_empty() { Err(WebhookHostError) } else { Ok(Self::Below(name)) }
            }
            (true, _) => Err(WebhookHostError),
        }
    }
}

impl fmt::Display for WebhookHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(domain) => write!(f, "*.{domain}"),
        }
    }
}

impl Serialize for WebhookHost {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &str, host: &str) -> bool {
        let host = Host::parse(host).unwrap();
        let host = if let Host::Domain(name) = &host { normalized(Host::Domain(name)) } else { host };
        allowed.parse::<WebhookHost>().unwrap().allows(&host)
    }

    #[test]
    fn names_are_exact_or_below_a_domain() {
        assert!(allows("hooks.example.org", "HOOKS.example.org."));
        assert!(
            !allows("example.org", "hooks.example.org") && !allows("example.org", "example.org.evil.net")
        );
        assert!(allows("*.example.org", "a.example.org") && allows("*.Example.org.", "a.b.example.org"));
        assert!(!allows("*.example.org", "example.org") && !allows("*.example.org", "evilexample.org"));
        assert!(allows("bücher.example", "xn--bcher-kva.example"));
    }

    #[test]
    fn addresses_are_equal_in_all_their_forms() {
        for host in ["127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1"] {
            assert!(allows("127.0.0.1", host), "{host}");
        }
        assert!(allows("::1", "[::1]") && allows("[::1]", "[0::1]"));
        assert!(!allows("127.0.0.1", "[::ffff:127.0.0.1]") && !allows("*.0.0.com", "127.0.0.1"));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "*",
            "*.",
            ".",
            "*.*.org",
            "a*.org",
            "https://example.org",
            "example.org:443",
            "a b",
            "*.1.2.3.4",
        ] {
            assert!(text.parse::<WebhookHost>().is_err(), "{text}");
        }
    }
}
