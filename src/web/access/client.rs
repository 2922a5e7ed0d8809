//! Who sent a request.
//!
//! There are no accounts. A client is an API key's name, a token of the client's choice, which should be secret, or both. The
//! page sends a random token: the browser's if the server keeps pictures, otherwise the tab's.

use std::hash::{Hash, Hasher};
use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::client_address::ClientAddress;
use super::keys::KeyName;
use super::token_buckets::LimitKey;
use crate::engine::ClientId;
use crate::request::FieldError;
use crate::store::Owner;
use crate::web::problem::Problem;

/// The header with a client's token.
pub(in crate::web) const CLIENT_HEADER: HeaderName = HeaderName::from_static("rdpm-client");

/// The sender of a request. All requests of a client are equal.
#[derive(Debug, Clone)]
pub(in crate::web) struct Client {
    key: Option<KeyName>,
    token: Option<String>,
    network: Option<IpAddr>,
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
        let network = ClientAddress::of(&parts.extensions).network();
        Ok(Self { key: parts.extensions.get::<KeyName>().cloned(), token, network })
    }
}

impl Client {
    /// The only client of a program that isn't reached over HTTP.
    pub fn local() -> Self {
        Self { key: None, token: Some(format!("{:032x}", rand::random::<u128>())), network: None }
    }

    /// The client for the engine, which shares what it keeps between clients. A token makes no group of its own: a client
    /// could get more by sending many.
    pub fn engine_id(&self) -> ClientId {
        let group = ClientId::new(LimitKey::new(self.key.as_ref(), self.network).to_string());
        match &self.token {
            Some(token) => group.with_member(token.as_str()),
            None => group,
        }
    }

    /// Whether it can be told from others by more than its network.
    pub fn is_known(&self) -> bool {
        self.key.is_some() || self.token.is_some()
    }

    /// The owner of what it makes.
    pub fn owner(&self) -> Owner {
        Owner::new(self.key.as_ref().map(|KeyName(name)| &**name), self.token.as_deref())
    }

    /// What tells it from other clients, as one text. It contains secrets.
    pub fn secret_text(&self) -> String {
        let (key, token, network) = self.identity();
        let key = key.map(|KeyName(name)| name.as_ref());
        // As JSON, so that no two clients have the same text.
        serde_json::to_string(&(key, token, network)).unwrap_or_default()
    }

    /// A network counts only where nothing better is known: many clients may share it.
    fn identity(&self) -> (Option<&KeyName>, Option<&str>, Option<IpAddr>) {
        let network = if self.is_known() { None } else { self.network };
        (self.key.as_ref(), self.token.as_deref(), network)
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Client {}

impl Hash for Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
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
