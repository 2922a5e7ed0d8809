//! `GET /api/v1/workers`: the workers on other machines.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::queue::{WorkerModel, WorkerReport};
use crate::web::headers::NO_STORE;
use crate::web::state::AppState;

/// The workers of a queue.
#[derive(Debug, Serialize, ToSchema)]
struct Workers {
    /// Sorted by name; those that reported within the last 5 seconds. Empty where the server itself draws.
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Worker {
    /// Another one for each process.
    name: String,
    devices: Vec<String>,
    models: Vec<ModelOfWorker>,
    /// Images that it can draw at the same time.
    slots: u32,
    slots_in_use: u32,
    /// Images that it finished in each second of the last half minute.
    images_per_second: f64,
    /// The version of the program.
    version: String,
    /// Whether it ends after the images that it draws.
    leaving: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct ModelOfWorker {
    name: String,
    version: String,
    precision: String,
}

impl From<WorkerReport> for Worker {
    fn from(report: WorkerReport) -> Self {
        let WorkerReport { name, devices, models, slots, slots_in_use, images_per_second, version, leaving } =
            report;
        let model = |WorkerModel { name, version, precision }| ModelOfWorker { name, version, precision };
        let models = models.into_iter().map(model).collect();
        Self { name, devices, models, slots, slots_in_use, images_per_second, version, leaving }
    }
}

/// List workers
///
/// The processes that draw for this server, on this and other machines, where it runs with `--queue`.
#[utoipa::path(
    get,
    path = "/api/v1/workers",
    operation_id = "listWorkers",
    tag = "Operations",
    responses((status = 200, description = "The workers", body = Workers)),
)]
pub(super) async fn list(State(app): State<AppState>) -> Response {
    let workers = app.engine.workers().into_iter().map(Worker::from).collect();
    ([NO_STORE], Json(Workers { workers })).into_response()
}
