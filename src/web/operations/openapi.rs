//! The OpenAPI 3.1 document: utoipa makes it from the handlers and their types; schemas of requests follow from the tables of
//! fields and the served models; errors of every operation and examples of a real run are added.
//!
//! `docs/openapi.json` is the document for the shipped models. A test compares it, and the examples, with the server.

use rust_embed::RustEmbed;
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use super::api_description::STREAM_EXAMPLE;
use crate::model::Config;
use crate::request::{
    GENERATION_FIELDS, INTERPOLATION_FIELDS, ObjectSchema, SCALE, TOKENIZATION_FIELDS, choice_schemas,
    defaults_schema, drawn_fields, interpolation_end_schema, limits_schema, option_schemas, sampling_fields,
};
use crate::web::a1111::a1111_request_schemas;
use crate::web::files::Channel;
use crate::web::openai::{CompletedEvent, PartialImageEvent, image_request_schemas};
use crate::web::problem::{A1111Error, OpenAiError, Problem, is_a1111_path, is_openai_path};
use crate::web::rest::{QueuedEvent, RedrawnEvent, StartedEvent, StepEvent};

/// Answers of a real server: `OPERATION.request.json` and `OPERATION.STATUS.json` (or `.txt`).
#[derive(RustEmbed)]
#[folder = "docs/examples/"]
struct Examples;

/// The parts that belong to no single operation.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "RDPM",
        description = "Images of a Recurrent Diffusion Probabilistic Model ([arXiv 2412.18390](https://arxiv.org/abs/2412.18390)): \
            a grid of discrete tokens denoises into a picture, step by step.\n\n\
            An error names all invalid fields and their allowed values. Errors are problem details (RFC 9457); below \
            `/v1/` they have OpenAI's shape, and below `/sdapi/` AUTOMATIC1111's. If the server has API keys, send one as `Authorization: Bearer KEY`. The \
            `Retry-After` header of `429` and `503` says when to retry.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
        contact(),
    ),
    servers((url = "/", description = "This server")),
    tags(
        (name = "Generations", description = "Generate images, follow their steps, cancel."),
        (name = "Pictures", description = "Images, sheets and animations as files."),
        (name = "Gallery", description = "The pictures that the server keeps, if it has a store."),
        (name = "Tokenizations", description = "Recurrent tokenization: an image becomes tokens."),
        (name = "Models", description = "The served models and their classes."),
        (name = "OpenAI", description = "OpenAI's images API: its clients work unchanged."),
        (name = "AUTOMATIC1111", description = "The API of AUTOMATIC1111's web interface: its clients work unchanged."),
        (name = "Operations", description = "Liveness and readiness."),
    ),
    components(schemas(
        Problem, OpenAiError, A1111Error, QueuedEvent, StartedEvent, StepEvent<'static>, RedrawnEvent, PartialImageEvent, CompletedEvent, Channel
    )),
)]
struct Document;

/// The document of a server with these models, from that of its routes.
pub(in crate::web) fn openapi_document(routes: utoipa::openapi::OpenApi, models: &[&Config]) -> Value {
    let mut merged = Document::openapi();
    merged.merge(routes);
    let mut document = serde_json::to_value(merged).unwrap_or_default();
    schemas_from_tables(&mut document["components"]["schemas"], models);
    security(&mut document);
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, operations) in paths {
            for operation in operations.as_object_mut().into_iter().flat_map(Map::values_mut) {
                picture_parameters(operation, models);
                parameters(operation, models);
                errors(operation, path);
                files(operation);
                examples(operation);
            }
        }
    }
    document
}

/// The ways to send a key. A server without keys needs none.
fn security(document: &mut Value) {
    let about = "A key of the server, if it has keys.";
    document["components"]["securitySchemes"] = json!({
        "bearer": {"type": "http", "scheme": "bearer", "description": about},
        "basic": {"type": "http", "scheme": "basic", "description": "A key as the password, with any name. For browsers."},
        "apiKey": {"type": "apiKey", "in": "header", "name": "api-key", "description": "A key, as Azure's clients send it."},
    });
    document["security"] = json!([{}, {"bearer": []}, {"basic": []}, {"apiKey": []}]);
}

/// Sets the schemas that are made from the tables of fields.
fn schemas_from_tables(schemas: &mut Value, models: &[&Config]) {
    let about = "Images to generate. `null` means the same as an absent field.";
    schemas["GenerationRequest"] = ObjectSchema::of_table(GENERATION_FIELDS, models).finish(about);
    let about = "Images between two others. `null` means the same as an absent field.";
    let mut fields = ObjectSchema::of_table(INTERPOLATION_FIELDS, models);
    for field in drawn_fields() {
        fields.add(field.name, field, models);
    }
    schemas["InterpolationRequest"] = fields.finish(about);
    schemas["InterpolationEnd"] = interpolation_end_schema();
    let about = "An image to tokenize. `null` means the same as an absent field.";
    schemas["TokenizationRequest"] = ObjectSchema::of_table(TOKENIZATION_FIELDS, models).finish(about);
    schemas["TokenizationForm"]["additionalProperties"] = false.into();
    schemas["TokenizationForm"]["properties"]["model"]["enum"] = model_names(models);
    schemas["Limits"] = limits_schema();
    schemas["Defaults"] = defaults_schema(models);
    for (name, schema, is_required) in option_schemas(models) {
        let generation = &mut schemas["Generation"];
        generation["properties"][name] = schema;
        if is_required && let Some(required) = generation["required"].as_array_mut() {
            required.push(name.into());
        }
    }
    let choices = choice_schemas(GENERATION_FIELDS).chain(choice_schemas(INTERPOLATION_FIELDS));
    let dialects = image_request_schemas(models).into_iter().chain(a1111_request_schemas(models));
    for (name, schema) in choices.chain(dialects) {
        schemas[name] = schema;
    }
}

