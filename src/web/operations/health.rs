//! `/health/…`: liveness and readiness.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::ModelHandle;
use crate::store::Store;
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::state::AppState;

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `live`
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// `ready`, or `degraded` where jobs are drawn but can't be kept: the store can't be written.
    status: &'static str,
    models: Vec<ModelReadiness>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ModelReadiness {
    name: String,
    /// Whether its jobs are accepted. A model that is not loaded yet is ready.
    ready: bool,
}

/// Check liveness
///
/// 200 while the server works; 503 where one of its threads has ended or makes no progress, so that it must be restarted.
#[utoipa::path(
    get, path = "/health/live", operation_id = "checkLiveness", tag = "Operations",
    responses((status = 200, description = "The server works", body = Health)),
)]
pub(super) async fn live(State(app): State<AppState>) -> Result<Response, Problem> {
    if app.engine.is_alive() {
        Ok(([NO_STORE], Json(Health { status: "live" })).into_response())
    } else {
        let detail = "A thread of the server has ended or makes no progress. The server must be restarted.";
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail))
    }
}

/// Check readiness
///
/// 200 while jobs of any model are accepted; 503 while no model is ready or the server is shutting down. `status` is `degraded`
/// where the server's store can't be written, for example because its disk is full: jobs are drawn, but not kept.
#[utoipa::path(
    get, path = "/health/ready", operation_id = "checkReadiness", tag = "Operations",
    responses((status = 200, description = "Jobs are accepted", body = Readiness)),
)]
pub(super) async fn ready(State(app): State<AppState>) -> Result<Response, Problem> {
    app.engine.ready()?;
    let model = |model: &ModelHandle| {
        let ready = app.engine.model_ready(model).is_ok();
        ModelReadiness { name: model.name().to_owned(), ready }
    };
    let models = app.engine.models().iter().map(model).collect();
    let is_degraded = app.jobs.store().is_some_and(Store::is_degraded);
    let status = if is_degraded { "degraded" } else { "ready" };
    Ok(([NO_STORE], Json(Readiness { status, models })).into_response())
}
