//! The OpenAPI 3.1 document: what utoipa makes of the handlers and their types, with what only the running server knows
//! (its classes and limits), the errors that every operation may answer, and examples from a real run.
//!
//! `docs/openapi.json` is the document for the shipped models; a test holds it, and the examples, to what the server does.

use std::collections::{BTreeSet, HashSet};

use rust_embed::RustEmbed;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::model::Config;
use crate::picture::MAX_SCALE;
use crate::web::files::Channel;
use crate::web::openai::{CompletedEvent, PartialImageEvent};
use crate::web::problem::{OpenAiError, Problem, is_openai_path};
use crate::web::rest::{QueuedEvent, StartedEvent, StepEvent};

/// What a real server answered: `OPERATION.request.json` and `OPERATION.STATUS.json` (or `.txt`).
#[derive(RustEmbed)]
#[folder = "docs/examples/"]
struct Examples;

/// What isn't said by any one operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "RDPM",
        description = "Images of a Recurrent Diffusion Probabilistic Model ([arXiv 2412.18390](https://arxiv.org/abs/2412.18390)): \
            a grid of discrete tokens denoises into a picture, step by step.\n\n\
            What can't be used is named, all of it at once, with what is allowed. Errors are problem details (RFC 9457), below \
            `/v1/` they have OpenAI's shape. Where the server has API keys, send one as `Authorization: Bearer KEY`. `429` and \
            `503` say in `Retry-After` when to ask again.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Generations", description = "Ask for images, follow them step by step, cancel."),
        (name = "Pictures", description = "Images, sheets and animations as files."),
        (name = "Tokenizations", description = "The forward side: an image becomes tokens."),
        (name = "Models", description = "What is served."),
        (name = "OpenAI", description = "The images API of OpenAI: their clients work unchanged."),
        (name = "Operations", description = "For supervisors and load balancers."),
    ),
    components(schemas(
        Problem, OpenAiError, QueuedEvent, StartedEvent, StepEvent<'static>, PartialImageEvent, CompletedEvent, Channel
    )),
)]
struct Frame;

/// The document of a server with these models, from that of its routes.
pub(in crate::web) fn openapi_document(routes: utoipa::openapi::OpenApi, models: &[&Config]) -> Value {
    let mut whole = Frame::openapi();
    whole.merge(routes);
    let mut document = serde_json::to_value(whole).unwrap_or_default();
    for name in ["GenerationRequest", "TokenizationRequest", "TokenizationForm", "OpenAiImageRequest"] {
        request(&mut document["components"]["schemas"][name], models);
    }
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
                parameters(operation, models);
                errors(operation, is_openai_path(path));
                files(operation);
                examples(operation);
            }
        }
    }
    document
}

/// What may be asked of these models, of all together: what one of them refuses, another may take.
fn request(schema: &mut Value, models: &[&Config]) {
    schema["additionalProperties"] = false.into();
    let Some(fields) = schema["properties"].as_object_mut() else { return };
    let most = |of: fn(&Config) -> usize| models.iter().map(|config| of(config)).max().unwrap_or(0);
    let names = || models.iter().map(|config| Value::from(config.name.as_str()));
    for (name, field) in fields {
        match name.as_str() {
            "class" => {
                let mut classes: Vec<&String> = models.iter().flat_map(|config| &config.classes).collect();
                let mut seen = HashSet::new();
                classes.retain(|class| seen.insert(*class));
                let last = most(|config| config.classes.len()).saturating_sub(1);
                let index = json!({"type": "integer", "minimum": 0, "maximum": last});
                field["oneOf"] = json!([{"type": "string", "enum": classes}, index]);
                field.as_object_mut().map(|field| field.remove("type"));
            }
            // A form has texts only, no null.
            "model" if field["type"] == "string" => field["enum"] = names().collect(),
            "model" => field["enum"] = names().chain([Value::Null]).collect(),
            "from_step" => field["maximum"] = most(Config::steps).saturating_sub(1).into(),
            "top_k" => field["maximum"] = most(|config| config.trajectory.codes).into(),
            "style" => field["enum"] = json!([null]),
            "size" => field["enum"] = sizes(models),
            "guidance" => default(field, models, |config| config.sampling.guidance),
            "temperature" => default(field, models, |config| config.sampling.temperature),
            _ => {}
        }
    }
}

