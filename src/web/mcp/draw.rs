//! The tools that draw: pictures from noise, and a part of an image again.

use rmcp::model::CallToolResult;
use serde_json::Value;

use super::arguments::{Arguments, check_names, load_pictures, read};
use super::caller::Caller;
use super::drawing::{self, Progress};
use crate::picture::MAX_SCALE;
use crate::request::{FieldError, GenerationRequest, IMAGES};
use crate::web::access::Cost;
use crate::web::files::check_size;
use crate::web::problem::Problem;
use crate::web::request::starting_job;
use crate::web::state::AppState;

/// The fields of a generation that the tool `draw` takes: those that change the picture.
pub(super) const DRAW_FIELDS: [&str; 12] = [
    "class",
    "prompt",
    "style",
    "model",
    "seed",
    "count",
    "guidance",
    "guidance_steps",
    "temperature",
    "top_k",
    "top_p",
    "scale",
];
/// Those that the tool `edit` takes, too.
pub(super) const EDIT_FIELDS: [&str; 4] = ["image", "mask", "cells", "from_step"];

/// Width that pictures are enlarged to at least, unless the arguments say a scale: those of the models are small.
const WIDTH: u32 = 256;

/// Draws from noise.
pub(super) async fn draw(
    app: &AppState,
    caller: &Caller,
    arguments: Arguments,
    progress: Option<Progress>,
) -> Result<CallToolResult, Problem> {
    check_names(&arguments, &DRAW_FIELDS)?;
    start(app, caller, arguments, progress).await
}

/// Draws an image again: a part of it, or its last steps.
pub(super) async fn edit(
    app: &AppState,
    caller: &Caller,
    mut arguments: Arguments,
    progress: Option<Progress>,
) -> Result<CallToolResult, Problem> {
    check_names(&arguments, &[&EDIT_FIELDS[..], &DRAW_FIELDS].concat())?;
    if arguments.get("image").is_none_or(Value::is_null) {
        return Err(Problem::invalid(FieldError::new("image", Value::Null, IMAGES)));
    }
    load_pictures(app, caller, &mut arguments).await?;
    start(app, caller, arguments, progress).await
}

async fn start(
    app: &AppState,
    caller: &Caller,
    arguments: Arguments,
    progress: Option<Progress>,
) -> Result<CallToolResult, Problem> {
    let has_scale = arguments.get("scale").is_some_and(|scale| !scale.is_null());
    let engine = app.engine.clone();
    let request = read(move || GenerationRequest::read(engine.models(), |_| None, arguments)).await?;
    let (size, count) = (request.job.model().config.image.size as u32, request.job.count());
    let scale = if has_scale { request.pictures.scale } else { WIDTH.div_ceil(size).clamp(1, MAX_SCALE) };
    let pixels = |scale: u32| u64::from(size * scale) * u64::from(size * scale);
    check_size(scale, pixels)?;
    let cost = Cost::images(count).and(Cost::pixels(pixels(scale) * u64::from(count)));
    let (job, warnings) = starting_job(&app.image_decoders, &caller.budget, cost, request).await?;
    caller.release_upload();
    drawing::draw(app, caller, job, scale, warnings, progress).await
}
