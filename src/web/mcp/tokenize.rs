//! The tools that read an image: its tokens, and what it shows.

use rmcp::model::CallToolResult;
use serde_json::{Value, json};

use super::arguments::{Arguments, load_pictures, read};
use super::caller::Caller;
use super::content::{png_content, structured};
use crate::engine::{ModelHandle, Tokenized};
use crate::model::{Caption, Guess};
use crate::request::{FieldError, TokenizationRequest};
use crate::web::access::Cost;
use crate::web::problem::Problem;
use crate::web::request::open_image;
use crate::web::state::AppState;

/// The image's tokens, what they decode to and, of a model that can name images, what it shows.
pub(super) async fn tokenize(
    app: &AppState,
    caller: &Caller,
    arguments: Arguments,
) -> Result<CallToolResult, Problem> {
    let (model, seed, tokenized) = encode(app, caller, arguments).await?;
    let width = model.config.latent.grid;
    let grid = |tokens: &[u32]| tokens.chunks(width).map(<[u32]>::to_vec).collect::<Vec<_>>();
    let tokens: Vec<_> = tokenized.steps.iter().map(|step| grid(&step.tokens)).collect();
    let decoded = tokenized.steps.last().map(|step| png_content(&step.preview.clean));
    let caption = tokenized.caption.as_ref().map(names_and_words);
    let value =
        json!({"model": model.name(), "seed": seed, "grid": width, "tokens": tokens, "caption": caption});
    Ok(structured(value, decoded.into_iter().collect()))
}

/// What the image shows. Without a model in the arguments, the first that can name images.
pub(super) async fn caption(
    app: &AppState,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<CallToolResult, Problem> {
    let named = arguments.get("model").filter(|model| !model.is_null()).cloned();
    let can_name = |model: &&ModelHandle| model.config.captions;
    let able: Vec<&str> = app.engine.models().iter().filter(can_name).map(ModelHandle::name).collect();
    let unable = |model: Value| {
        let allowed = if able.is_empty() { "none: no model here can name images" } else { &able.join(", ") };
        Problem::invalid(FieldError::new("model", model, allowed))
    };
    match (named, able.first()) {
        (None, Some(first)) => {
            arguments.insert("model".into(), (*first).into());
        }
        (None, None) => return Err(unable(Value::Null)),
        (Some(named), _) => {
            let known = named.as_str().and_then(|name| app.engine.model(name));
            if known.is_some_and(|model| !model.config.captions) {
                return Err(unable(named));
            }
        }
    }
    let (model, seed, tokenized) = encode(app, caller, arguments).await?;
    let caption = tokenized.caption.as_ref().ok_or_else(|| unable(model.name().into()))?;
    let mut value = names_and_words(caption);
    value["model"] = model.name().into();
    value["seed"] = seed.into();
    Ok(structured(value, Vec::new()))
}

async fn encode(
    app: &AppState,
    caller: &Caller,
    mut arguments: Arguments,
) -> Result<(ModelHandle, u64, Tokenized), Problem> {
    load_pictures(app, caller, &mut arguments).await?;
    let engine = app.engine.clone();
    let request = read(move || TokenizationRequest::read(engine.models(), arguments)).await?;
    let TokenizationRequest { model, file, seed } = request;
    let (_, image) =
        open_image(&app.image_decoders, &caller.budget, Cost::images(1), file, "image", &model).await?;
    caller.release_upload();
    let tokenized = app.engine.tokenize(&model, image, seed).await?;
    Ok((model, seed, tokenized))
}

/// The most probable names and words, each with its probability.
fn names_and_words(caption: &Caption) -> Value {
    let guesses = |guesses: &[Guess]| -> Vec<Value> {
        guesses.iter().map(|guess| json!({"text": guess.text, "probability": guess.probability})).collect()
    };
    json!({"names": guesses(&caption.names), "words": guesses(&caption.words)})
}
