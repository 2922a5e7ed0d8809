//! Errors as clients get them: RFC 9457 problem details, each and every one.
//!
//! `{"type", "title", "status", "detail"}`, and for fields `"errors": [{"field", "value", "allowed"}]`. `type` is
//! `about:blank` where the status says it all, otherwise one of the names below. None says anything about the server's
//! inside.

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::engine::SubmitError;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

const INVALID_FIELDS: &str = "urn:rdpm:problem:invalid-fields";
const QUEUE_FULL: &str = "urn:rdpm:problem:queue-full";
const NOT_READY: &str = "urn:rdpm:problem:not-ready";
const SHUTTING_DOWN: &str = "urn:rdpm:problem:shutting-down";

/// An error as a client gets it.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// One field that can't be used.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct FieldError {
    pub field: String,
    /// As sent; `null` where it is missing.
    pub value: Value,
    /// For people.
    pub allowed: String,
}

impl Problem {
    /// A problem that the status alone names.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after: None,
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422: well-formed JSON, but fields can't be used.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.value.is_null() => format!("{} is missing. Allowed: {}.", one.field, one.allowed),
            [one] => format!("{} can't be used. Allowed: {}.", one.field, one.allowed),
            several => {
                let fields: Vec<&str> = several.iter().map(|error| error.field.as_str()).collect();
                format!("{} fields can't be used: {}.", several.len(), fields.join(", "))
            }
        };
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        Self { kind: INVALID_FIELDS, title: "Invalid fields", errors, ..problem }
    }

    /// 503: the engine isn't ready.
    fn not_ready(retry_after: Duration) -> Self {
        let detail = "The server can't draw at present; it is loading its model again.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self { kind: NOT_READY, title: "Not ready", retry_after: Some(retry_after), ..problem }
    }

    fn shutting_down() -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.");
        let retry_after = Some(Duration::from_secs(5));
        Self { kind: SHUTTING_DOWN, title: "Shutting down", retry_after, ..problem }
    }

    fn queue_full(waiting: usize, retry_after: Duration) -> Self {
        let detail =
            format!("{waiting} images are waiting already; there should be room in {retry_after:?}.");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self { kind: QUEUE_FULL, title: "Queue full", retry_after: Some(retry_after), ..problem }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Full { waiting, retry_after } => Self::queue_full(waiting, retry_after),
            SubmitError::NotReady { retry_after } => Self::not_ready(retry_after),
            SubmitError::ShuttingDown => Self::shutting_down(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up: earlier would be too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Gives errors that libraries answered (wrong method, too large, too slow, a panic) a problem body, keeping their
/// headers, `Allow` above all.
pub(super) async fn dress(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    if !is_error || response.headers().get(header::CONTENT_TYPE) == Some(&MEDIA_TYPE) {
        return response;
    }
    let mut dressed = Problem::new(status, explanation(status)).into_response();
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH && name != header::CACHE_CONTROL {
            dressed.headers_mut().append(name, value.clone());
        }
    }
    dressed
}

fn explanation(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "This address has other methods; the Allow header lists them.",
        StatusCode::REQUEST_TIMEOUT => "The request took too long to arrive.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is too large.",
        _ if status.is_server_error() => "The server failed to answer. The fault has been logged.",
        _ => "The request can't be understood.",
    }
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
