//! Invalid fields.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::ModelError;

/// Longer values are shortened where they are quoted.
const MAX_QUOTED: usize = 200;

/// A field with an invalid value: in the body, the query or a header.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FieldError {
    pub field: String,
    /// As sent; `null` where it is missing.
    pub value: Value,
    /// The allowed values, for people.
    pub allowed: String,
}

impl FieldError {
    /// An error that quotes long names and values in part only.
    pub fn new(field: &str, value: Value, allowed: impl Into<String>) -> Self {
        Self { field: shorten(field), value: shorten_value(value), allowed: allowed.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, allowed } = self;
        match value {
            Value::Null => write!(f, "{field} is missing; allowed: {allowed}"),
            Value::String(text) => write!(f, "{field} is {text}; allowed: {allowed}"),
            value => write!(f, "{field} is {value}; allowed: {allowed}"),
        }
    }
}

impl std::error::Error for FieldError {}

impl From<ModelError> for FieldError {
    /// Errors other than [`ModelError::Setting`] don't concern a request's fields.
    fn from(error: ModelError) -> Self {
        match error {
            ModelError::Setting { field, value, allowed } => Self::new(field, value.into(), allowed),
            error => Self::new("model", Value::Null, error.to_string()),
        }
    }
}

fn shorten_value(value: Value) -> Value {
    match value {
        Value::String(text) => shorten(&text).into(),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() > MAX_QUOTED { shorten(&text).into() } else { value }
        }
        short => short,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(MAX_QUOTED) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
