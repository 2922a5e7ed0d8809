//! `/api/v1/models` and `/api/v1/classes`: what is served.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use super::generations::png_index;
use super::problem::Problem;
use crate::engine::{MAX_COUNT, ModelInfo, SEED_MAX};
use crate::model::Settings;

/// What requests may ask for; the same names in the API and in the page's template.
#[derive(Debug, Serialize)]
pub(super) struct Limits {
    pub max_count: u32,
    pub guidance_min: f64,
    pub guidance_max: f64,
    pub temperature_min: f64,
    pub temperature_max: f64,
    pub seed_max: u64,
    pub top_k_max: usize,
}

impl Limits {
    pub fn of(info: &ModelInfo) -> Self {
        Self {
            max_count: MAX_COUNT,
            guidance_min: *Settings::GUIDANCE.start(),
            guidance_max: *Settings::GUIDANCE.end(),
            temperature_min: *Settings::TEMPERATURE.start(),
            temperature_max: *Settings::TEMPERATURE.end(),
            seed_max: SEED_MAX,
            top_k_max: info.config.trajectory.codes,
        }
    }
}

/// `{"models": [{"name", "title", "classes": [name], "steps", "grid", "image": {"size", "channels"}, "parameters",
/// "codebook": {"size", "colors": ["#rrggbb"]}, "defaults": {"guidance", "temperature"}, "limits", "device"}]}`
pub(super) async fn models(State(app): State<App>) -> Json<Value> {
    let info = app.engine.info();
    let config = &info.config;
    Json(json!({"models": [{
        "name": config.name,
        "title": config.title,
        "classes": config.classes,
        "steps": config.steps(),
        "grid": config.latent.grid,
        "image": {"size": config.image.size, "channels": config.image.channels},
        "parameters": info.parameters,
        "codebook": {"size": config.trajectory.codes, "colors": info.palette},
        "defaults": {"guidance": config.sampling.guidance, "temperature": config.sampling.temperature},
        "limits": Limits::of(info),
        "device": info.device,
    }]}))
}

/// `{"classes": [{"index", "name", "picture"}]}`; `picture` is a relative URL or `null`.
pub(super) async fn classes(State(app): State<App>) -> Json<Value> {
    let names = app.engine.info().config.classes.iter().enumerate();
    let classes: Vec<Value> = names
        .map(|(index, name)| json!({"index": index, "name": name, "picture": picture_url(&app, index)}))
        .collect();
    Json(json!({"classes": classes}))
}

/// `GET /api/v1/models/{model}/classes/{index}.png`: a sample picture of a class, where the weights come with one.
pub(super) async fn picture(
    State(app): State<App>,
    Path((model, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let picture = png_index(&file)
        .filter(|_| model == app.engine.info().config.name)
        .and_then(|index| app.pictures.get(index as usize));
    match picture {
        Some(picture) => Ok(picture.response(&headers)),
        None => Err(Problem::not_found(format!("Model {model} has no class picture {file}."))),
    }
}

/// Relative URL of a class's picture, if it has one.
pub(super) fn picture_url(app: &App, index: usize) -> Option<String> {
    app.pictures.get(index)?;
    Some(format!("/api/v1/models/{}/classes/{index}.png", app.engine.info().config.name))
}