fn model_names(models: &[&Config]) -> Value {
    models.iter().map(|config| config.name.as_str()).collect()
}

/// The address of a picture has the fields of sampling as parameters.
fn picture_parameters(operation: &mut Value, models: &[&Config]) {
    if operation["operationId"] != "getPicture" {
        return;
    }
    let mut fields = ObjectSchema::default();
    for field in sampling_fields().chain([&SCALE]) {
        fields.add(field.name, field, models);
    }
    if let Some(parameters) = operation["parameters"].as_array_mut() {
        parameters.extend(fields.into_parameters());
    }
}

/// Parameters: an optional one can't be null, unlike what utoipa writes; its range is enough, without a format.
fn parameters(operation: &mut Value, models: &[&Config]) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let schema = &mut parameter["schema"];
        let is_value = |kind: &&Value| **kind != "null" && kind["type"] != "null";
        let first = |kinds: &Value| kinds.as_array().and_then(|kinds| kinds.iter().find(is_value)).cloned();
        if let Some(kind) = first(&schema["type"]) {
            schema["type"] = kind;
        }
        if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
            values.retain(|value| !value.is_null());
        }
        if let Some(choice) = first(&schema["oneOf"]) {
            *schema = choice;
        }
        schema.as_object_mut().map(|schema| schema.remove("format"));
        if parameter["name"] == "model" && parameter["in"] == "query" {
            parameter["schema"]["enum"] = model_names(models);
        }
    }
}

/// Every operation may fail.
fn errors(operation: &mut Value, path: &str) {
    let (kind, schema) = match path {
        _ if is_openai_path(path) => ("application/json", "OpenAiError"),
        _ if is_a1111_path(path) => ("application/json", "A1111Error"),
        _ => ("application/problem+json", "Problem"),
    };
    let content = json!({kind: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}});
    for (status, description) in
        [("4XX", "The request can't be answered"), ("5XX", "The server can't answer")]
    {
        operation["responses"][status] = json!({"description": description, "content": content});
    }
}

/// The names of the events of an operation's stream, each with the schema of its data.
fn events(operation: &str) -> &'static [(&'static str, &'static str)] {
    match operation {
        "followGeneration" => &[
            ("queued", "QueuedEvent"),
            ("started", "StartedEvent"),
            ("step", "StepEvent"),
            ("redrawn", "RedrawnEvent"),
            ("completed", "Generation"),
            ("failed", "Generation"),
            ("canceled", "Generation"),
        ],
        "openaiEditImage" => &[
            ("image_edit.partial_image", "PartialImageEvent"),
            ("image_edit.completed", "CompletedEvent"),
            ("error", "OpenAiError"),
        ],
        "openaiGenerateImages" => &[
            ("image_generation.partial_image", "PartialImageEvent"),
            ("image_generation.completed", "CompletedEvent"),
            ("error", "OpenAiError"),
        ],
        _ => &[],
    }
}

/// Picture files are bytes; streams are events, each of which is one of these objects.
fn files(operation: &mut Value) {
    let event = |(name, data): &(&str, &str)| {
        json!({
            "type": "object",
            "title": name,
            "properties": {
                "id": {"type": "string"},
                "event": {"type": "string", "const": name},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": format!("#/components/schemas/{data}")},
                },
            },
            "required": ["event", "data"],
        })
    };
    let events: Vec<Value> =
        events(operation["operationId"].as_str().unwrap_or_default()).iter().map(event).collect();
    let event = json!({"description": "Each event of the stream", "oneOf": events});
    if let Some(body) = operation.get_mut("requestBody") {
        for (_, content) in fields(body, "content").filter(|(kind, _)| *kind == "application/octet-stream") {
            content["schema"] = json!({"type": "string", "format": "binary"});
        }
    }
    for (kind, content) in
        fields(operation, "responses").flat_map(|(_, response)| fields(response, "content"))
    {
        if kind.starts_with("image/")
            || ["application/octet-stream", "application/zip"].contains(&kind.as_str())
        {
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
        // The text of a stream is no example of one event.
        let name = if is_text { STREAM_EXAMPLE } else { "example" };
        for (_, content) in fields(response, "content").filter(|(kind, _)| fits(kind)) {
            content[name] = example.clone();
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
