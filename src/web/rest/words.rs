//! `/api/v1/words`: what completes a prompt.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::split_words;
use crate::request::model_names;
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// Completions of each kind, unless the request says another number.
const DEFAULT_LIMIT: u32 = 10;
/// Similar words at most: the others resemble it little.
const MAX_SIMILAR: usize = 5;
/// The longest text to complete, in characters.
const MAX_TEXT: usize = 200;

/// What completes a prompt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Completions {
    /// The model's name.
    model: String,
    /// Words that begin with the last word of the text, the shortest first.
    words: Vec<String>,
    /// Names of subjects that have all words of the text, the shortest first.
    subjects: Vec<String>,
    /// Words that resemble the last word of the text, the nearest first, if none begins with it: it may be misspelt.
    similar: Vec<String>,
}

/// Complete a prompt
///
/// All lists are empty where the model is told classes only.
#[utoipa::path(
    get, path = "/api/v1/words", operation_id = "completePrompt", tag = "Models",
    params(
        ("prefix" = Option<String>, Query, max_length = 200, description = "The prompt so far; its last word may be incomplete. If omitted, any word completes it."),
        ("model" = Option<String>, Query, description = "The model's name; the first model that knows words if omitted."),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Completions of each kind; 10 if omitted."),
    ),
    responses((status = 200, description = "The completions", body = Completions)),
)]
pub(super) async fn complete(
    State(app): State<AppState>,
    mut query: Query,
) -> Result<Json<Completions>, Problem> {
    let models = app.engine.models();
    let named = query.take("model", &model_names(models), |name| app.engine.model(name));
    let text = query.take("prefix", &format!("up to {MAX_TEXT} characters"), |text| {
        (text.chars().count() <= MAX_TEXT).then(|| text.to_owned())
    });
    let limit = query.integer("limit", 1..=100).unwrap_or(DEFAULT_LIMIT) as usize;
    query.finish()?;
    let with_words = || models.iter().find(|info| info.config.has_words());
    let info = named.or_else(with_words).unwrap_or_else(|| app.engine.default_model());
    let (vocabulary, text) = (&info.config.vocabulary, text.unwrap_or_default());
    let ends_in_word = text.chars().next_back().is_some_and(char::is_alphanumeric);
    let last = split_words(&text).pop().filter(|_| ends_in_word).unwrap_or_default();
    let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
    let words = vocabulary.complete_word(&last, limit);
    let similar =
        if words.is_empty() { vocabulary.similar(&last, limit.min(MAX_SIMILAR)) } else { Vec::new() };
    Ok(Json(Completions {
        model: info.config.name.clone(),
        words: owned(words),
        similar: owned(similar),
        subjects: owned(vocabulary.complete_subject(&text, limit)),
    }))
}
