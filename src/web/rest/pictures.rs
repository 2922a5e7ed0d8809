//! `/api/v1/generations/{id}/…`: picture files of one image, of all images, or of the steps.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::decode::TokenFile;
use super::generations::find;
use crate::engine::{MAX_COUNT, Snapshot, Status};
use crate::picture::{AnimationFormat, DEFAULT_FRAME_DELAY, Format, MAX_SCALE, TokenFile as Tokens};
use crate::request::{FieldError, shorten};
use crate::web::access::Budget;
use crate::web::files::{
    AnimationParameters, Channel, JPEG_QUALITY, RenderOptions, animation as render_animation, render_image,
    render_sheet,
};
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// A finished image never changes. Its address expires with the job.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=600, immutable");

/// Get an image
///
/// One finished image; 404 until then. The file contains the parameters that made it; `rdpm info` prints them.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/images/{file}",
    operation_id = "getImage",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        (
            "file" = String, Path, pattern = r"^[0-9]{1,2}\.(png|webp|jpeg|jpg)$",
            description = "The image's index, and the format: `0.png`, `0.webp` (lossless) or `0.jpeg`",
        ),
        (
            "scale" = Option<u32>, Query, minimum = 1, maximum = 32,
            description = "Size of the square that every pixel becomes.",
        ),
    ),
    responses((
        status = 200, description = "The picture",
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
)]
pub(super) async fn image(
    State(app): State<AppState>,
    budget: Budget,
    Path((id, file)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    let scale = scale(query)?;
    let snapshot = find(&app, &id, |id| app.engine.get(id)).await?;
    let count = snapshot.request.count();
    if let Some((index, format)) = parse_indexed(&file, TokenFormat::from_name) {
        return match format {
            TokenFormat::Json => json_token_file(&snapshot, index, &file),
            TokenFormat::Binary => binary_token_file(&snapshot, index, &file),
        };
    }
    let found = parse_indexed(&file, Format::from_name).filter(|&(index, _)| index < count);
    let Some((index, format)) = found else {
        let last = count - 1;
        let file = shorten(&file);
        let detail = format!(
            "{file} is not an image of this generation. Images are 0.png to {last}.png, or webp, or jpeg."
        );
        return Err(Problem::not_found(detail));
    };
    if !snapshot.images.iter().any(|image| image.index == index) {
        let status = snapshot.status.as_str();
        return Err(Problem::not_found(format!("{file} isn't finished; the generation is {status}.")));
    }
    let options = RenderOptions::scaled(format, scale, JPEG_QUALITY);
    let bytes = render_image(&app.renderer, &budget, &snapshot, index, options).await?;
    Ok(([(header::CACHE_CONTROL, IMMUTABLE)], content_type(format), bytes).into_response())
}

/// The documentation of addresses that the router can't tell apart, so that they share the handlers [`sheet_or_animation`]
/// and [`image`].
#[derive(OpenApi)]
#[openapi(paths(sheet, animation, json_token_file, binary_token_file))]
pub(super) struct FileAddresses;

/// `GET /api/v1/generations/{id}/{file}`
pub(super) async fn sheet_or_animation(
    State(app): State<AppState>,
    budget: Budget,
    Path((id, file)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    let snapshot = find(&app, &id, |id| app.engine.get(id)).await?;
    if let Some(format) = file.strip_prefix("sheet.").and_then(Format::from_name) {
        sheet(&app, &budget, &file, &snapshot, format, query).await
    } else if let Some(format) = file.strip_prefix("animation.").and_then(AnimationFormat::from_name) {
        animation(&app, &budget, &file, &snapshot, format, query).await
    } else {
        let known = "sheet.png, sheet.webp, sheet.jpeg, animation.gif, animation.png, animation.webp";
        Err(Problem::not_found(format!("There is no {}. Allowed: {known}.", shorten(&file))))
    }
}

/// Get all images
///
/// A sheet of rows. Of a completed generation; 404 until then.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/sheet.{format}",
    operation_id = "getSheet",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("format" = String, Path, pattern = "^(png|webp|jpeg|jpg)$", description = "`png`, `webp` or `jpeg`"),
        (
            "scale" = Option<u32>, Query, minimum = 1, maximum = 32,
            description = "Size of the square that every pixel becomes; the maximum is lower where the file would be too large.",
        ),
    ),
    responses((
        status = 200, description = "The picture",
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
)]
async fn sheet(
    app: &AppState,
    budget: &Budget,
    file: &str,
    snapshot: &Snapshot,
    format: Format,
    query: Query,
) -> Result<Response, Problem> {
    let options = RenderOptions::scaled(format, scale(query)?, JPEG_QUALITY);
    check_completed(file, snapshot)?;
    let bytes = render_sheet(&app.renderer, budget, snapshot, options).await?;
    Ok(([(header::CACHE_CONTROL, IMMUTABLE)], content_type(format), bytes).into_response())
}

/// Get the steps or the images as an animation
///
/// With `which=images` each frame is one of the images, in their order: the film of an interpolation. Of a completed generation; 404 until then, 409 where the animation needs previews that the generation doesn't have.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/animation.{format}",
    operation_id = "getAnimation",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("format" = String, Path, pattern = "^(gif|png|webp)$", description = "`gif`, `png` (APNG) or `webp`"),
        (
            "which" = Option<Channel>, Query,
            description = "Of each step the clean previews, the noisy previews, or the token grids; or the finished images, one after the other; `clean` by default",
        ),
        ("index" = Option<u32>, Query, maximum = 15, description = "Index of the only image to show; all images by default"),
        (
            "scale" = Option<u32>, Query, minimum = 1, maximum = 32,
            description = "Size of the square that every pixel becomes; the maximum is lower where the file would be too large.",
        ),
        (
            "delay" = Option<u32>, Query, minimum = 20, maximum = 5000,
            description = "Milliseconds for each frame, 250 by default. The last is shown six times as long, unless they go back and forth.",
        ),
        ("back_and_forth" = Option<bool>, Query, description = "Whether the frames are shown backwards, too; `false` by default."),
    ),
    responses((
        status = 200, description = "The animation",
        content((Vec<u8> = "image/gif"), (Vec<u8> = "image/apng"), (Vec<u8> = "image/webp")),
    )),
)]
async fn animation(
    app: &AppState,
    budget: &Budget,
    file: &str,
    snapshot: &Snapshot,
    format: AnimationFormat,
    query: Query,
) -> Result<Response, Problem> {
    let parameters = animation_parameters(query, snapshot)?;
    check_completed(file, snapshot)?;
    let bytes = render_animation(&app.engine, &app.renderer, budget, snapshot, format, parameters).await?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(([(header::CACHE_CONTROL, IMMUTABLE), kind], bytes).into_response())
}

