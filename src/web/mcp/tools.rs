//! The tools: their names, schemas and calls.

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::content::{png_content, structured, tool_error};
use super::draw::{self, DRAW_FIELDS};
use super::message::{Code, failure, json_answer, success};
use crate::engine::ModelHandle;
use crate::model::Config;
use crate::request::{
    FieldError, GENERATION_FIELDS, ObjectSchema, TOKENIZATION_FIELDS, TokenizationRequest, shorten,
};
use crate::web::access::{Budget, Client, Cost};
use crate::web::problem::Problem;
use crate::web::request::open_image;
use crate::web::state::AppState;

/// The tools, as `tools/list` answers them.
pub(super) fn list(app: &AppState) -> Vec<Value> {
    let models: Vec<&Config> = app.engine.models().iter().map(|model| &model.config).collect();
    let mut fields = ObjectSchema::default();
    for field in GENERATION_FIELDS.iter().filter(|field| DRAW_FIELDS.contains(&field.name)) {
        fields.add(field.name, field, &models);
    }
    let read_only = json!({"readOnlyHint": true, "openWorldHint": false});
    vec![
        json!({
            "name": "draw",
            "title": "Draw pictures",
            "description": "Draws pictures of a class or of words, and returns them as PNG images. Needs `class` or, with a model \
                that knows words, `prompt`.",
            "inputSchema": fields.finish("What to draw."),
            "annotations": read_only,
        }),
        json!({
            "name": "tokenize",
            "title": "Tokenize an image",
            "description": "Encodes an image into the model's grids of tokens, one for each step, and returns them with the image \
                that they decode to.",
            "inputSchema": ObjectSchema::of_table(TOKENIZATION_FIELDS, &models).finish("The image."),
            "annotations": read_only,
        }),
        json!({
            "name": "list_models",
            "title": "List models",
            "description": "The models with their classes, their number of words, their picture size and their defaults.",
            "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false},
            "annotations": read_only,
        }),
        json!({
            "name": "list_styles",
            "title": "List drawing styles",
            "description": "The drawing styles of each model that has some.",
            "inputSchema": {"type": "object", "properties": {}, "additionalProperties": false},
            "annotations": read_only,
        }),
    ]
}

/// The answer to `tools/call`.
pub(super) async fn call(
    app: AppState,
    client: Client,
    budget: Budget,
    id: Value,
    mut parameters: Value,
) -> Result<Response, Problem> {
    let token = parameters["_meta"]["progressToken"].take();
    let name = parameters["name"].as_str().unwrap_or_default().to_owned();
    let arguments = match parameters.get_mut("arguments").map(Value::take) {
        Some(Value::Object(arguments)) => arguments,
        None | Some(Value::Null) => Map::new(),
        Some(_) => {
            let answer = failure(id, Code::InvalidParameters, "arguments must be an object.");
            return Ok(json_answer(answer));
        }
    };
    let result = match name.as_str() {
        "draw" => return draw::call(app, client, budget, draw::Call { id, token, arguments }).await,
        "tokenize" => tokenize(&app, &budget, arguments).await,
        "list_models" => no_arguments(&arguments).map(|()| list_models(app.engine.models())),
        "list_styles" => no_arguments(&arguments).map(|()| list_styles(app.engine.models())),
        other => {
            let message = format!("There is no tool {}.", shorten(other));
            return Ok(json_answer(failure(id, Code::InvalidParameters, &message)));
        }
    };
    Ok(json_answer(success(id, result.unwrap_or_else(|problem| tool_error(&problem)))))
}

fn no_arguments(arguments: &Map<String, Value>) -> Result<(), Problem> {
    match arguments.keys().next() {
        Some(name) => {
            let error = FieldError::new(name, arguments[name].clone(), "no arguments");
            Err(Problem::invalid(error))
        }
        None => Ok(()),
    }
}

fn list_models(models: &[ModelHandle]) -> Value {
    let model = |model: &ModelHandle| {
        let config = &model.config;
        json!({
            "name": config.name,
            "title": config.title,
            "classes": config.classes,
            "words": config.vocabulary.words().len(),
            "styles": config.styles.len(),
            "size": config.image.size,
            "steps": config.steps(),
        })
    };
    structured(json!({"models": models.iter().map(model).collect::<Vec<_>>()}), Vec::new())
}

fn list_styles(models: &[ModelHandle]) -> Value {
    let with_styles = models.iter().filter(|model| !model.config.styles.is_empty());
    let styles = with_styles
        .map(|model| json!({"model": model.name(), "styles": model.config.styles}))
        .collect::<Vec<_>>();
    structured(json!({"models": styles}), Vec::new())
}

async fn tokenize(app: &AppState, budget: &Budget, arguments: Map<String, Value>) -> Result<Value, Problem> {
    let TokenizationRequest { model, file, seed } =
        TokenizationRequest::read(app.engine.models(), arguments)?;
    let (_, image) = open_image(&app.image_decoders, budget, Cost::images(1), file, "image", &model).await?;
    let tokenized = app.engine.tokenize(&model, image, seed).await?;
    let width = model.config.latent.grid;
    let grid = |tokens: &[u32]| tokens.chunks(width).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let tokens: Vec<_> = tokenized.steps.iter().map(|step| grid(&step.tokens)).collect();
    let decoded = tokenized.steps.last().map(|step| png_content(&step.preview.clean));
    let value = json!({"model": model.name(), "seed": seed, "grid": width, "tokens": tokens});
    Ok(structured(value, decoded.into_iter().collect()))
}
