//! The tools that list what can be drawn.

use rmcp::model::CallToolResult;
use serde_json::{Value, json};

use super::arguments::{Arguments, check_names};
use super::content::structured;
use crate::engine::ModelHandle;
use crate::web::problem::Problem;

/// The models.
pub(super) fn list_models(models: &[ModelHandle], arguments: &Arguments) -> Result<CallToolResult, Problem> {
    check_names(arguments, &[])?;
    let model = |model: &ModelHandle| {
        let config = &model.config;
        json!({
            "name": config.name,
            "title": config.title,
            "classes": config.classes,
            "words": config.vocabulary.words().len(),
            "styles": config.styles.len(),
            "captions": config.captions,
            "size": config.image.size,
            "grid": config.latent.grid,
            "steps": config.steps(),
        })
    };
    Ok(structured(json!({"models": models.iter().map(model).collect::<Vec<Value>>()}), Vec::new()))
}

/// The drawing styles of the models that have some.
pub(super) fn list_styles(models: &[ModelHandle], arguments: &Arguments) -> Result<CallToolResult, Problem> {
    check_names(arguments, &[])?;
    let with_styles = models.iter().filter(|model| !model.config.styles.is_empty());
    let styles = with_styles
        .map(|model| json!({"model": model.name(), "styles": model.config.styles}))
        .collect::<Vec<_>>();
    Ok(structured(json!({"models": styles}), Vec::new()))
}
