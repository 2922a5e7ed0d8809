//! `/static/…`: the page's scripts, styles and pictures. They are embedded in the binary (a debug build reads them from the
//! source tree instead, so that changes show on reload).
//!
//! Comments of scripts and styles that fill whole lines are left out of what is sent: they are a quarter of it.
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

/// All style sheets of the pages as one file: one request, and together they compress better.
const PAGE_STYLE: &str = "styles/page.css";
/// Its parts; later ones override earlier ones.
const PAGE_STYLES: [&str; 9] =
    ["base", "controls", "settings", "viewer", "results", "layout", "views", "prompt", "dialogs"];

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
    if path == PAGE_STYLE {
        let bytes = page_style().into_bytes().into();
        return Ok(CachedFile::new(bytes, "text/css").with_cache_control(cache).response(&headers));
    }
    let Some(file) = Embedded::get(path) else {
        return Err(Problem::not_found(format!("There is no file /static/{path}.")));
    };
    let bytes = match file.data {
        data if path.ends_with(".js") || path.ends_with(".css") => {
            without_comments(&String::from_utf8_lossy(&data)).into()
        }
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Ok(CachedFile::new(bytes, file.metadata.mimetype()).with_cache_control(cache).response(&headers))
}

fn page_style() -> String {
    let parts = PAGE_STYLES.iter().filter_map(|name| Embedded::get(&format!("styles/{name}.css")));
    parts.map(|part| without_comments(&String::from_utf8_lossy(&part.data))).collect()
}

/// Leaves out block comments that begin a line and end one. Lines keep their numbers. No string of the sources contains a
/// line that begins with `/*`.
fn without_comments(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut in_comment = false;
    for line in source.lines() {
        let start = line.trim_start();
        let mut rest = line;
        if in_comment
            || (start.starts_with("/*") && (!start.contains("*/") || start.trim_end().ends_with("*/")))
        {
            in_comment = !line.contains("*/");
            rest = line.split_once("*/").map_or("", |(_, rest)| rest).trim_end();
        }
        result.push_str(rest);
        result.push('\n');
    }
    result
}

fn is_hash(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::without_comments;

    #[test]
    fn comments_that_fill_lines_are_left_out_and_lines_keep_their_numbers() {
        let source = "/** One. */\nlet a = 1; /* kept */\n/**\n * Two.\n */\n  /** @type {X} */ (a).b();\n  // kept\nlet c = 2;\n";
        let expected = "\nlet a = 1; /* kept */\n\n\n\n  /** @type {X} */ (a).b();\n  // kept\nlet c = 2;\n";
        assert_eq!(without_comments(source), expected);
    }
}
