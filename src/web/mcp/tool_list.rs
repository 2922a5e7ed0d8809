//! The tools with the schemas of their arguments, which follow from the tables of fields.

use rmcp::model::{Tool, ToolAnnotations};
use serde_json::{Map, Value};

use super::draw::{DRAW_FIELDS, EDIT_FIELDS};
use crate::engine::ModelHandle;
use crate::model::Config;
use crate::request::{GENERATION_FIELDS, ObjectSchema, TOKENIZATION_FIELDS};

/// What images may be, beside files.
const OR_ADDRESS: &str = " Or the address of a picture that a tool has returned (`rdpm://…`).";

/// The tools for these models.
pub(super) fn tools(models: &[ModelHandle]) -> Vec<Tool> {
    let models: Vec<&Config> = models.iter().map(|model| &model.config).collect();
    let image_fields = || ObjectSchema::of_table(TOKENIZATION_FIELDS, &models).finish("The image.");
    vec![
        tool(
            "draw",
            "Draw pictures",
            "Draws pictures of a class or of words, and returns them as PNG images. Needs `class` or, with a model that knows \
             words, `prompt`.",
            of_generation(&DRAW_FIELDS, &models).finish("What to draw."),
        ),
        tool(
            "edit",
            "Edit a picture",
            "Draws a part of an image again (`mask` or `cells`), as a class or words, and keeps the rest; or, with `from_step` \
             alone, draws a variation of all of it. Returns PNG images.",
            of_generation(&[&EDIT_FIELDS[..], &DRAW_FIELDS].concat(), &models)
                .require("image")
                .finish("The image, what to draw again, and what it should show."),
        ),
        tool(
            "caption",
            "Name what an image shows",
            "Returns the most probable names and words for what an image shows, with their probabilities, among those that the \
             model can draw. Each name is a prompt.",
            image_fields(),
        ),
        tool(
            "tokenize",
            "Tokenize an image",
            "Encodes an image into the model's grids of tokens, one for each step, and returns them with the image that they \
             decode to and, if the model can name images, its caption.",
            image_fields(),
        ),
        tool(
            "list_models",
            "List models",
            "The models with their classes, their number of words, their picture size, their grid of tokens, and whether they \
             can name images.",
            ObjectSchema::default().finish("Nothing."),
        ),
        tool(
            "list_styles",
            "List drawing styles",
            "The drawing styles of each model that has some.",
            ObjectSchema::default().finish("Nothing."),
        ),
    ]
}

fn of_generation(names: &[&str], models: &[&Config]) -> ObjectSchema {
    let mut schema = ObjectSchema::default();
    for field in GENERATION_FIELDS.iter().filter(|field| names.contains(&field.name)) {
        schema.add(field.name, field, models);
    }
    schema
}

fn tool(name: &'static str, title: &str, about: &'static str, schema: Value) -> Tool {
    let mut schema: Map<String, Value> = match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    };
    for image in ["image", "mask"] {
        let field = schema.get_mut("properties").and_then(|fields| fields.get_mut(image));
        if let Some(Value::String(about)) = field.and_then(|field| field.get_mut("description")) {
            about.push_str(OR_ADDRESS);
        }
    }
    let annotations = ToolAnnotations::new().read_only(true).open_world(false);
    Tool::new(name, about, schema).with_title(title).with_annotations(annotations)
}
