//! API keys.
//!
//! A key is sent as `Authorization: Bearer KEY`, as `api-key: KEY` (by Azure's clients), or as the password of HTTP Basic with
//! any user name. Browsers ask a person for the latter, and then send it with everything that the page loads, event streams
//! included.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::authorization::{Authorization, Basic, Bearer};
use headers::{Header, HeaderMapExt};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::web::problem::{Problem, is_a1111_path, is_openai_path};

/// The header in which Azure's clients send a key.
const API_KEY: HeaderName = HeaderName::from_static("api-key");
/// The route that draws a picture although its method is GET: it needs a key as the API does.
pub(in crate::web) const LINK_PREVIEW_PATH: &str = "/preview.png";
/// The pictures that an address names.
const PICTURES_PATH: &str = "/api/v1/pictures/";

/// Shorter ones could be guessed.
const MIN_LENGTH: usize = 16;

/// A key, written `NAME:KEY` or `KEY`. The name appears in the log; without one it is made of a hash of the key. Keys with the
/// same name belong to one client.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    name: Arc<str>,
    secret: String,
}

/// A text that is not an [`ApiKey`]. The error never contains the text.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyError {
    #[error("the name before the colon may have letters, digits, - and _")]
    Name,
    #[error("the key must have {MIN_LENGTH} or more visible ASCII characters, none of them a comma")]
    Secret,
    /// In a file.
    #[error("line {0}: {1}")]
    Line(usize, Box<ApiKeyError>),
}

impl ApiKey {
    /// The keys in a file's text: one a line; empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// [`ApiKeyError::Line`]: the first line that is not a key.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, ApiKeyError> {
        let lines = text.lines().map(str::trim).enumerate();
        let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        keys.map(|(at, line)| line.parse().map_err(|error| ApiKeyError::Line(at + 1, Box::new(error))))
            .collect()
    }
}

impl FromStr for ApiKey {
    type Err = ApiKeyError;

    fn from_str(text: &str) -> Result<Self, ApiKeyError> {
        let (name, secret) = match text.split_once(':') {
            Some((name, secret)) => (Some(name), secret),
            None => (None, text),
        };
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_some_and(|name| name.is_empty() || !name.bytes().all(in_name)) {
            return Err(ApiKeyError::Name);
        }
        if secret.len() < MIN_LENGTH || !secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(ApiKeyError::Secret);
        }
        let name = name.map_or_else(|| name_of(secret), str::to_owned);
        Ok(Self { name: name.into(), secret: secret.into() })
    }
}

/// The name of a key that has none: different for each key, and too short to guess the key by it.
fn name_of(secret: &str) -> String {
    let hash = Sha256::digest(secret);
    let start = hash.iter().take(4).map(|byte| format!("{byte:02x}"));
    format!("unnamed-{}", start.collect::<String>())
}

/// Shows the name, never the key.
impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:***", self.name)
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The name of the key that a request was sent with: an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::web) struct KeyName(pub Arc<str>);

/// The parts of the site that need no key. The rest of the API always needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicPaths {
    /// `/health/…`
    pub health: bool,
    /// `/metrics`
    pub metrics: bool,
    /// The page, its files and the documentation: everything except the API and the two above.
    pub page: bool,
    /// `/api/v1/pictures/…`: other sites can then embed these pictures.
    pub pictures: bool,
}

impl Default for PublicPaths {
    fn default() -> Self {
        Self { health: true, metrics: false, page: false, pictures: false }
    }
}

/// The state of [`check_key`].
pub(in crate::web) struct KeyCheck {
    keys: Vec<ApiKey>,
    public_paths: PublicPaths,
}

impl KeyCheck {
    /// `keys` must not be empty: without keys everything is public.
    pub fn new(keys: Vec<ApiKey>, public_paths: PublicPaths) -> Self {
        Self { keys, public_paths }
    }

    fn needs_key(&self, method: &Method, path: &str) -> bool {
        let is_public = match path {
            "/metrics" => self.public_paths.metrics,
            _ if path.starts_with("/health/") => self.public_paths.health,
            // Links are signed.
            _ if path.starts_with("/v1/images/files/") => true,
            _ if path.starts_with(PICTURES_PATH) => self.public_paths.pictures,
            _ if path.starts_with("/api/") || is_openai_path(path) || is_a1111_path(path) => false,
            LINK_PREVIEW_PATH => false,
            // Without scripts, the page's form generates images by POST.
            _ => self.public_paths.page && method.is_safe(),
        };
        !is_public
    }

    fn find(&self, headers: &HeaderMap) -> Option<&ApiKey> {
        let sent = sent_key(headers)?;
        let matches = |key: &ApiKey| bool::from(key.secret.as_bytes().ct_eq(sent.as_bytes()));
        // All keys are compared, each in constant time, so that the time reveals nothing about a guess.
        self.keys.iter().fold(None, |found, key| if matches(key) { Some(key) } else { found })
    }
}

/// The key that a request was sent with.
fn sent_key(headers: &HeaderMap) -> Option<String> {
    if let Some(Authorization(bearer)) = headers.typed_get::<Authorization<Bearer>>() {
        return Some(bearer.token().to_owned());
    }
    if let Some(key) = headers.get(API_KEY) {
        return key.to_str().ok().map(str::to_owned);
    }
    let Authorization(basic) = headers.typed_get::<Authorization<Basic>>()?;
    Some(basic.password().to_owned())
}

/// Middleware that answers 401 to requests that need a key and have none.
pub(in crate::web) async fn check_key(
    State(check): State<Arc<KeyCheck>>,
    mut request: Request,
    next: Next,
) -> Response {
    match check.find(request.headers()) {
        Some(key) => {
            tracing::Span::current().record("key", &*key.name);
            request.extensions_mut().insert(KeyName(Arc::clone(&key.name)));
        }
        None if check.needs_key(request.method(), request.uri().path()) => {
            return unauthorized(request.headers());
        }
        None => {}
    }
    next.run(request).await
}

fn unauthorized(headers: &HeaderMap) -> Response {
    let detail = if headers.contains_key(Authorization::<Bearer>::name()) {
        "The key in the Authorization header is not valid."
    } else {
        "An API key is required: send the header Authorization: Bearer KEY."
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    for challenge in ["Bearer realm=\"rdpm\"", "Basic realm=\"rdpm\", charset=\"UTF-8\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}