/// The parameters in a query.
///
/// # Errors
/// 422 where they are invalid, 404 where the generation doesn't have the image.
fn animation_parameters(mut query: Query, snapshot: &Snapshot) -> Result<AnimationParameters, Problem> {
    let channel = query.take("which", &Channel::NAMES.join(", "), Channel::from_name);
    let index = query.integer("index", 0..=MAX_COUNT - 1);
    let scale = query.integer("scale", 1..=MAX_SCALE).unwrap_or(1);
    let delay = query.integer("delay", 20..=5000);
    let back_and_forth = query.take("back_and_forth", "true or false", |value| value.parse().ok());
    query.finish()?;
    if let (Some(Channel::Images), Some(index)) = (channel, index) {
        let allowed = "no index with which=images, which shows all";
        return Err(Problem::invalid(FieldError::new("index", index.into(), allowed)));
    }
    let count = snapshot.request.count();
    if let Some(index) = index.filter(|&index| index >= count) {
        return Err(Problem::not_found(format!("There is no image {index}: the generation has {count}.")));
    }
    let delay = delay.map_or(DEFAULT_FRAME_DELAY, |delay| Duration::from_millis(delay.into()));
    let channel = channel.unwrap_or(Channel::Clean);
    Ok(AnimationParameters { channel, index, scale, delay, back_and_forth: back_and_forth.unwrap_or(false) })
}

enum TokenFormat {
    Json,
    Binary,
}

