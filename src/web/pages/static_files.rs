//! `/static/…`: the page's scripts, styles and pictures. They are embedded in the binary (a debug build reads them from the
//! source tree instead, so that changes show on reload).
//!
//! The page loads them from [`static_root`], an address that contains a hash of all files, so that browsers may cache them
//! forever. Scripts import each other by relative names, which stay below it. Addresses without the hash work too;
//! browsers then revalidate each time.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::response::Response;
use rust_embed::RustEmbed;

use crate::web::files::{CachedFile, REVALIDATE};
use crate::web::problem::Problem;

#[derive(RustEmbed)]
#[folder = "static/"]
struct Embedded;

/// Cached forever: other contents have another address.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The address of the static files, with a hash of their contents.
pub(in crate::web) fn static_root() -> String {
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
        // A page from before an update gets the current file.
        Some((first, rest)) if is_hash(first) => (rest, REVALIDATE),
        _ => (path.as_str(), REVALIDATE),
    };
    let Some(file) = Embedded::get(path) else {
        return Err(Problem::not_found(format!("There is no file /static/{path}.")));
    };
    let bytes = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(CachedFile::new(bytes, file.metadata.mimetype()).with_cache_control(cache).response(&headers))
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
