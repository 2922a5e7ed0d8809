//! `/static/…`: the page's scripts, styles and pictures. They are inside the binary, so that it runs from any folder
//! (a debug build reads them from the source tree instead, so that a change shows on reload).

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Embedded;

/// `GET /static/{path}`
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let Some(file) = Embedded::get(&path) else {
        return Err(Problem::not_found(format!("There is no file /static/{path}.")));
    };
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(File::new(bytes, file.metadata.mimetype()).response(&headers))
}

/// A file in memory that a browser may keep as long as it asks whether it still is the same.
#[derive(Debug, Clone)]
pub(super) struct File {
    bytes: Bytes,
    media_type: String,
    etag: String,
}

impl File {
    pub fn new(bytes: Bytes, media_type: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        // Text without a charset would be guessed at.
        let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
        // Weak, because the same file may be sent compressed or not.
        Self {
            bytes,
            media_type: format!("{media_type}{charset}"),
            etag: format!("W/\"{:016x}\"", hasher.finish()),
        }
    }

    /// 200 with the file, or 304 where `If-None-Match` names it.
    pub fn response(&self, headers: &HeaderMap) -> Response {
        let kept = [(header::ETAG, self.etag.as_str()), (header::CACHE_CONTROL, "no-cache")];
        if self.is_known(headers) {
            return (StatusCode::NOT_MODIFIED, kept).into_response();
        }
        (kept, [(header::CONTENT_TYPE, self.media_type.as_str())], self.bytes.clone()).into_response()
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let opaque = self.etag.trim_start_matches("W/");
        let values = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        values
            .flat_map(|value| value.split(','))
            .any(|tag| tag.trim() == "*" || tag.trim().trim_start_matches("W/") == opaque)
    }
}
