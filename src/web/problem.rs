//! Errors as clients get them: RFC 9457 problem details, each and every one, but in OpenAI's shape below `/v1/`, where
//! clients expect that.
//!
//! `{"type", "title", "status", "detail"}`, and for fields `"errors": [{"field", "value", "allowed"}]`. `type` is
//! `about:blank` where the status says it all, otherwise one of the names below. None says anything about the server's
//! inside.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::ToSchema;

use super::check::names;
use super::openai;
use crate::engine::{ModelInfo, SubmitError};
use crate::model::ModelError;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

pub(super) const INVALID_FIELDS: &str = "urn:rdpm:problem:invalid-fields";
pub(super) const QUEUE_FULL: &str = "urn:rdpm:problem:queue-full";
const NOT_READY: &str = "urn:rdpm:problem:not-ready";
const SHUTTING_DOWN: &str = "urn:rdpm:problem:shutting-down";
pub(super) const RATE_LIMITED: &str = "urn:rdpm:problem:rate-limited";
const OVERLOADED: &str = "urn:rdpm:problem:overloaded";
const KEY_REUSED: &str = "urn:rdpm:problem:idempotency-key-reused";
const GENERATION_FAILED: &str = "urn:rdpm:problem:generation-failed";
pub(super) const UNKNOWN_MODEL: &str = "urn:rdpm:problem:unknown-model";

/// An error: RFC 9457 problem details.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Problem {
    /// `about:blank` where the status says it all, otherwise a name for this kind of problem.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The kind of problem, for people.
    title: &'static str,
    /// The HTTP status.
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16, minimum = 400, maximum = 599)]
    pub status: StatusCode,
    /// This problem, for people.
    pub detail: String,
    /// The fields that can't be used, all of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

/// One field that can't be used: of the body, the query or the head.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
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

    /// 404: there is no model of this name.
    pub fn unknown_model(name: &str, known: &[Arc<ModelInfo>]) -> Self {
        let problem = Self::not_found(format!("There is no model {name:?} here. Allowed: {}.", names(known)));
        Self { kind: UNKNOWN_MODEL, title: "Unknown model", ..problem }
    }

    /// 422: the key stood for another body before.
    pub fn key_reused(key: &str) -> Self {
        let detail = format!("The Idempotency-Key {key} came with another body before; use a new one.");
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        Self { kind: KEY_REUSED, title: "Idempotency-Key reused", ..problem }
    }

    /// 500: the job that the answer waited for failed.
    pub fn generation_failed(detail: Option<&'static str>) -> Self {
        let detail = detail.unwrap_or("The generation failed. The fault has been logged.");
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
        Self { kind: GENERATION_FAILED, title: "Generation failed", ..problem }
    }

    /// 500, with the error in the log only.
    pub fn internal(detail: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, detail);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503: the engine isn't ready.
    fn not_ready(retry_after: Duration) -> Self {
        let detail = "The server can't draw with this model at present; it is loading it again.";
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

    /// 429: this client asks too often.
    pub fn rate_limited(retry_after: Duration) -> Self {
        let detail = "You have sent too many requests for work; others want a turn too.";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self { kind: RATE_LIMITED, title: "Rate limited", retry_after: Some(retry_after), ..problem }
    }

    /// 503: too many connections.
    pub fn overloaded() -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server has too many connections.");
        let retry_after = Some(Duration::from_secs(5));
        Self { kind: OVERLOADED, title: "Overloaded", retry_after, ..problem }
    }

    /// 503: too many event streams.
    pub fn too_many_streams() -> Self {
        let detail = "The server has too many event streams open; the rest of the API answers.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }

    /// 503: too many large bodies.
    pub fn too_many_uploads() -> Self {
        let detail = "The server is receiving too many images; the rest of the API answers.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }
}

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            // Handlers have looked it up; it was there.
            SubmitError::UnknownModel => Self::not_found("There is no such model."),
            SubmitError::Full { waiting, retry_after } => Self::queue_full(waiting, retry_after),
            SubmitError::NotReady { retry_after } => Self::not_ready(retry_after),
            SubmitError::ShuttingDown => Self::shutting_down(),
        }
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Setting { field, value, allowed } => {
                Self::invalid(vec![FieldError { field: field.into(), value: value.into(), allowed }])
            }
            error => Self::internal("The model failed.", &error),
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
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives errors the body that clients of the address expect, also those that libraries answered (wrong method, too large,
/// too slow, a panic), keeping their headers, `Allow` above all.
pub(super) async fn dress(request: Request, next: Next) -> Response {
    let is_openai = openai::has(request.uri().path());
    let mut response = next.run(request).await;
    let status = response.status();
    if !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let problem = response.extensions_mut().remove::<Problem>();
    if problem.is_some() && !is_openai {
        return response;
    }
    let problem = problem.unwrap_or_else(|| Problem::new(status, explanation(status)));
    let mut dressed =
        if is_openai { openai::error(&problem).into_response() } else { problem.into_response() };
    for (name, value) in response.headers() {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH && name != header::CACHE_CONTROL {
            dressed.headers_mut().append(name, value.clone());
        }
    }
    dressed
}

fn explanation(status: StatusCode) -> &'static str {
    match status {
        StatusCode::FORBIDDEN => {
            "Scripts of other sites may not do this; the server would have to allow theirs."
        }
        StatusCode::NOT_FOUND => "There is nothing at this address.",
        StatusCode::METHOD_NOT_ALLOWED => "This address has other methods; the Allow header lists them.",
        StatusCode::REQUEST_TIMEOUT => "The request body took too long to arrive.",
        StatusCode::PAYLOAD_TOO_LARGE => "The request body is too large.",
        _ if status.is_server_error() => "The server failed to answer. The fault has been logged.",
        _ => "The request can't be understood.",
    }
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
