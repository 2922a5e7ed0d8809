//! Results of tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::model::{CallToolResult, ContentBlock};
use serde_json::Value;

use crate::web::problem::Problem;

/// The media type of all pictures.
pub(super) const PNG: &str = "image/png";

/// A result that says what went wrong, so that the assistant can call again.
pub(super) fn tool_error(problem: &Problem) -> CallToolResult {
    let mut text = match problem.errors.is_empty() {
        true => problem.detail.clone(),
        false => problem.errors.iter().map(|error| format!("{error}.")).collect::<Vec<_>>().join("\n"),
    };
    if let Some(wait) = problem.retry_after() {
        text.push_str(&format!(" Call again in {} s.", wait.as_secs_f64().ceil()));
    }
    let mut result = CallToolResult::error(vec![ContentBlock::text(text)]);
    result.structured_content = serde_json::to_value(problem).ok();
    result
}

/// A JSON object as content, for programs and as text, and what follows it.
pub(super) fn structured(value: Value, others: Vec<ContentBlock>) -> CallToolResult {
    let mut content = vec![ContentBlock::text(value.to_string())];
    content.extend(others);
    let mut result = CallToolResult::success(content);
    result.structured_content = Some(value);
    result
}

/// A picture as content.
pub(super) fn png_content(file: &[u8]) -> ContentBlock {
    ContentBlock::image(STANDARD.encode(file), PNG)
}
