//! Picture files: one image, all of them, or the steps.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;

use super::animation;
use super::generations::find;
use crate::engine::{Snapshot, Status};
use crate::picture::{AnimationFormat, Format, MAX_SCALE};
use crate::web::App;
use crate::web::problem::Problem;
use crate::web::query::Query;
use crate::web::render::{self, Look, QUALITY};

/// A finished image never changes; the address dies with the job.
const KEEP: HeaderValue = HeaderValue::from_static("private, max-age=600, immutable");

/// Get an image
///
/// One finished image; 404 until it is. A PNG file has the parameters that made it inside: `rdpm info` prints them.
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
            description = "Show every pixel as a square of this size.",
        ),
    ),
    responses((
        status = 200,
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
)]
pub(super) async fn image(
    State(app): State<App>,
    Path((id, file)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    let scale = scale(query)?;
    let snapshot = find(&id, |id| app.engine.get(id))?;
    let count = snapshot.request.count();
    let named = numbered(&file, Format::from_name).filter(|&(index, _)| index < count);
    let Some((index, format)) = named else {
        let last = count - 1;
        let detail =
            format!("{file} is no image of this generation: they are 0.png to {last}.png, or webp, or jpeg.");
        return Err(Problem::not_found(detail));
    };
    if !snapshot.images.iter().any(|image| image.index == index) {
        let status = snapshot.status.as_str();
        return Err(Problem::not_found(format!("{file} isn't finished; the generation is {status}.")));
    }
    let look = Look { format, scale, quality: QUALITY };
    let bytes = render::image(&app, &snapshot, index, look).await?;
    Ok(([(header::CACHE_CONTROL, KEEP)], media(format), bytes).into_response())
}

/// What the router can't tell apart: addresses of this kind have one handler.
#[derive(OpenApi)]
#[openapi(paths(sheet, moving))]
pub(super) struct Described;

/// `GET /api/v1/generations/{id}/{file}`: all images, or the steps.
pub(super) async fn whole(
    State(app): State<App>,
    Path((id, file)): Path<(String, String)>,
    query: Query,
) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.get(id))?;
    if let Some(format) = file.strip_prefix("sheet.").and_then(Format::from_name) {
        sheet(&app, &file, &snapshot, format, query).await
    } else if let Some(format) = file.strip_prefix("animation.").and_then(AnimationFormat::from_name) {
        moving(&app, &file, &snapshot, format, query).await
    } else {
        let known = "sheet.png, sheet.webp, sheet.jpeg, animation.gif, animation.png, animation.webp";
        Err(Problem::not_found(format!("There is no {file} here, but {known}.")))
    }
}

/// Get all images
///
/// In rows. Of a completed generation; 404 until it is.
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
            description = "Show every pixel as a square of this size; less than 32 where that would be too large a file.",
        ),
    ),
    responses((
        status = 200,
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
)]
async fn sheet(
    app: &App,
    file: &str,
    snapshot: &Snapshot,
    format: Format,
    query: Query,
) -> Result<Response, Problem> {
    let look = Look { format, scale: scale(query)?, quality: QUALITY };
    check_completed(file, snapshot)?;
    let bytes = render::sheet(app, snapshot, look).await?;
    Ok(([(header::CACHE_CONTROL, KEEP)], media(format), bytes).into_response())
}

/// Get the steps as a moving picture
///
/// Of a completed generation; 404 until it is, 409 where it was drawn without the previews that are wanted.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/animation.{format}",
    operation_id = "getAnimation",
    tag = "Pictures",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("format" = String, Path, pattern = "^(gif|png|webp)$", description = "`gif`, `png` (APNG) or `webp`"),
        (
            "which" = Option<animation::Which>, Query,
            description = "The clean previews, the noisy ones, or the token grids; `clean` unless told",
        ),
        ("index" = Option<u32>, Query, maximum = 15, description = "This image alone; all of them unless told"),
        (
            "scale" = Option<u32>, Query, minimum = 1, maximum = 32,
            description = "Show every pixel as a square of this size; less than 32 where that would be too large a file.",
        ),
        (
            "delay" = Option<u32>, Query, minimum = 20, maximum = 5000,
            description = "Milliseconds for each step, 250 unless told. The last is held six times as long.",
        ),
    ),
    responses((
        status = 200,
        content((Vec<u8> = "image/gif"), (Vec<u8> = "image/apng"), (Vec<u8> = "image/webp")),
    )),
)]
async fn moving(
    app: &App,
    file: &str,
    snapshot: &Snapshot,
    format: AnimationFormat,
    query: Query,
) -> Result<Response, Problem> {
    let wanted = animation::Wanted::new(query, snapshot)?;
    check_completed(file, snapshot)?;
    let bytes = animation::animation(app, snapshot, format, wanted).await?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    Ok(([(header::CACHE_CONTROL, KEEP), kind], bytes).into_response())
}

/// A completed generation's only image, or all of them; with its own address.
pub(super) async fn show_sheet_or_image(
    app: &App,
    snapshot: &Snapshot,
    look: Look,
) -> Result<Response, Problem> {
    let (bytes, file): (Bytes, _) = if snapshot.request.count() == 1 {
        (render::image(app, snapshot, 0, look).await?, "images/0")
    } else {
        (render::sheet(app, snapshot, look).await?, "sheet")
    };
    let Look { format, scale, .. } = look;
    let query = if scale == 1 { String::new() } else { format!("?scale={scale}") };
    let address = format!("/api/v1/generations/{}/{file}.{}{query}", snapshot.id, format.name());
    Ok(([(header::CONTENT_LOCATION, address)], media(format), bytes).into_response())
}

fn check_completed(file: &str, snapshot: &Snapshot) -> Result<(), Problem> {
    if snapshot.status == Status::Completed {
        return Ok(());
    }
    let status = snapshot.status.as_str();
    Err(Problem::not_found(format!("There is no {file}: the generation is {status}, not completed.")))
}

fn media(format: Format) -> [(header::HeaderName, HeaderValue); 1] {
    [(header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()))]
}

/// The query's only parameter.
fn scale(mut query: Query) -> Result<u32, Problem> {
    let scale = query.integer("scale", 1..=MAX_SCALE).unwrap_or(1);
    query.finish().map(|()| scale)
}

/// The number and the ending in `7.png`.
pub(super) fn numbered<T>(file: &str, format: impl FnOnce(&str) -> Option<T>) -> Option<(u32, T)> {
    let (digits, ending) = file.split_once('.')?;
    // `parse` would take a sign.
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let index = is_plain.then(|| digits.parse().ok())??;
    Some((index, format(ending)?))
}
