//! `/v1/…`: the images API of OpenAI, for clients that speak it.
//!
//! | method and path | answer |
//! |---|---|
//! | `POST /v1/images/generations` | images of the class that the prompt names; plain or streamed |
//! | `GET /v1/models`, `GET /v1/models/{model}` | what is served |
//!
//! Errors have OpenAI's shape: handlers answer with a [`Problem`] like all others, and `problem::dress` puts it into
//! [`error`]'s words.

mod body;
mod images;
mod models;
mod prompt;
mod stream;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::problem::{INVALID_FIELDS, Problem, QUEUE_FULL, RATE_LIMITED, UNKNOWN_MODEL};

pub(super) use stream::{CompletedEvent, PartialImageEvent};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(images::generate))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
}

/// Whether an address is one of this API's.
pub(super) fn has(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}

/// An error, in OpenAI's shape.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenAiError {
    error: ErrorBody,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// For people.
    message: String,
    /// `invalid_request_error`, `rate_limit_error` or `server_error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The field that can't be used.
    param: Option<String>,
    /// What kind of error, for programs.
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
        let message = match problem.errors.as_slice() {
            [] | [_] => problem.detail.clone(),
            several => {
                let each =
                    several.iter().map(|error| format!("{}: allowed are {}.", error.field, error.allowed));
                format!("{} {}", problem.detail, each.collect::<Vec<_>>().join(" "))
            }
        };
        let param = match problem.kind {
            UNKNOWN_MODEL => Some("model".into()),
            _ => problem.errors.first().map(|error| error.field.clone()),
        };
        Self { error: ErrorBody { message, kind, param, code } }
    }
}

/// The answer that tells of a problem. OpenAI says 400 where the API says 422.
pub(super) fn error(problem: &Problem) -> Response {
    let status = match problem.status {
        StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
        status => status,
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, Json(OpenAiError::new(problem))).into_response()
}
