//! The path below which clients reach the server, where a proxy gives it a part of a site: `/draw`.

use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};
use serde::Serialize;

/// The header with the path. Handlers read it; it comes from the trusted proxy, or from the settings.
pub(super) const PREFIX_HEADER: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Longer ones are no paths of sites.
const MAX_LENGTH: usize = 200;
/// The first parts of the server's own paths. A path below which the server is can't begin with them: requests that are sent
/// with it and without it could not be told apart.
const OWN: [&str; 10] =
    ["api", "v1", "openai", "images", "models", "static", "docs", "health", "metrics", "openapi.json"];

/// A path like `/draw`, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RootPath(String);

/// A text that is not a [`RootPath`].
#[derive(Debug, thiserror::Error)]
#[error(
    "not a path like /draw: it begins with / and another part than the server's own paths; allowed are letters, digits, -, _, ., ~ and /"
)]
pub struct RootPathError;

impl RootPath {
    /// The path, without a slash at the end: empty, or as `/draw`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What follows the root path in a path that begins with it.
    pub(super) fn strip<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.0)?;
        (!self.0.is_empty() && (rest.is_empty() || rest.starts_with('/'))).then_some(rest)
    }
}

impl FromStr for RootPath {
    type Err = RootPathError;

    fn from_str(text: &str) -> Result<Self, RootPathError> {
        let path = text.strip_suffix('/').unwrap_or(text);
        if path.is_empty() {
            return Ok(Self::default());
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(is_plain) && !part.bytes().all(|byte| byte == b'.')
        };
        let parts = path.strip_prefix('/').ok_or(RootPathError)?;
        let is_own = parts.split('/').next().is_some_and(|first| OWN.contains(&first));
        let is_path = path.len() <= MAX_LENGTH && parts.split('/').all(is_part) && !is_own;
        is_path.then(|| Self(path.to_owned())).ok_or(RootPathError)
    }
}

/// The path below which the client of a request reaches the server: empty, or as `/draw`.
pub(in crate::web) fn root_path(headers: &HeaderMap) -> &str {
    headers.get(PREFIX_HEADER).and_then(|path| path.to_str().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_path_is_a_plain_path() {
        for (text, path) in [("", ""), ("/", ""), ("/draw", "/draw"), ("/a/b-c/", "/a/b-c")] {
            assert_eq!(text.parse::<RootPath>().unwrap().as_str(), path);
        }
        for text in
            ["draw", "//evil.example", "/a//b", "/a b", "/a?b", "/..", "/a/../b", "/\"", "/api", "/v1/x"]
        {
            assert!(text.parse::<RootPath>().is_err(), "{text}");
        }
        let root: RootPath = "/draw".parse().unwrap();
        assert_eq!(root.strip("/draw/x"), Some("/x"));
        assert_eq!((root.strip("/draw"), root.strip("/drawing"), root.strip("/x")), (Some(""), None, None));
        assert_eq!(RootPath::default().strip("/x"), None);
    }
}
