//! `/openapi.json` and `/docs`.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::web::access::root_path;
use crate::web::state::AppState;

/// `GET /openapi.json`
pub(super) async fn json(State(app): State<AppState>, headers: HeaderMap) -> Response {
    app.api_description.json(root_path(&headers)).response(&headers)
}

/// `GET /docs`
pub(super) async fn html(State(app): State<AppState>, headers: HeaderMap) -> Response {
    app.api_description.html(root_path(&headers)).response(&headers)
}
