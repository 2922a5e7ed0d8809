//! Errors in the shape of OpenAI's API.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::details::{INVALID_FIELDS, Problem, QUEUE_FULL, RATE_LIMITED, UNKNOWN_MODEL};

/// Whether errors at this address have OpenAI's shape.
pub(in crate::web) fn is_openai_path(path: &str) -> bool {
    ["/v1", "/openai", "/images", "/models"]
        .iter()
        .any(|root| path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// An error, in OpenAI's shape.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct OpenAiError {
    error: ErrorBody,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// For people.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field with an invalid value.
    param: Option<String>,
    /// The kind of error, for programs.
    code: Option<&'static str>,
}

impl OpenAiError {
    pub fn new(problem: &Problem) -> Self {
        let kind = match problem.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        let code = match problem.kind {
            INVALID_FIELDS => Some("invalid_value"),
            QUEUE_FULL | RATE_LIMITED => Some("rate_limit_exceeded"),
            UNKNOWN_MODEL => Some("model_not_found"),
            _ if problem.status == StatusCode::UNAUTHORIZED => Some("invalid_api_key"),
            _ => None,
        };
        let message = problem.message();
        let param = match problem.kind {
            UNKNOWN_MODEL => Some("model".into()),
            _ => problem.errors.first().map(|error| error.field.clone()),
        };
        Self { error: ErrorBody { message, kind, param, code } }
    }
}

/// A problem as a response. OpenAI answers 400 where the REST API answers 422.
pub(super) fn openai_response(problem: &Problem) -> Response {
    let status = match problem.status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, Json(OpenAiError::new(problem))).into_response()
}
