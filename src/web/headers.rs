//! Headers of answers that several routes send.

use axum::http::{HeaderName, HeaderValue, header};

/// The answer is not kept by caches.
pub(super) const NO_STORE: (HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
/// What was adapted in a request; there may be several.
pub(super) const WARNING: HeaderName = HeaderName::from_static("rdpm-warning");
