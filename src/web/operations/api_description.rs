//! The API described, for programs (`/openapi.json`) and for people (`/docs`). The page is made from the document once, at
//! startup, and loads nothing from other sites. A script (`static/docs.js`) runs the operations; the text needs none.

use std::borrow::Cow;

use askama::Template;
use pulldown_cmark::{Parser, html::push_html};
use serde_json::{Map, Value};

use crate::web::files::CachedFile;

/// The field with the beginning of a stream.
pub(super) const STREAM_EXAMPLE: &str = "x-stream-example";
/// Longer texts are cut in examples: pictures as base64.
const MAX_EXAMPLE_LENGTH: usize = 100;

/// The document and the page.
#[derive(Debug)]
pub(in crate::web) struct ApiDescription {
    json: CachedFile,
    html: CachedFile,
}

impl ApiDescription {
    pub fn new(document: &Value) -> Self {
        let json = serde_json::to_vec(document).unwrap_or_default();
        let html = Docs::new(document).render().unwrap_or_else(|error| {
            tracing::error!(%error, "the documentation page could not be rendered");
            String::new()
        });
        Self {
            json: CachedFile::new(json.into(), "application/json"),
            html: CachedFile::new(html.into(), "text/html"),
        }
    }

    /// The document for clients that reach the server below a path.
    pub fn json(&self, root: &str) -> Cow<'_, CachedFile> {
        below(&self.json, root, r#""url":"/""#, &format!(r#""url":"{root}""#))
    }

    /// The page for clients that reach the server below a path.
    pub fn html(&self, root: &str) -> Cow<'_, CachedFile> {
        // Of the attributes, only addresses begin with a slash.
        below(&self.html, root, r#"="/"#, &format!(r#"="{root}/"#))
    }
}

