//! What a trusted proxy says of a request: the client's address, and the address by which the client reached the proxy.
//!
//! | of the client | header |
//! |---|---|
//! | address | the one that `--trust-proxy` names; of several addresses the last one, which the nearest proxy added |
//! | host | `X-Forwarded-Host`, or `host` of `Forwarded` |
//! | scheme | `X-Forwarded-Proto`, or `proto` of `Forwarded` |
//! | path | `X-Forwarded-Prefix` |
//!
//! The last three replace `Host`, `X-Forwarded-Proto` and `X-Forwarded-Prefix` of the request, which is where the other
//! layers and handlers read them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Once};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use clap::ValueEnum;
use rfc7239::{NodeIdentifier, NodeName};
use serde::Serialize;

use super::client_address::ClientAddress;
use super::root_path::{PREFIX_HEADER, RootPath};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The header in which a proxy passes on the client's address. Of several addresses the last one counts: the one that the
/// nearest proxy added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
    XRealIp,
    CfConnectingIp,
}

/// The state of [`read_proxy_headers`].
#[derive(Debug, Clone)]
pub(in crate::web) struct ProxyRules {
    /// `None` where no proxy is trusted.
    pub trusted: Option<ProxyHeader>,
    /// Where the trusted proxy names no other.
    pub root_path: RootPath,
}

/// What a proxy says.
#[derive(Debug, Default)]
struct Forwarded {
    address: Option<IpAddr>,
    host: Option<String>,
    scheme: Option<String>,
}

/// Middleware, outside of the router, that adds the [`ClientAddress`], makes the request that the client sent, and gives
/// addresses in headers of the answer the path that the client knows.
pub(in crate::web) async fn read_proxy_headers(
    State(rules): State<Arc<ProxyRules>>,
    mut request: Request,
    next: Next,
) -> Response {
    let root = rules.apply(&mut request);
    match root.strip(request.uri().path()) {
        // Relative addresses of the page need the slash.
        Some("") => {
            let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
            let location = format!("{}/{query}", root.as_str());
            return (StatusCode::PERMANENT_REDIRECT, [(header::LOCATION, location)]).into_response();
        }
        Some(path) => {
            if let Some(uri) = with_path(request.uri(), path) {
                *request.uri_mut() = uri;
            }
        }
        None => {}
    }
    let mut response = next.run(request).await;
    if !root.as_str().is_empty() {
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            let path = response.headers().get(&name).and_then(|path| path.to_str().ok());
            let path =
                path.filter(|path| path.starts_with('/')).map(|path| format!("{}{path}", root.as_str()));
            if let Some(Ok(path)) = path.map(HeaderValue::try_from) {
                response.headers_mut().insert(name, path);
            }
        }
    }
    response
}

impl ProxyRules {
    /// Sets the client's address and the headers. Returns the root path.
    fn apply(&self, request: &mut Request) -> RootPath {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.ip());
        let authority = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let headers = request.headers_mut();
        // HTTP/2 names the host in the target of the request.
        if let (None, Some(Ok(host))) = (headers.get(header::HOST), authority.map(HeaderValue::try_from)) {
            headers.insert(header::HOST, host);
        }
        let said = self.trusted.map(|header| Forwarded::read(headers, header)).unwrap_or_default();
        if let Some(host) = said.host.and_then(|host| HeaderValue::try_from(host).ok()) {
            headers.insert(header::HOST, host);
        }
        if let Some(scheme) = said.scheme.and_then(|scheme| HeaderValue::try_from(scheme).ok()) {
            headers.insert(PROTO, scheme);
        }
        let prefix = headers.remove(PREFIX_HEADER).filter(|_| self.trusted.is_some());
        let prefix = prefix.as_ref().and_then(|prefix| last(prefix)?.parse().ok());
        let root: RootPath = prefix.unwrap_or_else(|| self.root_path.clone());
        if let Ok(path) = HeaderValue::try_from(root.as_str()) {
            headers.insert(PREFIX_HEADER, path);
        }
        request.extensions_mut().insert(ClientAddress(said.address.or(peer)));
        root
    }
}

