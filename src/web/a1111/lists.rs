//! What AUTOMATIC1111's server offers to choose from. Most of it doesn't exist here, so these lists are short or empty; clients
//! ask for them when they start.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::infotext::SAMPLER;
use crate::web::state::AppState;

/// A way to sample.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111Sampler)]
pub(super) struct Sampler {
    name: &'static str,
    aliases: Vec<&'static str>,
    /// Empty.
    #[schema(value_type = Object)]
    options: Value,
}

/// List samplers
///
/// There is one.
#[utoipa::path(
    get, path = "/sdapi/v1/samplers", operation_id = "a1111ListSamplers", tag = "AUTOMATIC1111",
    responses((status = 200, description = "The samplers", body = Vec<Sampler>)),
)]
pub(super) async fn samplers() -> Json<[Sampler; 1]> {
    Json([Sampler { name: SAMPLER, aliases: vec!["rdpm"], options: json!({}) }])
}

/// `GET /sdapi/v1/schedulers`
pub(super) async fn schedulers() -> Json<Value> {
    let scheduler = json!({
        "name": "automatic", "label": "Automatic", "aliases": null, "default_rho": -1.0, "need_inner_model": false,
    });
    Json(json!([scheduler]))
}

/// `GET /sdapi/v1/upscalers`: pictures are scaled in one way.
pub(super) async fn upscalers() -> Json<Value> {
    Json(json!([{"name": "None", "model_name": null, "model_path": null, "model_url": null, "scale": 1.0}]))
}

/// `GET /sdapi/v1/prompt-styles`: the drawing styles of all models.
pub(super) async fn styles(State(app): State<AppState>) -> Json<Value> {
    let mut names: Vec<&String> = Vec::new();
    for style in app.engine.models().iter().flat_map(|model| &model.config.styles) {
        if !names.contains(&style) {
            names.push(style);
        }
    }
    Json(names.iter().map(|name| json!({"name": name, "prompt": "", "negative_prompt": ""})).collect())
}

/// `GET /sdapi/v1/embeddings`
pub(super) async fn embeddings() -> Json<Value> {
    Json(json!({"loaded": {}, "skipped": {}}))
}

/// `GET /sdapi/v1/scripts`
pub(super) async fn scripts() -> Json<Value> {
    Json(json!({"txt2img": [], "img2img": []}))
}

/// `GET /sdapi/v1/memory`: what the server has is nobody's business.
pub(super) async fn memory() -> Json<Value> {
    Json(json!({"ram": {"error": "unavailable"}, "cuda": {"error": "unavailable"}}))
}

/// `GET /sdapi/v1/cmd-flags`
pub(super) async fn flags() -> Json<Value> {
    Json(json!({}))
}

/// `GET /sdapi/v1/loras` and others of which there are none.
pub(super) async fn nothing() -> Json<[Value; 0]> {
    Json([])
}

/// `POST /sdapi/v1/refresh-checkpoints` and the like: models are read when the server starts.
pub(super) async fn refresh() -> Json<Value> {
    Json(Value::Null)
}
