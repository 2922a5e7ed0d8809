//! Files in memory, with an `ETag`.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::Extension;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use headers::{ETag, HeaderMapExt, IfNoneMatch};

use crate::web::access::SharedBody;

/// `Cache-Control` of a file that browsers cache but revalidate each time.
pub(in crate::web) const REVALIDATE: &str = "no-cache";

/// A file in memory that browsers may cache.
#[derive(Debug, Clone)]
pub(in crate::web) struct CachedFile {
    bytes: Bytes,
    media_type: String,
    etag: String,
    cache_control: &'static str,
}

impl CachedFile {
    /// A file that browsers revalidate each time.
    pub fn new(bytes: Bytes, media_type: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        // Without a charset browsers would guess one.
        let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
        // Weak, because the same file may be sent compressed or not.
        Self {
            bytes,
            media_type: format!("{media_type}{charset}"),
            etag: format!("W/\"{:016x}\"", hasher.finish()),
            cache_control: REVALIDATE,
        }
    }

    /// A text with each `from` replaced.
    pub fn replacing(&self, from: &str, to: &str) -> Self {
        let text = String::from_utf8_lossy(&self.bytes).replace(from, to);
        let kind = self.media_type.split(';').next().unwrap_or_default();
        Self::new(text.into(), kind).with_cache_control(self.cache_control)
    }

    /// The same with another `Cache-Control`.
    pub fn with_cache_control(self, cache_control: &'static str) -> Self {
        Self { cache_control, ..self }
    }

    /// 200 with the file, or 304 where `If-None-Match` has its tag.
    pub fn response(&self, headers: &HeaderMap) -> Response {
        let caching = [(header::ETAG, self.etag.as_str()), (header::CACHE_CONTROL, self.cache_control)];
        if self.is_unchanged(headers) {
            return (StatusCode::NOT_MODIFIED, caching).into_response();
        }
        let media_type = [(header::CONTENT_TYPE, self.media_type.as_str())];
        (Extension(SharedBody), caching, media_type, self.bytes.clone()).into_response()
    }

    fn is_unchanged(&self, headers: &HeaderMap) -> bool {
        let (Some(condition), Ok(etag)) = (headers.typed_get::<IfNoneMatch>(), self.etag.parse::<ETag>())
        else {
            return false;
        };
        !condition.precondition_passes(&etag)
    }
}