impl Forwarded {
    fn read(headers: &HeaderMap, header: ProxyHeader) -> Self {
        let text = |name: &HeaderName| headers.get_all(name).iter().next_back().and_then(last);
        let mut said = Self {
            address: None,
            host: text(&HOST).filter(|host| is_host(host)).map(str::to_owned),
            scheme: text(&PROTO).filter(|scheme| is_scheme(scheme)).map(str::to_owned),
        };
        let found = match header {
            ProxyHeader::XForwardedFor => text(&FOR).and_then(address),
            ProxyHeader::XRealIp => text(&HeaderName::from_static("x-real-ip")).and_then(address),
            ProxyHeader::CfConnectingIp => {
                text(&HeaderName::from_static("cf-connecting-ip")).and_then(address)
            }
            ProxyHeader::Forwarded => {
                let element =
                    text(&header::FORWARDED).and_then(|text| rfc7239::parse(text).next_back()?.ok());
                let element = element.unwrap_or_default();
                let unquoted = |text: &str| text.trim_matches('"').to_owned();
                said.host = element.host.map(unquoted).filter(|host| is_host(host)).or(said.host);
                said.scheme =
                    element.protocol.map(unquoted).filter(|scheme| is_scheme(scheme)).or(said.scheme);
                match element.forwarded_for {
                    Some(NodeIdentifier { name: NodeName::Ip(address), .. }) => Some(address),
                    _ => None,
                }
            }
        };
        if found.is_none() {
            warn_once(header);
        }
        said.address = found;
        said
    }
}

/// The last element of a list.
fn last(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.rsplit(',').next()?.trim();
    (!text.is_empty()).then_some(text)
}

/// An address, which may have a port: `192.0.2.1`, `192.0.2.1:51234`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:443`.
fn address(text: &str) -> Option<IpAddr> {
    let in_brackets = || Ipv6Addr::from_str(text.strip_prefix('[')?.strip_suffix(']')?).ok().map(IpAddr::V6);
    let with_port = || SocketAddr::from_str(text).ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port).or_else(in_brackets)
}

fn is_host(text: &str) -> bool {
    !text.contains('@') && text.parse::<Authority>().is_ok()
}

fn is_scheme(text: &str) -> bool {
    text == "http" || text == "https"
}

/// The same address with another path. A path begins with a slash.
fn with_path(uri: &Uri, path: &str) -> Option<Uri> {
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// Warns of the first request without a client address in the proxy's header. Requests that don't come through the proxy,
/// such as those of health checks, have none.
fn warn_once(header: ProxyHeader) {
    static WARN: Once = Once::new();
    WARN.call_once(|| {
        tracing::warn!(?header, "no client address in the proxy's header; further ones are not logged");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: ProxyHeader, headers: &[(&'static str, &'static str)]) -> Forwarded {
        let headers = headers
            .iter()
            .map(|&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        Forwarded::read(&HeaderMap::from_iter(headers), header)
    }

    #[test]
    fn addresses_may_have_ports_and_brackets() {
        for (text, expected) in [
            ("203.0.113.7", Some("203.0.113.7")),
            ("203.0.113.7:51234", Some("203.0.113.7")),
            ("2001:db8::1", Some("2001:db8::1")),
            ("[2001:db8::1]", Some("2001:db8::1")),
            ("[2001:db8::1]:443", Some("2001:db8::1")),
            ("198.51.100.1, [2001:db8::1]:443 ", Some("2001:db8::1")),
            ("198.51.100.1, unknown", None),
            ("203.0.113.7:", None),
            ("203.0.113.7:99999", None),
            ("[203.0.113.7]", None),
            ("_hidden", None),
            ("", None),
        ] {
            let expected = expected.map(|address| address.parse().unwrap());
            assert_eq!(
                read(ProxyHeader::XForwardedFor, &[("x-forwarded-for", text)]).address,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn forwarded_names_address_host_and_scheme() {
        let said = read(
            ProxyHeader::Forwarded,
            &[
                (
                    "forwarded",
                    "for=192.0.2.1, For=\"[2001:db8::1]:4711\";Proto=https;host=\"draw.example:8443\"",
                ),
                ("x-forwarded-for", "192.0.2.9"),
                ("x-forwarded-host", "other.example"),
            ],
        );
        assert_eq!(said.address, Some("2001:db8::1".parse().unwrap()));
        assert_eq!(said.host.as_deref(), Some("draw.example:8443"));
        assert_eq!(said.scheme.as_deref(), Some("https"));
        for text in ["for=unknown", "for=_hidden", "for=", "x", "for=\"192.0.2.1", ""] {
            let address = read(ProxyHeader::Forwarded, &[("forwarded", text)]).address;
            assert!(address.is_none() || text.ends_with("192.0.2.1"), "{text}");
        }
    }

    #[test]
    fn host_and_scheme_must_be_valid() {
        let hosts = [("a.example", true), ("a.example:80", true), ("x@a.example", false), ("a b", false)];
        for (host, is_valid) in hosts {
            let said =
                read(ProxyHeader::XRealIp, &[("x-forwarded-host", host), ("x-forwarded-proto", "ftp")]);
            assert_eq!((said.host.is_some(), said.scheme), (is_valid, None), "{host}");
        }
    }
}
