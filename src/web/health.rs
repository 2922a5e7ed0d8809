//! `/health/…`: for supervisors and load balancers.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::problem::Problem;
use crate::engine::ModelInfo;

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(live)).routes(routes!(ready))
}

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `live`
    status: &'static str,
}

#[derive(Debug, Serialize, ToSchema)]
struct Readiness {
    /// `ready`
    status: &'static str,
    models: Vec<ModelReadiness>,
}

#[derive(Debug, Serialize, ToSchema)]
struct ModelReadiness {
    name: String,
    /// Whether jobs of it are accepted: one that was not loaded yet is ready, too.
    ready: bool,
}

/// Is it alive?
///
/// 200 as long as restarting the process would change nothing; 503 where its worker is gone.
#[utoipa::path(get, path = "/health/live", tag = "Operations", responses((status = 200, body = Health)))]
pub(super) async fn live(State(app): State<App>) -> Result<Response, Problem> {
    if app.engine.is_alive() {
        Ok(([NO_STORE], Json(Health { status: "live" })).into_response())
    } else {
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The server's worker has ended."))
    }
}

/// Does it accept jobs?
///
/// 200 while jobs of any model are accepted; 503 while all models are out of order or the server is shutting down.
#[utoipa::path(get, path = "/health/ready", tag = "Operations", responses((status = 200, body = Readiness)))]
pub(super) async fn ready(State(app): State<App>) -> Result<Response, Problem> {
    app.engine.ready()?;
    let model = |info: &Arc<ModelInfo>| {
        let name = info.config.name.clone();
        ModelReadiness { ready: app.engine.model_ready(&name).is_ok(), name }
    };
    let models = app.engine.models().iter().map(model).collect();
    Ok(([NO_STORE], Json(Readiness { status: "ready", models })).into_response())
}
