//! API keys: who may use the API.
//!
//! A key comes as `Authorization: Bearer KEY`, or as the password of HTTP Basic with any user name. The latter is what
//! browsers ask a person for, and then send by themselves with everything that the page loads, event streams included.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use headers::authorization::{Authorization, Basic, Bearer};
use headers::{Header, HeaderMapExt};
use subtle::ConstantTimeEq;

use super::options::{Open, Options};
use super::problem::Problem;

/// Shorter ones could be guessed.
const MIN_LENGTH: usize = 16;

/// A key, written `NAME:KEY` or `KEY`. Names are for the log and may repeat: then they are one client's keys.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    name: Arc<str>,
    secret: String,
}

/// Why a text is no [`ApiKey`]. It never holds the text.
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
    /// The keys in a file's text: one a line; empty lines and lines that begin with `#` don't count.
    ///
    /// # Errors
    /// The first line that is no key.
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
        let (name, secret) = text.split_once(':').unwrap_or(("unnamed", text));
        let in_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(in_name) {
            return Err(ApiKeyError::Name);
        }
        if secret.len() < MIN_LENGTH || !secret.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',') {
            return Err(ApiKeyError::Secret);
        }
        Ok(Self { name: name.into(), secret: secret.into() })
    }
}

/// The name alone.
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

/// Who has shown a key: an extension of the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct KeyName(pub Arc<str>);

/// What [`check`] goes by.
pub(super) struct Access {
    keys: Vec<ApiKey>,
    open: Open,
}

impl Access {
    /// `None` where everything is open to everybody.
    pub fn new(options: &Options) -> Option<Arc<Self>> {
        let access = Self { keys: options.keys.clone(), open: options.open };
        (!access.keys.is_empty()).then(|| Arc::new(access))
    }

    fn needs_key(&self, method: &Method, path: &str) -> bool {
        let is_open = match path {
            "/metrics" => self.open.metrics,
            _ if path.starts_with("/health/") => self.open.health,
            _ if path.starts_with("/api/") || path.starts_with("/v1/") => false,
            // The page's form draws by POST, without scripts.
            _ => self.open.page && method.is_safe(),
        };
        !is_open
    }

    fn find(&self, headers: &HeaderMap) -> Option<&ApiKey> {
        let shown = secret(headers)?;
        let matches = |key: &ApiKey| bool::from(key.secret.as_bytes().ct_eq(shown.as_bytes()));
        // Every key is compared, each in constant time: the time it takes doesn't say how near a guess was.
        self.keys.iter().fold(None, |found, key| if matches(key) { Some(key) } else { found })
    }
}

/// The key that a request shows.
fn secret(headers: &HeaderMap) -> Option<String> {
    if let Some(Authorization(bearer)) = headers.typed_get::<Authorization<Bearer>>() {
        return Some(bearer.token().to_owned());
    }
    let Authorization(basic) = headers.typed_get::<Authorization<Basic>>()?;
    Some(basic.password().to_owned())
}

/// Lets requests pass that show a key or need none.
pub(super) async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    match access.find(request.headers()) {
        Some(key) => {
            tracing::Span::current().record("key", &*key.name);
            request.extensions_mut().insert(KeyName(Arc::clone(&key.name)));
        }
        None if access.needs_key(request.method(), request.uri().path()) => {
            return refusal(request.headers());
        }
        None => {}
    }
    next.run(request).await
}

fn refusal(headers: &HeaderMap) -> Response {
    let detail = if headers.contains_key(Authorization::<Bearer>::name()) {
        "The key in the Authorization header is not one of this server's."
    } else {
        "This server wants a key: send the header Authorization: Bearer KEY."
    };
    let mut response = Problem::new(StatusCode::UNAUTHORIZED, detail).into_response();
    for challenge in ["Bearer realm=\"rdpm\"", "Basic realm=\"rdpm\", charset=\"UTF-8\""] {
        response.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}