fn below<'a>(file: &'a CachedFile, root: &str, from: &str, to: &str) -> Cow<'a, CachedFile> {
    if root.is_empty() { Cow::Borrowed(file) } else { Cow::Owned(file.replacing(from, to)) }
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs {
    version: String,
    description: String,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

/// The operations with one tag.
struct Group {
    name: String,
    description: String,
    operations: Vec<Operation>,
}

struct Operation {
    id: String,
    method: String,
    path: String,
    summary: String,
    description: String,
    parameters: Vec<Field>,
    request: Option<Body>,
    responses: Vec<Answer>,
}

/// A parameter, or a field of a type.
struct Field {
    name: String,
    /// Where a parameter is: path, query or header.
    place: String,
    required: bool,
    kind: String,
    description: String,
}

struct Body {
    kind: String,
    example: String,
}

struct Answer {
    status: String,
    description: String,
    contents: Vec<(String, String)>,
    example: String,
}

struct Schema {
    name: String,
    description: String,
    kind: String,
    fields: Vec<Field>,
}

impl Docs {
    fn new(document: &Value) -> Self {
        let mut groups: Vec<Group> = entries(&document["tags"]).map(Group::new).collect();
        for (path, operations) in object(&document["paths"]) {
            // Creating comes before reading.
            let mut operations: Vec<_> = object(operations).collect();
            operations.sort_by_key(|(method, _)| {
                ["post", "get", "delete"].iter().position(|known| known == method)
            });
            for (method, operation) in operations {
                let tag = operation["tags"][0].as_str().unwrap_or_default();
                if let Some(group) = groups.iter_mut().find(|group| group.name == tag) {
                    group.operations.push(Operation::new(method, path, operation));
                }
            }
        }
        let schemas = object(&document["components"]["schemas"]);
        Self {
            version: text(&document["info"]["version"]),
            description: markdown(&document["info"]["description"]),
            groups,
            schemas: schemas.map(|(name, schema)| Schema::new(name, schema)).collect(),
        }
    }
}

impl Group {
    fn new(tag: &Value) -> Self {
        Self { name: text(&tag["name"]), description: markdown(&tag["description"]), operations: Vec::new() }
    }
}

impl Operation {
    fn new(method: &str, path: &str, operation: &Value) -> Self {
        let request = object(&operation["requestBody"]["content"]).next().map(|(_, content)| Body {
            kind: kind(&content["schema"]),
            example: example(&content["example"]),
        });
        Self {
            id: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(&operation["summary"]),
            description: markdown(&operation["description"]),
            parameters: entries(&operation["parameters"]).map(Field::parameter).collect(),
            request,
            responses: object(&operation["responses"])
                .map(|(status, answer)| Answer::new(status, answer))
                .collect(),
        }
    }
}

impl Answer {
    fn new(status: &str, answer: &Value) -> Self {
        let contents = object(&answer["content"]);
        let contents = contents.map(|(media, content)| (media.clone(), kind(&content["schema"])));
        let examples = object(&answer["content"])
            .flat_map(|(_, content)| [&content["example"], &content[STREAM_EXAMPLE]])
            .filter(|example| !example.is_null());
        Self {
            status: status.to_owned(),
            description: text(&answer["description"]),
            contents: contents.collect(),
            example: examples.map(example).next().unwrap_or_default(),
        }
    }
}

impl Field {
    fn parameter(parameter: &Value) -> Self {
        Self {
            name: text(&parameter["name"]),
            place: text(&parameter["in"]),
            required: parameter["required"].as_bool().unwrap_or(false),
            kind: kind(&parameter["schema"]),
            description: markdown(&parameter["description"]),
        }
    }

    fn property(name: &str, property: &Value, required: &Value) -> Self {
        Self {
            name: name.to_owned(),
            place: String::new(),
            required: entries(required).any(|other| other == name),
            kind: kind(property),
            description: markdown(&property["description"]),
        }
    }
}

impl Schema {
    fn new(name: &str, schema: &Value) -> Self {
        // What serde flattens, utoipa puts side by side.
        let parts: Vec<&Value> = match schema["allOf"].as_array() {
            Some(parts) => parts.iter().collect(),
            None => vec![schema],
        };
        let fields = parts.iter().flat_map(|part| {
            object(&part["properties"])
                .map(|(name, property)| Field::property(name, property, &part["required"]))
        });
        let fields: Vec<Field> = fields.collect();
        let others = parts.iter().filter(|part| part["properties"].is_null()).map(|part| kind(part));
        Self {
            name: name.to_owned(),
            description: markdown(&schema["description"]),
            kind: others.collect::<Vec<_>>().join(" and "),
            fields,
        }
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn entries(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Descriptions are the handlers' doc comments.
fn markdown(value: &Value) -> String {
    let mut html = String::new();
    push_html(&mut html, Parser::new(value.as_str().unwrap_or_default()));
    html
}

/// A type in words, as HTML: names of schemas are links.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return format!("<a href=\"#{name}\">{name}</a>");
    }
    if let Some(choices) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let names: Vec<&str> = match &schema["type"] {
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        name => name.as_str().into_iter().collect(),
    };
    let one = |name: &str| match name {
        "array" => format!("array of {}", kind(&schema["items"])),
        name => name.to_owned(),
    };
    let mut words = names.into_iter().map(one).collect::<Vec<_>>().join(" or ");
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| escape(&value.to_string())).collect();
        // The sizes of the pictures are many, and regular.
        words = match values.len() {
            0..=12 => values.join(", "),
            _ => format!("{}, {}, {} … {}", values[0], values[1], values[2], values[values.len() - 2]),
        };
    }
    for (bound, sign) in [("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤")] {
        if let Some(number) = schema[bound].as_number() {
            words.push_str(&format!(" {sign} {number}"));
        }
    }
    if !schema["default"].is_null() {
        words.push_str(&format!(", default {}", escape(&schema["default"].to_string())));
    }
    words
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// An example as text, with pictures cut short.
fn example(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(stream) => {
            let cut = |line: &str| match line.char_indices().nth(2 * MAX_EXAMPLE_LENGTH) {
                Some((at, _)) => format!("{}…", &line[..at]),
                None => line.to_owned(),
            };
            stream.lines().map(cut).collect::<Vec<_>>().join("\n")
        }
        value => serde_json::to_string_pretty(&shorten(value)).unwrap_or_default(),
    }
}

fn shorten(value: &Value) -> Value {
    match value {
        Value::String(text) if text.len() > MAX_EXAMPLE_LENGTH => format!("{}…", &text[..32]).into(),
        Value::Array(items) if items.len() > 16 => {
            let shown = items.iter().take(3).map(shorten);
            shown.chain(["…".into()]).collect()
        }
        Value::Array(items) => items.iter().map(shorten).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), shorten(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
