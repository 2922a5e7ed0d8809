//! Invalid fields.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::model::ModelError;

/// Errors of one request that are listed; the others are counted. Otherwise an answer could be much longer than its request.
pub const MAX_ERRORS: usize = 20;
/// Characters of a value that are quoted.
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

/// The errors of one request: the first [`MAX_ERRORS`], and the number of the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FieldErrors {
    listed: Vec<FieldError>,
    omitted: usize,
}

impl FieldError {
    /// An error that quotes long names and values in part only.
    pub fn new(field: &str, value: Value, allowed: impl Into<String>) -> Self {
        Self { field: shorten(field), value: shorten_value(value), allowed: allowed.into() }
    }
}

impl FieldErrors {
    /// Adds an error, which is made only if it is listed.
    pub fn push(&mut self, error: impl FnOnce() -> FieldError) {
        if self.listed.len() < MAX_ERRORS {
            self.listed.push(error());
        } else {
            self.omitted += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }

    /// The first errors.
    pub fn listed(&self) -> &[FieldError] {
        &self.listed
    }

    /// The number of errors that are not listed.
    pub fn omitted(&self) -> usize {
        self.omitted
    }

    /// The same errors of fields of an object, which is the field `outer`.
    pub fn within(mut self, outer: &str) -> Self {
        for error in &mut self.listed {
            error.field = shorten(&format!("{outer}.{}", error.field));
        }
        self
    }

    /// # Errors
    /// Itself, unless it is empty.
    pub fn into_result(self) -> Result<(), Self> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self { listed: vec![error], omitted: 0 }
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

/// A text that is quoted in a message: a long one only in part.
pub fn shorten(text: &str) -> String {
    shorten_to(text, MAX_QUOTED)
}

/// The first `max` characters of a text, and its length where there are more.
pub fn shorten_to(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

fn shorten_value(value: Value) -> Value {
    match value {
        Value::String(text) => shorten(&text).into(),
        Value::Array(_) | Value::Object(_) => {
            let mut start = Start::default();
            // `Start` takes everything.
            let _ = write!(start, "{value}");
            match start.bytes > MAX_QUOTED {
                true => start.quoted().into(),
                false => value,
            }
        }
        short => short,
    }
}

/// The first characters of a text that is written to it, and its length.
#[derive(Default)]
struct Start {
    text: String,
    characters: usize,
    bytes: usize,
}

impl Start {
    fn quoted(self) -> String {
        match self.text.len() < self.bytes {
            true => format!("{}… ({} bytes)", self.text, self.bytes),
            false => self.text,
        }
    }
}

impl Write for Start {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes += text.len();
        for character in text.chars().take(MAX_QUOTED - self.characters) {
            self.text.push(character);
            self.characters += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn long_values_are_shortened() {
        let value = |value: Value| FieldError::new("field", value, "").value;
        assert_eq!(value(json!("x".repeat(200))), "x".repeat(200));
        assert_eq!(value(json!("ä".repeat(201))), format!("{}… (402 bytes)", "ä".repeat(200)));
        assert_eq!(value(json!([1, {"a": "b"}])), json!([1, {"a": "b"}]));
        let list = vec![0; 1000];
        assert_eq!(value(json!(list)), format!("[{}0… (2001 bytes)", "0,".repeat(99)));
        let error = FieldError::new(&"n".repeat(1000), Value::Null, "");
        assert_eq!(error.field, format!("{}… (1000 bytes)", "n".repeat(200)));
    }

    #[test]
    fn first_errors_are_listed_and_others_counted() {
        let mut errors = FieldErrors::default();
        assert_eq!(errors.clone().into_result(), Ok(()));
        for number in 0..50 {
            errors.push(|| FieldError::new("field", number.into(), ""));
        }
        assert_eq!((errors.listed().len(), errors.omitted()), (MAX_ERRORS, 50 - MAX_ERRORS));
        assert_eq!(errors.listed()[19].value, 19);
        assert!(errors.into_result().is_err());
    }
}
