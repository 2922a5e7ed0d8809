//! What follows from the tables for readers of the API: OpenAPI schemas, limits.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::field::{Field, Kind, Limit, LimitName, Required};
use super::generation::GenerationDraft;
use super::generation_fields::{GENERATION_FIELDS, sampling_fields};
use crate::engine::SEED_MAX;
use crate::model::Config;

/// The schema of a JSON object, made from fields of tables.
#[derive(Default)]
pub struct ObjectSchema {
    properties: Map<String, Value>,
    required: Vec<&'static str>,
}

impl ObjectSchema {
    /// With all fields of a table, for a server with these models: what one of them refuses, another may take.
    pub fn of_table<D: 'static>(fields: &'static [Field<D>], models: &[&Config]) -> Self {
        let mut schema = Self::default();
        for field in fields {
            schema.add(field.name, field, models);
        }
        schema
    }

    pub fn add<D>(&mut self, name: &'static str, field: &Field<D>, models: &[&Config]) {
        self.properties.insert(name.into(), field_schema(field, models));
        if field.required == Required::Yes {
            self.required.push(name);
        }
    }

    /// The same, with a field that may not be absent.
    pub fn require(mut self, name: &'static str) -> Self {
        self.required.push(name);
        self
    }

    /// The fields as parameters of a query, each of which may be absent.
    pub fn into_parameters(self) -> impl Iterator<Item = Value> {
        self.properties.into_iter().map(|(name, mut schema)| {
            let about = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({"name": name, "in": "query", "required": false, "description": about, "schema": schema})
        })
    }

    /// The schema, with a description.
    pub fn finish(self, about: &str) -> Value {
        json!({
            "type": "object",
            "description": about,
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}

fn field_schema<D>(field: &Field<D>, models: &[&Config]) -> Value {
    let nullable = |name: &str| match field.required {
        Required::Yes => json!(name),
        _ => json!([name, "null"]),
    };
    let mut schema = match &field.kind {
        Kind::Number { range, .. } => {
            let ranges = models.iter().map(|config| range.of(config));
            let (min, max) = ranges
                .clone()
                .fold((f64::MAX, f64::MIN), |(min, max), range| (min.min(range.min), max.max(range.max)));
            let above_min = ranges.clone().any(|range| range.above_min);
            let min_name = if above_min { "exclusiveMinimum" } else { "minimum" };
            json!({"type": nullable("number"), "format": "double", min_name: number(min), "maximum": number(max)})
        }
        Kind::Integer { range, .. } => {
            let ranges = models.iter().map(|config| range.of(config));
            let min = ranges.clone().map(|range| range.min).min().unwrap_or(0);
            let max = ranges.map(|range| range.max).max().unwrap_or(0);
            json!({"type": nullable("integer"), "format": integer_format(max), "minimum": min, "maximum": max})
        }
        Kind::Seed { .. } => json!({
            "type": ["integer", "string", "null"], "format": "int64", "minimum": -1, "maximum": SEED_MAX,
            "pattern": "^(|-1|[0-9]{1,15})$",
        }),
        Kind::Boolean { .. } => json!({"type": nullable("boolean")}),
        Kind::Choice { schema, .. } => {
            let mut reference = json!({"$ref": format!("#/components/schemas/{schema}")});
            if !field.about.is_empty() {
                reference["description"] = field.about.into();
            }
            let mut schema = json!({"oneOf": [reference, {"type": "null"}]});
            add_default(&mut schema, field, models);
            return schema;
        }
        Kind::Text { .. } | Kind::Image { .. } => json!({"type": nullable("string")}),
        Kind::Class { .. } => {
            let mut classes: Vec<&String> = models.iter().flat_map(|config| &config.classes).collect();
            let mut seen = HashSet::new();
            classes.retain(|class| seen.insert(*class));
            let longest = models.iter().map(|config| config.classes.len()).max().unwrap_or(0);
            let index = json!({"type": "integer", "minimum": 0, "maximum": longest.saturating_sub(1)});
            json!({"oneOf": [{"type": "string", "enum": classes}, index]})
        }
        Kind::Model => {
            let names = models.iter().map(|config| Value::from(config.name.as_str()));
            json!({"type": nullable("string"), "enum": names.chain([Value::Null]).collect::<Vec<_>>()})
        }
        Kind::Custom { schema, .. } => schema(models),
    };
    schema["description"] = field.about.into();
    add_default(&mut schema, field, models);
    schema
}

/// The value of an absent field, where it is the same for all models.
fn add_default<D>(schema: &mut Value, field: &Field<D>, models: &[&Config]) {
    if let Some((first, others)) = models.split_first()
        && let Some(default) = (field.default)(first)
        && others.iter().all(|other| (field.default)(other).as_ref() == Some(&default))
    {
        schema["default"] = default;
    }
}

/// The enumerations of a table's choices, by the names of their schemas.
pub fn choice_schemas<D: 'static>(
    fields: &'static [Field<D>],
) -> impl Iterator<Item = (&'static str, Value)> {
    fields.iter().filter_map(|field| match &field.kind {
        Kind::Choice { schema, about, names, .. } => {
            let mut choice = json!({"type": "string", "enum": names});
            if !about.is_empty() {
                choice["description"] = (*about).into();
            }
            Some((*schema, choice))
        }
        _ => None,
    })
}

/// The limits of a model's requests, by name.
pub fn limits(config: &Config) -> Map<String, Value> {
    let limit = |field: &Field<GenerationDraft>, name: &LimitName| {
        let (min, max) = field.bounds(config)?;
        let (name, limit) = match name {
            LimitName::Min(name) => (name, min),
            LimitName::Max(name) => (name, max),
        };
        let limit = if field.is_integer() { (limit as u64).into() } else { limit.into() };
        Some(((*name).to_owned(), limit))
    };
    let named =
        |field: &'static Field<GenerationDraft>| field.limit_names.iter().map(move |name| (field, name));
    GENERATION_FIELDS.iter().flat_map(named).filter_map(|(field, name)| limit(field, name)).collect()
}

/// The schema of [`limits`].
pub fn limits_schema() -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in GENERATION_FIELDS {
        for LimitName::Min(name) | LimitName::Max(name) in field.limit_names {
            properties.insert((*name).to_owned(), value_schema(field));
            required.push(*name);
        }
    }
    let about = "The smallest and largest values that requests may have.";
    json!({"type": "object", "description": about, "properties": properties, "required": required})
}

