//! Errors as problem details (RFC 9457).
//!
//! `{"type", "title", "status", "detail"}`, and for fields `"errors": [{"field", "value", "allowed"}]`. `type` is
//! `about:blank` where the status is enough, otherwise one of the names below. No error exposes the server's internals.

use std::borrow::Cow;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::engine::ModelHandle;
use crate::request::{FieldError, FieldErrors, model_names, shorten, shorten_to};

/// Characters of a detail at most: no answer repeats a long request.
const MAX_DETAIL: usize = 4000;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

pub(super) const INVALID_FIELDS: &str = "urn:rdpm:problem:invalid-fields";
pub(super) const QUEUE_FULL: &str = "urn:rdpm:problem:queue-full";
const NOT_READY: &str = "urn:rdpm:problem:not-ready";
const QUEUE_UNAVAILABLE: &str = "urn:rdpm:problem:queue-unavailable";
const SHUTTING_DOWN: &str = "urn:rdpm:problem:shutting-down";
pub(super) const RATE_LIMITED: &str = "urn:rdpm:problem:rate-limited";
const OVERLOADED: &str = "urn:rdpm:problem:overloaded";
const KEY_REUSED: &str = "urn:rdpm:problem:idempotency-key-reused";
const GENERATION_FAILED: &str = "urn:rdpm:problem:generation-failed";
pub(super) const UNKNOWN_MODEL: &str = "urn:rdpm:problem:unknown-model";

/// An error: RFC 9457 problem details.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(in crate::web) struct Problem {
    /// `about:blank` where the status is enough, otherwise the name of this kind of problem.
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
    /// The fields with invalid values, at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The number of further fields with invalid values, if there are more.
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted_errors: Option<usize>,
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem without a type of its own.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status,
            detail: shorten_to(&detail.into(), MAX_DETAIL),
            errors: Vec::new(),
            omitted_errors: None,
            retry_after: None,
        }
    }

    /// The kind of problem, for people.
    pub(super) fn title(&self) -> &'static str {
        self.title
    }

    /// The problem in one text, with what each of several fields allows.
    pub(super) fn message(&self) -> String {
        match self.errors.as_slice() {
            [] | [_] => self.detail.clone(),
            several => {
                let each =
                    several.iter().map(|error| format!("{}: allowed: {}.", error.field, error.allowed));
                format!("{} {}", self.detail, each.collect::<Vec<_>>().join(" "))
            }
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 422: the request is well-formed, but the values of some fields are invalid.
    pub fn invalid(errors: impl Into<FieldErrors>) -> Self {
        let errors = errors.into();
        let omitted = errors.omitted();
        let detail = match errors.listed() {
            [one] if one.value.is_null() => format!("{} is missing. Allowed: {}.", one.field, one.allowed),
            [one] => format!("{} is invalid. Allowed: {}.", one.field, one.allowed),
            several => {
                let fields: Vec<&str> = several.iter().map(|error| error.field.as_str()).collect();
                let others = if omitted > 0 { format!(" and {omitted} others") } else { String::new() };
                format!("{} fields are invalid: {}{others}.", fields.len() + omitted, fields.join(", "))
            }
        };
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        let (errors, omitted_errors) = (errors.listed().to_vec(), (omitted > 0).then_some(omitted));
        Self { kind: INVALID_FIELDS, title: "Invalid fields", errors, omitted_errors, ..problem }
    }

    /// When the request may succeed, if it is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// 404: there is no model of this name.
    pub fn unknown_model(name: &str, known: &[ModelHandle]) -> Self {
        let (name, allowed) = (shorten(name), model_names(known));
        let problem = Self::not_found(format!("There is no model {name:?} here. Allowed: {allowed}."));
        Self { kind: UNKNOWN_MODEL, title: "Unknown model", ..problem }
    }

    /// 422: the key was used with another body before.
    pub fn key_reused(key: &str) -> Self {
        let detail = format!("The Idempotency-Key {key} was used with another body before; use a new one.");
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail);
        Self { kind: KEY_REUSED, title: "Idempotency-Key reused", ..problem }
    }

    /// 500: the job failed.
    pub fn generation_failed(detail: Option<Cow<'static, str>>) -> Self {
        let detail = detail.unwrap_or(Cow::Borrowed("The generation failed. The fault has been logged."));
        let problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail);
        Self { kind: GENERATION_FAILED, title: "Generation failed", ..problem }
    }

    /// 500, with the error in the log only.
    pub fn internal(detail: &'static str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, detail);
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
    }

    /// 503: the engine isn't ready.
    pub(super) fn not_ready(retry_after: Duration) -> Self {
        let detail = "The model can't be used at present; the server is loading it again.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self { kind: NOT_READY, title: "Not ready", retry_after: Some(retry_after), ..problem }
    }

    /// 503: the queue of other machines can't be reached.
    pub(super) fn queue_unavailable(retry_after: Duration) -> Self {
        let detail = "The queue that hands generations to the workers can't be reached at present.";
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        Self {
            kind: QUEUE_UNAVAILABLE,
            title: "Queue unavailable",
            retry_after: Some(retry_after),
            ..problem
        }
    }

    pub(super) fn shutting_down() -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "The server is shutting down.");
        let retry_after = Some(Duration::from_secs(5));
        Self { kind: SHUTTING_DOWN, title: "Shutting down", retry_after, ..problem }
    }

    pub(super) fn queue_full(waiting: usize, retry_after: Duration) -> Self {
        let detail = format!("The queue is full: {waiting} images are waiting. Retry in {retry_after:?}.");
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self { kind: QUEUE_FULL, title: "Queue full", retry_after: Some(retry_after), ..problem }
    }

    /// 429: this client exceeded its rate limit.
    pub fn rate_limited(retry_after: Duration) -> Self {
        let detail = "Rate limit exceeded: too many requests for work. Retry after the time in the Retry-After header.";
        let problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
        Self { kind: RATE_LIMITED, title: "Rate limited", retry_after: Some(retry_after), ..problem }
    }

    /// 429: this client exceeded the limit of its requests' cost.
    pub fn cost_limited(retry_after: Duration) -> Self {
        let detail =
            "Cost limit exceeded: too many images or pixels. Retry after the time in the Retry-After header.";
        Self { detail: detail.into(), ..Self::rate_limited(retry_after) }
    }

    /// 503: too many connections.
    pub fn overloaded() -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "Too many connections are open.");
        let retry_after = Some(Duration::from_secs(5));
        Self { kind: OVERLOADED, title: "Overloaded", retry_after, ..problem }
    }

    /// 503: too many event streams.
    pub fn too_many_streams() -> Self {
        let detail = "Too many event streams are open. Other requests are not affected.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }

    /// 503: too many pictures wait for being rendered or read.
    pub fn too_many_pictures() -> Self {
        let detail = "Too many pictures are being rendered or read. Other requests are not affected.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }

    /// 503: too many large answers are being sent.
    pub fn too_many_answers() -> Self {
        let detail = "Too many large answers are being sent. Other requests are not affected.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }

    /// 503: too many large bodies.
    pub fn too_many_uploads() -> Self {
        let detail = "Too many images are being uploaded. Other requests are not affected.";
        Self { detail: detail.into(), ..Self::overloaded() }
    }
}

impl From<FieldErrors> for Problem {
    fn from(errors: FieldErrors) -> Self {
        Self::invalid(errors)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(wait) = self.retry_after {
            // In whole seconds, rounded up: a retry must not come too early.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(self);
        response
    }
}

fn as_number<S: Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}
