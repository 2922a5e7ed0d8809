//! `/static/…`: the page's scripts, styles and pictures. They are inside the binary, so that it runs from any folder
//! (a debug build reads them from the source tree instead, so that a change shows on reload).
//!
//! The page asks for them below [`root`], an address that changes with any of them, so that browsers may keep them for
//! good. Scripts import each other by relative names, which stay below it. Without the hash a file answers too, and a
//! browser asks each time whether it still is the same.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;

use super::problem::Problem;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Embedded;

/// Kept for good: another content has another address.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Kept, but asked about each time.
const REVALIDATED: &str = "no-cache";

/// The address of the folder, with a hash of all that is in it.
pub(super) fn root() -> String {
    format!("/static/{}", hash())
}

/// 16 hexadecimal digits.
fn hash() -> String {
    static AT_START: LazyLock<String> = LazyLock::new(hash_now);
    if cfg!(debug_assertions) { hash_now() } else { AT_START.clone() }
}

fn hash_now() -> String {
    let mut paths: Vec<_> = Embedded::iter().collect();
    paths.sort_unstable();
    let mut hasher = DefaultHasher::new();
    for path in paths {
        Embedded::get(&path).map(|file| file.metadata.sha256_hash()).hash(&mut hasher);
        path.hash(&mut hasher);
    }
    format!("{:016x}", hasher.finish())
}

/// `GET /static/{path}`
pub(super) async fn file(Path(path): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (path, cache) = match path.split_once('/') {
        Some((first, rest)) if first == hash() => (rest, IMMUTABLE),
        // A page from before a change gets what there is now.
        Some((first, rest)) if is_hash(first) => (rest, REVALIDATED),
        _ => (path.as_str(), REVALIDATED),
    };
    let Some(file) = Embedded::get(path) else {
        return Err(Problem::not_found(format!("There is no file /static/{path}.")));
    };
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(File::new(bytes, file.metadata.mimetype()).kept(cache).response(&headers))
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A file in memory that browsers may keep.
#[derive(Debug, Clone)]
pub(super) struct File {
    bytes: Bytes,
    media_type: String,
    etag: String,
    cache_control: &'static str,
}

impl File {
    /// A file that a browser asks about each time.
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
            cache_control: REVALIDATED,
        }
    }

    /// The same with another `Cache-Control`.
    pub fn kept(self, cache_control: &'static str) -> Self {
        Self { cache_control, ..self }
    }

    /// 200 with the file, or 304 where `If-None-Match` names it.
    pub fn response(&self, headers: &HeaderMap) -> Response {
        let kept = [(header::ETAG, self.etag.as_str()), (header::CACHE_CONTROL, self.cache_control)];
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
