//! `GET /v1/images/files/{id}/{file}`: the pictures to which `response_format: url` links.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::image_request::parse_size;
use crate::engine::JobId;
use crate::picture::Format;
use crate::web::access::Budget;
use crate::web::files::{RenderOptions, render_image};
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

const CACHE_CONTROL: HeaderValue = HeaderValue::from_static("private, max-age=600, immutable");

/// The path of a picture with its parameters, which is what is signed.
fn link(id: &str, file: &str, (width, height): (u32, u32), quality: u8) -> String {
    format!("/v1/images/files/{id}/{file}?size={width}x{height}&quality={quality}")
}

/// The path of a signed link to a job's image.
pub(super) fn signed_link(app: &AppState, id: JobId, index: u32, own: u32, options: RenderOptions) -> String {
    let file = format!("{index}.{}", options.format.name());
    let link = link(&id.to_string(), &file, options.size(own), options.quality);
    let (expires, signature) = app.link_signer.sign(app.jobs.link_key(&app.engine, id).as_deref(), &link);
    format!("{link}&expires={expires}&signature={signature}")
}

/// Get an image by its link
///
/// What the `url` of an image leads to. Needs no key: the link is signed. 403 where the signature isn't valid or the link has
/// expired, 404 where the generation has been removed.
#[utoipa::path(
    get,
    path = "/v1/images/files/{id}/{file}",
    operation_id = "openaiGetImageFile",
    tag = "OpenAI",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("file" = String, Path, description = "The image's index, and the format: `0.png`, `0.webp` or `0.jpeg`"),
        ("size" = String, Query, description = "Width and height"),
        ("quality" = u8, Query, minimum = 1, maximum = 100, description = "JPEG's quality"),
        ("expires" = u64, Query, description = "Unix time in seconds"),
        ("signature" = String, Query, description = "The server's signature of all other parts"),
    ),
    responses((
        status = 200, description = "The picture",
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
    security(()),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    Path((id, file)): Path<(String, String)>,
    budget: Budget,
    mut query: Query,
) -> Result<Response, Problem> {
    let mut text = |name| query.take(name, "text", |text| Some(text.to_owned()));
    let [size, quality, expires, signature] = ["size", "quality", "expires", "signature"].map(&mut text);
    query.finish()?;
    let invalid =
        || Problem::new(StatusCode::FORBIDDEN, "This link has expired, or is not one that this server made.");
    // Only in the form in which it was signed.
    let size = size
        .as_deref()
        .and_then(|text| parse_size(text).filter(|(width, height)| text == format!("{width}x{height}")));
    let quality = quality.and_then(|text| text.parse().ok()).filter(|quality| (1..=100).contains(quality));
    let expires: Option<u64> = expires.and_then(|text| text.parse().ok());
    let parts = size.zip(quality).zip(expires.zip(signature));
    let ((size, quality), (expires, signature)) = parts.ok_or_else(invalid)?;
    let gone = || Problem::not_found("The generation has expired.");
    let job = id.parse().ok();
    if let Some(job) = job {
        app.engine.load(job).await?;
    }
    let key = job.and_then(|job| app.jobs.link_key(&app.engine, job));
    if !app.link_signer.is_valid(key.as_deref(), &link(&id, &file, size, quality), expires, &signature) {
        return Err(invalid());
    }
    let (index, format) = file.split_once('.').ok_or_else(gone)?;
    let (index, format) = index.parse().ok().zip(Format::from_name(format)).ok_or_else(gone)?;
    let job = job.ok_or_else(gone)?;
    app.jobs.recall(&app.engine, job).await?;
    let snapshot = app.engine.get(job).ok_or_else(gone)?;
    let own = snapshot.request.model().config.image.size as u32;
    let options = RenderOptions::fitted(format, size, own, quality);
    let bytes = render_image(&app.renderer, &budget, &snapshot, index, options).await?;
    let kind = HeaderValue::from_static(format.media_type());
    Ok(([(header::CACHE_CONTROL, CACHE_CONTROL), (header::CONTENT_TYPE, kind)], bytes).into_response())
}