impl TokenFormat {
    fn from_name(ending: &str) -> Option<Self> {
        match ending {
            "json" => Some(Self::Json),
            "rdpm" => Some(Self::Binary),
            _ => None,
        }
    }
}

/// Get an image's tokens
///
/// The token file of one image: its code grids, noise and model. `POST /api/v1/decode` and `tokens` of a generation take it.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/images/{index}.json",
    operation_id = "getTokens",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The image's index"),
    ),
    responses((status = 200, description = "The token file", body = TokenFile)),
)]
fn json_token_file(snapshot: &Snapshot, index: u32, file: &str) -> Result<Response, Problem> {
    let written = token_file(snapshot, index, file)?;
    Ok(token_response("application/json", written.to_json().into_bytes()))
}

/// Get an image's tokens as a binary file
///
/// The token file of one image, packed. What takes a token file in JSON takes this one, too.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/images/{index}.rdpm",
    operation_id = "getBinaryTokens",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The image's index"),
    ),
    responses((
        status = 200, description = "The token file", content((Vec<u8> = "application/octet-stream")),
    )),
)]
fn binary_token_file(snapshot: &Snapshot, index: u32, file: &str) -> Result<Response, Problem> {
    let written = token_file(snapshot, index, file)?;
    Ok(token_response("application/octet-stream", written.to_binary()))
}

/// The token file of a finished image.
fn token_file(snapshot: &Snapshot, index: u32, file: &str) -> Result<Tokens, Problem> {
    let image = snapshot.images.iter().find(|image| image.index == index);
    let tokens = image.and_then(|image| image.tokens.as_ref());
    let tokens = tokens.ok_or_else(|| {
        Problem::not_found(format!("{} is not available: there are no tokens of that image.", shorten(file)))
    })?;
    let (noise, model) = (snapshot.request.noise(index), snapshot.request.model());
    Tokens::new(model.name(), Some(&model.version), noise.seed, noise.index, tokens)
        .map_err(|error| Problem::internal("The token file could not be written.", &error))
}

fn token_response(kind: &'static str, bytes: Vec<u8>) -> Response {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    ([(header::CACHE_CONTROL, IMMUTABLE), kind], bytes).into_response()
}

/// A response with the only image of a completed generation, or a sheet of all, and the picture's own address. Its cost has
/// been charged.
pub(super) async fn respond_with_picture(
    app: &AppState,
    budget: &Budget,
    snapshot: &Snapshot,
    options: RenderOptions,
) -> Result<Response, Problem> {
    let paid = budget.paid();
    let (bytes, file): (Bytes, _) = if snapshot.request.count() == 1 {
        (render_image(&app.renderer, &paid, snapshot, 0, options).await?, "images/0")
    } else {
        (render_sheet(&app.renderer, &paid, snapshot, options).await?, "sheet")
    };
    let RenderOptions { format, scale, .. } = options;
    let query = if scale == 1 { String::new() } else { format!("?scale={scale}") };
    let address = format!("/api/v1/generations/{}/{file}.{}{query}", snapshot.id, format.name());
    Ok(([(header::CONTENT_LOCATION, address)], content_type(format), bytes).into_response())
}

fn check_completed(file: &str, snapshot: &Snapshot) -> Result<(), Problem> {
    if snapshot.status == Status::Completed {
        return Ok(());
    }
    let status = snapshot.status.as_str();
    Err(Problem::not_found(format!("{file} is not available: the generation is {status}, not completed.")))
}

fn content_type(format: Format) -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()))]
}

/// The scale of a query that has no other parameters.
fn scale(mut query: Query) -> Result<u32, Problem> {
    let scale = query.integer("scale", 1..=MAX_SCALE).unwrap_or(1);
    query.finish().map(|()| scale)
}

/// The index and the format in `7.png`.
pub(super) fn parse_indexed<T>(file: &str, format: impl FnOnce(&str) -> Option<T>) -> Option<(u32, T)> {
    let (digits, ending) = file.split_once('.')?;
    // `parse` would take a sign.
    let is_unsigned = digits.bytes().all(|byte| byte.is_ascii_digit());
    let index = is_unsigned.then(|| digits.parse().ok())??;
    Some((index, format(ending)?))
}
