//! Which other sites' scripts and forms may use the API.

use std::str::FromStr;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Uri};
use serde::Serialize;
use tower_http::cors::{AllowHeaders, CorsLayer, ExposeHeaders};
use tower_http::csrf::CsrfLayer;

/// Another site, as browsers send it: `https://example.org`, with a port where it isn't the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origin(String);

impl Origin {
    fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

/// A text that is not an [`Origin`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not an origin as browsers send it: http or https, ://, host in lower case, and :port unless it is 80 or 443"
)]
pub struct OriginError;

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let uri: Uri = text.parse().map_err(|_| OriginError)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(OriginError);
        };
        let own_port = if scheme == "https" { 443 } else { 80 };
        // An origin written in any other way never equals what browsers send.
        let canonical = ["http", "https"].contains(&scheme)
            && authority.port_u16() != Some(own_port)
            && format!("{scheme}://{authority}").to_ascii_lowercase() == text
            && !text.contains('@');
        canonical.then(|| Self(text.to_owned())).ok_or(OriginError)
    }
}

/// Whether a page of another site sent a request: browsers say so.
pub(in crate::web) fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

/// Refuses requests that other sites' scripts and forms send through a visitor's browser, except from `trusted` sites.
pub(in crate::web) fn same_origin(trusted: &[Origin]) -> CsrfLayer {
    trusted.iter().fold(CsrfLayer::new(), |layer, origin| {
        // Only a text that is no origin is an error; these are origins.
        layer.clone().add_trusted_origin(&origin.0).unwrap_or(layer)
    })
}

/// Lets the scripts of other sites use the API and read all response headers. They must send keys themselves: cookies are
/// not allowed.
pub(in crate::web) fn cors(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.iter().filter_map(Origin::header).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(Duration::from_secs(3600))
}
