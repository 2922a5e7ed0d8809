//! Who sent a request.
//!
//! There are no accounts. A client that wants to find its jobs again identifies itself by a token of its choice, which
//! should be secret; with API keys the key's name counts too.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::keys::KeyName;
use crate::engine::ClientId;
use crate::request::FieldError;
use crate::web::problem::Problem;

/// The header with a client's token.
pub(in crate::web) const CLIENT_HEADER: HeaderName = HeaderName::from_static("rdpm-client");

/// The sender of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::web) struct Client {
    key: Option<KeyName>,
    token: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Problem;

    /// 422 where the token is invalid.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let allowed = "16 to 128 letters, digits, -, _, . or ~ of your choice that nobody can guess";
        let token = header_text(&parts.headers, &CLIENT_HEADER, allowed, |token| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            (16..=128).contains(&token.len()) && token.bytes().all(is_plain)
        })?;
        Ok(Self { key: parts.extensions.get::<KeyName>().cloned(), token })
    }
}

impl Client {
    /// The client for the engine, which shares what it keeps between clients. A token makes no group of its own: a client
    /// could get more by sending many.
    pub fn engine_id(&self) -> ClientId {
        let group = match &self.key {
            Some(KeyName(name)) => ClientId::new(format!("key {name}")),
            None => ClientId::new("no key"),
        };
        match &self.token {
            Some(token) => group.with_member(token.as_str()),
            None => group,
        }
    }

    /// Whether it can be told from others.
    pub fn is_known(&self) -> bool {
        self.key.is_some() || self.token.is_some()
    }
}

/// A header's text, if the header is present.
///
/// # Errors
/// 422 where it is there twice or not `is_valid`.
pub(in crate::web) fn header_text(
    headers: &HeaderMap,
    name: &HeaderName,
    allowed: &str,
    is_valid: impl FnOnce(&str) -> bool,
) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() && is_valid(text) => Ok(Some(text.to_owned())),
        _ => Err(invalid_header(name, Some(&String::from_utf8_lossy(value.as_bytes())), allowed)),
    }
}

/// 422: a header with an invalid value.
pub(in crate::web) fn invalid_header(name: &HeaderName, value: Option<&str>, allowed: &str) -> Problem {
    Problem::invalid(FieldError::new(name.as_str(), value.into(), allowed))
}