/// The sizes of OpenAI's API: each model's own and its multiples.
fn sizes(models: &[&Config]) -> Value {
    let of_model = |config: &&Config| {
        let own = config.image.size as u32;
        (1..=MAX_SCALE).map(move |scale| own * scale)
    };
    let sides: BTreeSet<u32> = models.iter().flat_map(of_model).collect();
    let sizes = sides.into_iter().map(|side| format!("{side}x{side}").into());
    [Value::from("auto")].into_iter().chain(sizes).chain([Value::Null]).collect()
}

/// What a silent field means, where it means the same for all models.
fn default(field: &mut Value, models: &[&Config], of: impl Fn(&Config) -> f64) {
    if let Some((first, others)) = models.split_first()
        && others.iter().all(|other| of(other) == of(first))
    {
        field["default"] = of(first).into();
    }
}

/// A parameter that may be silent can't be null. Its size is what its bounds say.
fn parameters(operation: &mut Value, models: &[&Config]) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let schema = &mut parameter["schema"];
        let is_value = |kind: &&Value| **kind != "null" && kind["type"] != "null";
        let first = |kinds: &Value| kinds.as_array().and_then(|kinds| kinds.iter().find(is_value)).cloned();
        if let Some(kind) = first(&schema["type"]) {
            schema["type"] = kind;
        }
        if let Some(choice) = first(&schema["oneOf"]) {
            *schema = choice;
        }
        schema.as_object_mut().map(|schema| schema.remove("format"));
        if parameter["name"] == "model" && parameter["in"] == "query" {
            parameter["schema"]["enum"] = models.iter().map(|config| config.name.as_str()).collect();
        }
    }
}

/// Every operation may fail.
fn errors(operation: &mut Value, is_openai: bool) {
    let (kind, schema) =
        if is_openai { ("application/json", "OpenAiError") } else { ("application/problem+json", "Problem") };
    let content = json!({kind: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    for (status, description) in
        [("4XX", "The request can't be answered"), ("5XX", "The server can't answer")]
    {
        operation["responses"][status] = json!({"description": description, "content": content});
    }
}

/// Picture files are bytes, streams are events.
fn files(operation: &mut Value) {
    let event = json!({
        "type": "object",
        "description": "Each event of the stream",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
        "required": ["event", "data"],
    });
    for (kind, content) in
        fields(operation, "responses").flat_map(|(_, response)| fields(response, "content"))
    {
        if kind.starts_with("image/") {
            content["schema"] = json!({"type": "string", "format": "binary"});
        } else if kind == "text/event-stream" {
            content["schema"] = event.clone();
        }
    }
}

/// Adds the examples that there are.
fn examples(operation: &mut Value) {
    let Some(id) = operation["operationId"].as_str().map(str::to_owned) else { return };
    if let Some(body) = operation.get_mut("requestBody")
        && let Some(example) = example(&format!("{id}.request"))
    {
        for (_, content) in fields(body, "content").filter(|(kind, _)| kind.ends_with("json")) {
            content["example"] = example.clone();
        }
    }
    for (status, response) in fields(operation, "responses") {
        let Some(example) = example(&format!("{id}.{status}")) else { continue };
        let is_text = example.is_string();
        let fits = |kind: &str| if is_text { kind.starts_with("text/") } else { kind.ends_with("json") };
        for (_, content) in fields(response, "content").filter(|(kind, _)| fits(kind)) {
            content["example"] = example.clone();
        }
    }
}

/// The fields of an object in a field, if there is one.
fn fields<'a>(of: &'a mut Value, field: &str) -> impl Iterator<Item = (&'a String, &'a mut Value)> {
    of.get_mut(field).and_then(Value::as_object_mut).into_iter().flatten()
}

fn example(name: &str) -> Option<Value> {
    if let Some(file) = Examples::get(&format!("{name}.json")) {
        return serde_json::from_slice(&file.data).ok();
    }
    let file = Examples::get(&format!("{name}.txt"))?;
    Some(String::from_utf8_lossy(&file.data).into_owned().into())
}
