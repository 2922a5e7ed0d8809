//! Errors in the shape of AUTOMATIC1111's API.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::details::Problem;

/// Whether errors at this address have AUTOMATIC1111's shape.
pub(in crate::web) fn is_a1111_path(path: &str) -> bool {
    path.strip_prefix("/sdapi").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// An error, in AUTOMATIC1111's shape. Where the address or the method is wrong, there is `detail` only.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct A1111Error {
    /// The kind of error.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    /// For people.
    detail: String,
    /// Empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'static str>,
    /// The same as `detail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<String>,
}

impl A1111Error {
    fn new(problem: &Problem) -> Self {
        let detail = problem.message();
        Self { error: Some(problem.title()), errors: Some(detail.clone()), detail, body: Some("") }
    }

    /// Of what no handler answered.
    fn of_router(status: StatusCode) -> Self {
        let detail = status.canonical_reason().unwrap_or("Error").to_owned();
        Self { error: None, detail, body: None, errors: None }
    }
}

/// A problem as a response; `None` where no handler answered, with a text for most of these cases.
pub(super) fn a1111_response(status: StatusCode, problem: Option<&Problem>, fallback: &str) -> Response {
    let is_of_router = matches!(status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED);
    let error = match problem {
        Some(problem) => A1111Error::new(problem),
        None if is_of_router => A1111Error::of_router(status),
        None => A1111Error::new(&Problem::new(status, fallback)),
    };
    let no_store = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, no_store, Json(error)).into_response()
}
