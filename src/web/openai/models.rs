//! `GET /v1/models`.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::ModelInfo;
use crate::web::problem::Problem;
use crate::web::state::AppState;

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ModelList {
    /// `list`
    object: &'static str,
    data: Vec<OpenAiModel>,
}

/// A model, as OpenAI describes one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OpenAiModel {
    id: String,
    /// `model`
    object: &'static str,
    /// Unix time in seconds when the server started.
    created: u64,
    /// `rdpm`
    owned_by: &'static str,
}

/// List models
#[utoipa::path(
    get, path = "/v1/models", operation_id = "openaiListModels", tag = "OpenAI",
    responses((status = 200, body = ModelList)),
)]
pub(super) async fn list(State(app): State<AppState>) -> Json<ModelList> {
    let data = app.engine.models().iter().map(|info| model(&app, info)).collect();
    Json(ModelList { object: "list", data })
}

/// Get a model
#[utoipa::path(
    get, path = "/v1/models/{model}", operation_id = "openaiGetModel", tag = "OpenAI",
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, body = OpenAiModel)),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<OpenAiModel>, Problem> {
    match app.engine.model(&name) {
        Some(info) => Ok(Json(model(&app, info))),
        None => Err(Problem::unknown_model(&name, app.engine.models())),
    }
}

fn model(app: &AppState, info: &ModelInfo) -> OpenAiModel {
    let created = app.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    OpenAiModel { id: info.config.name.clone(), object: "model", created, owned_by: "rdpm" }
}
