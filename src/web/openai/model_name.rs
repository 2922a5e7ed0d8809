//! The names by which clients of OpenAI's API ask for a model.

use crate::engine::ModelHandle;
use crate::queue::AnyEngine;
use crate::web::model_alias::ModelAliases;
use crate::web::problem::Problem;

/// How the names of OpenAI's models begin. Clients send them where their users can't choose.
const OPENAI_MODELS: [&str; 3] = ["dall-e", "gpt-", "chatgpt-image"];

/// The model of a name: its own name, an alias, or the name of one of OpenAI's models, which is the default model, with a
/// warning.
///
/// # Errors
/// 404 for any other name.
pub(super) fn resolve_model<'a>(
    engine: &'a AnyEngine,
    aliases: &ModelAliases,
    name: &str,
) -> Result<(&'a ModelHandle, Option<String>), Problem> {
    let named = engine.model(name).or_else(|| engine.model(aliases.get(name)?));
    if let Some(model) = named {
        return Ok((model, None));
    }
    if OPENAI_MODELS.iter().any(|prefix| name.starts_with(prefix)) {
        let default = engine.default_model();
        let warning = format!("There is no model {name} here. {} was used.", default.config.name);
        return Ok((default, Some(warning)));
    }
    Err(Problem::unknown_model(name, engine.models()))
}
