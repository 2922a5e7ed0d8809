//! `/api/v1/models` and `/api/v1/classes`: the served models.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::pictures::parse_indexed;
use crate::engine::ModelInfo;
use crate::model::{Config, SamplingOptions};
use crate::request::{limits, model_names};
use crate::web::access::root_path;
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// The models that are served, the default first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Models {
    models: Vec<Model>,
}

/// A model, its defaults and its limits.
#[derive(Debug, Serialize, ToSchema)]
struct Model {
    name: String,
    title: String,
    /// Changes with everything that changes its pictures; part of the addresses of pictures.
    version: String,
    classes: Vec<String>,
    /// Drawing styles; none if the model is told classes only.
    styles: Vec<String>,
    /// Number of words that it knows.
    words: usize,
    /// Whether the model names what an image shows: `caption` in the answer to a tokenization.
    captions: bool,
    /// Timesteps T of a generation.
    steps: usize,
    /// The token grid's width and height.
    grid: usize,
    image: ImageSize,
    /// Number of learned weights.
    parameters: usize,
    codebook: Codebook,
    /// Of sampling.
    #[schema(value_type = Defaults)]
    defaults: Value,
    #[schema(value_type = Limits)]
    limits: Map<String, Value>,
    /// The devices that it runs on.
    device: String,
    /// Number format of the transformer. The same request gives the same picture in the same precision.
    #[schema(value_type = ModelPrecision)]
    precision: &'static str,
    /// Passes through the denoiser that a step with guidance takes, 1 or 2. In one pass, pictures differ from those in two.
    passes: u8,
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
    /// A colour `#rrggbb` for each code; similar codes have similar colours.
    colors: Vec<String>,
}

/// Number format of the transformer.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)]
enum ModelPrecision {
    F32,
    Bf16,
    F16,
}

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[allow(dead_code)]
struct Defaults {}

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[allow(dead_code)]
struct Limits {}

/// The classes of a model.
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
    responses((status = 200, description = "The models, the default first", body = Models)),
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
            version: info.version.clone(),
            classes: config.classes.clone(),
            styles: config.styles.clone(),
            words: config.vocabulary.words().len(),
            captions: config.captions,
            steps: config.steps(),
            grid: config.latent.grid,
            image: ImageSize { size: config.image.size, channels: config.image.channels },
            parameters: info.weight_count,
            codebook: Codebook { size: config.trajectory.codes, colors: info.palette.clone() },
            defaults: defaults(config),
            limits: limits(config),
            device: device.to_owned(),
            precision: info.computation.precision.name(),
            passes: info.computation.passes.number(),
        }
    }
}

/// The options of sampling that are on by default.
fn defaults(config: &Config) -> Value {
    let mut options = serde_json::to_value(SamplingOptions::defaults(config)).unwrap_or_default();
    if let Some(options) = options.as_object_mut() {
        options.retain(|_, value| !value.is_null());
    }
    options
}

/// List classes
#[utoipa::path(
    get, path = "/api/v1/classes", operation_id = "listClasses", tag = "Models",
    params(("model" = Option<String>, Query, description = "The model's name; the default model if omitted.")),
    responses((status = 200, description = "The classes", body = Classes)),
)]
pub(super) async fn classes(
    State(app): State<AppState>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Json<Classes>, Problem> {
    let models = app.engine.models();
    let info = query.take("model", &model_names(models), |name| app.engine.model(name));
    query.finish()?;
    let info = info.unwrap_or_else(|| app.engine.default_model());
    let root = root_path(&headers);
    let class = |(index, name): (usize, &String)| Class {
        index,
        name: name.clone(),
        picture: app.class_pictures.url(&info.config.name, index).map(|url| format!("{root}{url}")),
    };
    let classes = info.config.classes.iter().enumerate().map(class).collect();
    Ok(Json(Classes { model: info.config.name.clone(), classes }))
}

/// Get a class's sample picture
///
/// 404 where the model has none.
#[utoipa::path(
    get,
    path = "/api/v1/models/{model}/classes/{file}",
    operation_id = "getClassPicture",
    tag = "Models",
    params(
        ("model" = String, Path, description = "The model's name"),
        ("file" = String, Path, pattern = r"^[0-9]{1,4}\.png$", description = "The class's index and `.png`"),
    ),
    responses((status = 200, description = "The picture", body = Vec<u8>, content_type = "image/png"), (status = 304, description = "Unchanged")),
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
