//! `/api/v1/models` and `/api/v1/classes`: what is served.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::pictures::parse_indexed;
use crate::engine::{MAX_COUNT, ModelInfo, SEED_MAX};
use crate::model::SamplingSettings;
use crate::picture::MAX_SCALE;
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::request::model_names;
use crate::web::state::AppState;

/// What requests may ask for; the same names in the API and in the page's template.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Limits {
    pub max_count: u32,
    pub guidance_min: f64,
    pub guidance_max: f64,
    pub temperature_min: f64,
    pub temperature_max: f64,
    pub seed_max: u64,
    pub top_k_max: usize,
    pub from_step_max: usize,
    pub scale_max: u32,
}

impl Limits {
    pub fn of(info: &ModelInfo) -> Self {
        Self {
            max_count: MAX_COUNT,
            guidance_min: *SamplingSettings::GUIDANCE.start(),
            guidance_max: *SamplingSettings::GUIDANCE.end(),
            temperature_min: *SamplingSettings::TEMPERATURE.start(),
            temperature_max: *SamplingSettings::TEMPERATURE.end(),
            seed_max: SEED_MAX,
            top_k_max: info.config.trajectory.codes,
            from_step_max: info.config.steps() - 1,
            scale_max: MAX_SCALE,
        }
    }
}

/// The models that are served, the default first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Models {
    models: Vec<Model>,
}

/// What a model is, and what may be asked of it.
#[derive(Debug, Serialize, ToSchema)]
struct Model {
    name: String,
    title: String,
    classes: Vec<String>,
    /// Timesteps T of a generation.
    steps: usize,
    /// The token grid's width and height.
    grid: usize,
    image: ImageSize,
    /// Learned numbers.
    parameters: usize,
    codebook: Codebook,
    defaults: Defaults,
    limits: Limits,
    /// What it runs on.
    device: String,
}

/// Pictures are squares.
#[derive(Debug, Serialize, ToSchema)]
struct ImageSize {
    /// Width and height in pixels.
    size: usize,
    /// 1: grey, 3: RGB.
    channels: usize,
}

#[derive(Debug, Serialize, ToSchema)]
struct Codebook {
    /// Number of codes.
    size: usize,
    /// A colour `#rrggbb` for each code: near codes, near colours.
    colors: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Defaults {
    guidance: f64,
    temperature: f64,
}

/// The classes that a model can draw.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Classes {
    /// The model's name.
    model: String,
    classes: Vec<Class>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Class {
    index: usize,
    name: String,
    /// Relative URL of a sample picture, where there is one.
    picture: Option<String>,
}

/// List models
#[utoipa::path(
    get, path = "/api/v1/models", operation_id = "listModels", tag = "Models",
    responses((status = 200, body = Models)),
)]
pub(super) async fn models(State(app): State<AppState>) -> Json<Models> {
    let device = app.engine.devices().join(",");
    Json(Models { models: app.engine.models().iter().map(|info| Model::new(info, &device)).collect() })
}

impl Model {
    fn new(info: &ModelInfo, device: &str) -> Self {
        let config = &info.config;
        Self {
            name: config.name.clone(),
            title: config.title.clone(),
            classes: config.classes.clone(),
            steps: config.steps(),
            grid: config.latent.grid,
            image: ImageSize { size: config.image.size, channels: config.image.channels },
            parameters: info.weight_count,
            codebook: Codebook { size: config.trajectory.codes, colors: info.palette.clone() },
            defaults: Defaults {
                guidance: config.sampling.guidance,
                temperature: config.sampling.temperature,
            },
            limits: Limits::of(info),
            device: device.to_owned(),
        }
    }
}

/// List classes
#[utoipa::path(
    get, path = "/api/v1/classes", operation_id = "listClasses", tag = "Models",
    params(("model" = Option<String>, Query, description = "The model's name; the default's classes unless told.")),
    responses((status = 200, body = Classes)),
)]
pub(super) async fn classes(State(app): State<AppState>, mut query: Query) -> Result<Json<Classes>, Problem> {
    let models = app.engine.models();
    let info = query.take("model", &model_names(models), |name| app.engine.model(name));
    query.finish()?;
    let info = info.unwrap_or_else(|| app.engine.default_model());
    let class = |(index, name): (usize, &String)| Class {
        index,
        name: name.clone(),
        picture: app.class_pictures.url(&info.config.name, index),
    };
    let classes = info.config.classes.iter().enumerate().map(class).collect();
    Ok(Json(Classes { model: info.config.name.clone(), classes }))
}

/// Get a class's sample picture
///
/// 404 where the model comes with none.
#[utoipa::path(
    get,
    path = "/api/v1/models/{model}/classes/{file}",
    operation_id = "getClassPicture",
    tag = "Models",
    params(
        ("model" = String, Path, description = "The model's name"),
        ("file" = String, Path, pattern = r"^[0-9]{1,4}\.png$", description = "The class's index and `.png`"),
    ),
    responses((status = 200, body = Vec<u8>, content_type = "image/png"), (status = 304, description = "Unchanged")),
)]
pub(super) async fn class_picture(
    State(app): State<AppState>,
    Path((model, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let picture = parse_indexed(&file, |ending| (ending == "png").then_some(()))
        .and_then(|(index, ())| app.class_pictures.get(&model, index as usize));
    match picture {
        Some(picture) => Ok(picture.response(&headers)),
        None => Err(Problem::not_found(format!("Model {model} has no class picture {file}."))),
    }
}
