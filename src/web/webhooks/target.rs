//! The address that a web hook is sent to.

use std::fmt;
use std::net::IpAddr;

use axum::http::{HeaderValue, Uri};
use url::{Host, Url};

use super::host::normalized;
use crate::request::MAX_WEBHOOK;

/// The smallest port beside those of the web: ports below are of other services.
const FIRST_FREE_PORT: u16 = 1024;

/// An address that has the right form. Whether it is allowed is for the settings to say.
#[derive(Clone)]
pub(in crate::web) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) is_https: bool,
    /// The value of the header `Host`.
    pub(super) authority: HeaderValue,
    /// The path and the query. They may contain secrets, so they are never logged.
    pub(super) path: Uri,
}

impl Target {
    /// `None` where the text is no address for web hooks.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_refused = |character: char| character.is_control() || character.is_whitespace();
        if text.chars().count() > MAX_WEBHOOK || text.contains(is_refused) {
            return None;
        }
        let url = Url::parse(text).ok()?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        if !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let host = normalized(url.host()?);
        let port = url.port_or_known_default()?;
        if !(port == 443 || port == 80 || port >= FIRST_FREE_PORT) || host == Host::Domain(String::new()) {
            return None;
        }
        let authority = url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"));
        let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
        Some(Self {
            authority: HeaderValue::try_from(authority).ok()?,
            path: Uri::try_from(format!("{}{query}", url.path())).ok()?,
            host,
            port,
            is_https,
        })
    }

    /// The address, where the host is one.
    pub(super) fn ip(&self) -> Option<IpAddr> {
        match self.host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

/// Without path and query.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_query_and_port_are_kept() {
        let target =
            Target::parse("https://Hooks.Example.org.:8443/a b?c=%20#d".replace(' ', "%20").as_str())
                .unwrap();
        assert_eq!((target.host.to_string().as_str(), target.port), ("hooks.example.org", 8443));
        assert_eq!(target.authority, "hooks.example.org:8443");
        assert_eq!(target.path, "/a%20b?c=%20");
        assert!(!format!("{target:?}").contains("c="));
        let target = Target::parse("http://[::1]").unwrap();
        assert_eq!((target.authority.to_str().unwrap(), target.port, target.path.path()), ("[::1]", 80, "/"));
        assert_eq!(target.ip(), Some("::1".parse().unwrap()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "example.org",
            "ftp://example.org",
            "file:///etc/passwd",
            "https://user@example.org",
            "https://user:password@example.org",
            "https://:password@example.org",
            "https://example.org:22",
            "https://example.org:0",
            "http://",
            "https:// example.org",
            "https://example.org/\r\nx: y",
            "gopher://example.org:6379/_x",
        ] {
            assert!(Target::parse(text).is_none(), "{text}");
        }
        let long = format!("https://example.org/{}", "x".repeat(MAX_WEBHOOK));
        assert!(
            Target::parse(&long[..MAX_WEBHOOK]).is_some() && Target::parse(&long[..=MAX_WEBHOOK]).is_none()
        );
    }

    #[test]
    fn addresses_in_other_forms_are_addresses() {
        for text in [
            "http://2130706433",
            "http://0x7f.1",
            "http://017700000001",
            "http://127.0.0.1.",
            "http://１２７.0.0.1",
        ] {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.ip(), Some("127.0.0.1".parse().unwrap()), "{text}");
        }
        assert_eq!(
            Target::parse("http://[::ffff:7f00:1]").unwrap().ip(),
            Some("::ffff:127.0.0.1".parse().unwrap())
        );
    }
}
