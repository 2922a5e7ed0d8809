//! Headers of answers that several routes send.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};

/// The answer is not kept by caches.
pub(super) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// What was adapted in a request; there may be several.
pub(super) const WARNING: HeaderName = HeaderName::from_static("rdpm-warning");

/// Text that has no characters that headers can't have, such as an address, as a header.
pub(super) fn header_value(text: &str) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// Adds a header for each warning, whose characters become visible ASCII.
pub(super) fn append_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    let visible = |letter: char| if (' '..='~').contains(&letter) { letter } else { '?' };
    let values = warnings.iter().map(|text| text.chars().map(visible).collect::<String>());
    for value in values.filter_map(|text| HeaderValue::try_from(text).ok()) {
        headers.append(WARNING, value);
    }
}
