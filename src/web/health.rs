//! `/health/…`: for supervisors and load balancers.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::App;
use super::problem::Problem;

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// 200 as long as restarting the process would change nothing; 503 where its worker is gone.
pub(super) async fn live(State(app): State<App>) -> Result<Response, Problem> {
    if app.engine.is_alive() {
        Ok(([NO_STORE], Json(json!({"status": "live"}))).into_response())
    } else {
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The server's worker has ended."))
    }
}

/// 200 while jobs are accepted; 503 while the model is out of order or the server is shutting down.
pub(super) async fn ready(State(app): State<App>) -> Result<Response, Problem> {
    app.engine.ready()?;
    Ok(([NO_STORE], Json(json!({"status": "ready"}))).into_response())
}
