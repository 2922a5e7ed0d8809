//! `GET /sdapi/v1/sd-models`, and the names by which clients ask for a model.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::ModelHandle;
use crate::queue::AnyEngine;
use crate::web::model_alias::ModelAliases;
use crate::web::state::AppState;

/// Characters of a version that are shown as a hash.
const HASH: usize = 10;
/// Endings of files, which some clients add to a name.
const FILE_ENDINGS: [&str; 2] = [".safetensors", ".ckpt"];

/// A model, as AUTOMATIC1111 describes a checkpoint.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111Model)]
pub(super) struct Model {
    /// Name and hash: what `sd_model_checkpoint` may be. The name is enough.
    title: String,
    model_name: String,
    /// The beginning of the model's version.
    hash: String,
    /// Null: the version is no hash of one file.
    sha256: Option<String>,
    filename: String,
    /// Null
    config: Option<String>,
}

/// List models
#[utoipa::path(
    get, path = "/sdapi/v1/sd-models", operation_id = "a1111ListModels", tag = "AUTOMATIC1111",
    responses((status = 200, description = "The models", body = Vec<Model>)),
)]
pub(super) async fn list(State(app): State<AppState>) -> Json<Vec<Model>> {
    let model = |model: &ModelHandle| Model {
        title: title(model),
        model_name: model.name().to_owned(),
        hash: hash(model).to_owned(),
        sha256: None,
        filename: format!("{}{}", model.name(), FILE_ENDINGS[0]),
        config: None,
    };
    Json(app.engine.models().iter().map(model).collect())
}

/// The beginning of a model's version.
pub(super) fn hash(model: &ModelHandle) -> &str {
    model.version.get(..HASH).unwrap_or(&model.version)
}

/// A model's name and hash.
pub(super) fn title(model: &ModelHandle) -> String {
    format!("{} [{}]", model.name(), hash(model))
}

/// The model of a title, a name, a file's name, a hash or an alias.
pub(super) fn find<'a>(engine: &'a AnyEngine, aliases: &ModelAliases, text: &str) -> Option<&'a ModelHandle> {
    let text = text.trim();
    let name = text.split_once(" [").map_or(text, |(name, _)| name);
    let name = FILE_ENDINGS.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let named = engine.model(name).or_else(|| engine.model(aliases.get(name)?));
    named.or_else(|| engine.models().iter().find(|model| hash(model) == name))
}
