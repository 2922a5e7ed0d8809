//! `GET /v1/models`.

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::problem::Problem;
use crate::web::state::AppState;
use crate::web::unix_time::unix_time;

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
    responses((status = 200, description = "The models and their aliases", body = ModelList)),
)]
pub(super) async fn list(State(app): State<AppState>) -> Json<ModelList> {
    let own = app.engine.models().iter().map(|info| model(&app, &info.config.name));
    let aliases = app.model_aliases.keys().map(|name| model(&app, name));
    let data = own.chain(aliases).collect();
    Json(ModelList { object: "list", data })
}

/// Get a model
#[utoipa::path(
    get, path = "/v1/models/{model}", operation_id = "openaiGetModel", tag = "OpenAI",
    params(("model" = String, Path, description = "The model's name")),
    responses((status = 200, description = "The model", body = OpenAiModel)),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<OpenAiModel>, Problem> {
    if app.engine.model(&name).is_some() || app.model_aliases.contains_key(&name) {
        return Ok(Json(model(&app, &name)));
    }
    Err(Problem::unknown_model(&name, app.engine.models()))
}

fn model(app: &AppState, name: &str) -> OpenAiModel {
    let created = unix_time(app.started);
    OpenAiModel { id: name.into(), object: "model", created, owned_by: "rdpm" }
}
