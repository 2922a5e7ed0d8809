//! Results of tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::web::problem::Problem;

/// A result that says what went wrong, so that the assistant can call again.
pub(super) fn tool_error(problem: &Problem) -> Value {
    let mut text = problem.detail.clone();
    if problem.errors.len() > 1 {
        for error in &problem.errors {
            text.push_str(&format!(
                "\n{}: {} is not allowed. Allowed: {}.",
                error.field, error.value, error.allowed
            ));
        }
    }
    json!({"content": [{"type": "text", "text": text}], "isError": true})
}

/// A picture as content.
pub(super) fn png_content(file: &[u8]) -> Value {
    json!({"type": "image", "data": STANDARD.encode(file), "mimeType": "image/png"})
}

/// A JSON object as content, for programs and as text.
pub(super) fn structured(value: Value, images: Vec<Value>) -> Value {
    let mut content = vec![json!({"type": "text", "text": value.to_string()})];
    content.extend(images);
    json!({"content": content, "structuredContent": value, "isError": false})
}