/// For each option of sampling its name, the schema of its value in answers, and whether it always has one.
pub fn option_schemas(models: &[&Config]) -> impl Iterator<Item = (&'static str, Value, bool)> {
    sampling_fields().map(|field| {
        let has_default = models.iter().all(|config| (field.default)(config).is_some());
        let mut schema = value_schema(field);
        if !has_default {
            schema["type"] = json!([schema["type"], "null"]);
        }
        (field.name, schema, has_default)
    })
}

/// The schema of the defaults of sampling.
pub fn defaults_schema(models: &[&Config]) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (name, schema, _) in option_schemas(models).filter(|(_, _, has_default)| *has_default) {
        properties.insert(name.into(), schema);
        required.push(name);
    }
    json!({"type": "object", "properties": properties, "required": required})
}

/// The schema of a valid value.
fn value_schema(field: &Field<GenerationDraft>) -> Value {
    match &field.kind {
        Kind::Number { .. } => json!({"type": "number", "format": "double"}),
        Kind::Integer { range: Limit::Fixed(range), .. } => {
            json!({"type": "integer", "minimum": 0, "format": integer_format(range.max)})
        }
        Kind::Integer { .. } => json!({"type": "integer", "minimum": 0}),
        Kind::Seed { .. } => json!({"type": "integer", "minimum": 0, "format": integer_format(SEED_MAX)}),
        Kind::Boolean { .. } => json!({"type": "boolean"}),
        _ => json!({"type": "string"}),
    }
}

fn integer_format(max: u64) -> &'static str {
    if max > u32::MAX.into() { "int64" } else { "int32" }
}

/// A number as JSON, without a fraction where it has none.
fn number(number: f64) -> Value {
    if number.fract() == 0.0 { (number as i64).into() } else { number.into() }
}
