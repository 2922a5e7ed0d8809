//! Which other sites' scripts and forms may use the API.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};
use tower_http::csrf::CsrfLayer;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// Stands for the names below a domain.
const WILDCARD: &str = "*.";

/// Another site, as browsers send it: `https://example.org`, with a port where it isn't the scheme's own. Also the sites of a
/// domain (`https://*.example.org`), programs and extensions (`tauri://localhost`, `chrome-extension://ID`), and `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    /// Whether a browser's `Origin` is this, or one of these.
    fn matches(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let Some((scheme, domain)) = self.0.split_once(WILDCARD) else { return origin == self.0 };
        let name = origin.strip_prefix(scheme).and_then(|name| name.strip_suffix(domain));
        name.and_then(|name| name.strip_suffix('.')).is_some_and(is_name)
    }
}

/// A text that is not an [`Origin`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not an origin as browsers send it: scheme, ://, host in lower case, and :port unless it is the scheme's own; or a domain's \
     sites as https://*.example.org, or null"
)]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let origin = || Ok(Self(text.to_owned()));
        if text == "null" {
            return origin();
        }
        let (scheme, host) = text.split_once("://").ok_or(OriginError)?;
        let (is_web, domain) = (["http", "https"].contains(&scheme), host.strip_prefix(WILDCARD));
        // A whole top-level domain is nobody's.
        if domain.is_some_and(|domain| !is_web || !domain.contains('.')) {
            return Err(OriginError);
        }
        let plain = format!("{scheme}://{}", domain.unwrap_or(host));
        let uri: Uri = plain.parse().map_err(|_| OriginError)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OriginError);
        };
        let own_port = match scheme {
            "https" => Some(443),
            "http" => Some(80),
            // Their pages have the origin null.
            "ftp" | "file" | "data" | "blob" => return Err(OriginError),
            _ => None,
        };
        // An origin written in any other way never equals what browsers send.
        let canonical = (own_port.is_none() || authority.port_u16() != own_port)
            && format!("{scheme}://{authority}").to_ascii_lowercase() == plain
            && !plain.contains(['@', '*']);
        if canonical { origin() } else { Err(OriginError) }
    }
}

/// Whether a page of another site sent a request: browsers say so.
pub(in crate::web) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site")
}

/// Names below a domain, as `a` and `a.b`.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(is_plain))
}

fn is_trusted(origins: &[Origin], origin: &HeaderValue) -> bool {
    origins.iter().any(|trusted| trusted.matches(origin))
}

/// Refuses requests that other sites' scripts and forms send through a visitor's browser.
pub(in crate::web) fn same_origin() -> CsrfLayer {
    CsrfLayer::new()
}

/// Middleware around [`same_origin`]: removes from the requests of trusted sites what says that they come from another site.
pub(in crate::web) async fn trust_origins(
    State(origins): State<Arc<[Origin]>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers_mut();
    if headers.get(header::ORIGIN).is_some_and(|origin| is_trusted(&origins, origin)) {
        headers.remove(header::ORIGIN);
        headers.remove(SEC_FETCH_SITE);
    }
    next.run(request).await
}

/// Lets the scripts of other sites use the API and read all response headers. They must send keys themselves: cookies are
/// not allowed.
pub(in crate::web) fn cors(origins: Arc<[Origin]>) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_trusted(&origins, origin)))
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(Duration::from_secs(3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_send_them() {
        for text in [
            "https://example.org",
            "http://localhost:5173",
            "https://*.example.org",
            "https://*.example.org:8443",
            "app://obsidian.md",
            "tauri://localhost",
            "chrome-extension://abcdefghijklmnop",
            "moz-extension://01234567-89ab",
            "null",
        ] {
            assert!(text.parse::<Origin>().is_ok(), "{text}");
        }
        for text in [
            "*",
            "https://*",
            "https://*.org",
            "https://a.*.org",
            "https://*.*.org",
            "https://Example.org",
            "example.org",
            "https://example.org/",
            "https://example.org:443",
            "http://a:80",
            "https://a@b",
            "tauri://*.a.b",
            "",
            "://",
            "https://",
            "NULL",
            "app://",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn wildcard_is_for_names_below_the_domain() {
        let origin: Origin = "https://*.example.org".parse().unwrap();
        for (text, expected) in [
            ("https://a.example.org", true),
            ("https://a.b.example.org", true),
            ("https://example.org", false),
            ("https://.example.org", false),
            ("http://a.example.org", false),
            ("https://a.example.org:8443", false),
            ("https://aexample.org", false),
            ("https://a.example.org.evil.example", false),
            ("https://evil.example/.example.org", false),
            ("https://evil.example?.example.org", false),
            ("null", false),
        ] {
            assert_eq!(origin.matches(&HeaderValue::from_static(text)), expected, "{text}");
        }
    }
}
