//! Pictures as resources: `rdpm://generations/ID/images/N.png`.

use axum::body::Bytes;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rmcp::ErrorData;
use rmcp::model::{
    ErrorCode, ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};

use super::caller::Caller;
use super::content::PNG;
use crate::engine::{JobId, Snapshot};
use crate::picture::Format;
use crate::request::shorten;
use crate::web::files::{JPEG_QUALITY, RenderOptions, render_image};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// What the addresses of pictures begin with.
pub(super) const SCHEME: &str = "rdpm://";
const TEMPLATE: &str = "rdpm://generations/{generation}/images/{image}.png";
/// Generations of a client whose pictures are listed at most.
const MAX_LISTED: u32 = 20;

/// A finished image of a job as a resource.
pub(super) fn picture(snapshot: &Snapshot, index: u32) -> Resource {
    let description = snapshot.request.describe_image(index);
    Resource::new(
        format!("rdpm://generations/{}/images/{index}.png", snapshot.id),
        format!("{}-{index}.png", snapshot.id),
    )
    .with_title(description)
    .with_mime_type(PNG)
}

/// The form of the addresses.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let template = ResourceTemplate::new(TEMPLATE, "picture")
        .with_title("Picture")
        .with_description("Image `image` (0, 1, …) of a generation, as long as the server keeps it.")
        .with_mime_type(PNG);
    ListResourceTemplatesResult::with_all_items(vec![template])
}

/// The caller's finished pictures, the newest generation first; none of a caller who has no key and no token, since others
/// may have its address.
pub(super) async fn list(app: &AppState, caller: &Caller) -> Result<ListResourcesResult, ErrorData> {
    if !caller.client.is_known() {
        return Ok(ListResourcesResult::default());
    }
    let jobs = app.jobs.jobs_of(&app.engine, &caller.client, MAX_LISTED).await.map_err(protocol_error)?;
    let pictures = jobs.iter().flat_map(|job| job.images.iter().map(|image| picture(job, image.index)));
    Ok(ListResourcesResult::with_all_items(pictures.collect()))
}

/// The picture at an address.
pub(super) async fn read(
    app: &AppState,
    caller: &Caller,
    uri: &str,
) -> Result<ReadResourceResult, ErrorData> {
    let file = read_picture(app, caller, uri).await.map_err(protocol_error)?;
    let contents = ResourceContents::blob(STANDARD.encode(&file), uri).with_mime_type(PNG);
    Ok(ReadResourceResult::new(vec![contents]))
}

/// The file at an address, in the size in which it was drawn.
///
/// # Errors
/// 404 where there is no such picture, or it is another client's.
pub(super) async fn read_picture(app: &AppState, caller: &Caller, uri: &str) -> Result<Bytes, Problem> {
    // The same for another client's picture as for none: nobody can find out which generations there are.
    let missing = || {
        Problem::not_found(format!(
            "There is no picture {} here. Pictures are {TEMPLATE}, and kept for a limited time.",
            shorten(uri)
        ))
    };
    let (job, index) = parse(uri).ok_or_else(missing)?;
    let is_known = app.jobs.recall(&app.engine, job).await?;
    if !is_known || !app.jobs.may_read(&app.engine, &caller.client, job) {
        return Err(missing());
    }
    let snapshot = app.engine.get(job).ok_or_else(missing)?;
    if !snapshot.images.iter().any(|image| image.index == index) {
        return Err(missing());
    }
    let scale = app.jobs.format(&app.engine, job).scale;
    let options = RenderOptions::scaled(Format::Png, scale, JPEG_QUALITY);
    render_image(&app.renderer, &caller.budget, &snapshot, index, options).await
}

fn parse(uri: &str) -> Option<(JobId, u32)> {
    let (job, file) = uri.strip_prefix("rdpm://generations/")?.split_once("/images/")?;
    let digits = file.strip_suffix(".png")?;
    // `parse` would take a sign.
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    Some((job.parse().ok()?, is_number.then(|| digits.parse().ok())??))
}

fn protocol_error(problem: Problem) -> ErrorData {
    let code = match problem.status {
        StatusCode::NOT_FOUND | StatusCode::GONE => ErrorCode::RESOURCE_NOT_FOUND,
        _ => ErrorCode::INTERNAL_ERROR,
    };
    let data = serde_json::to_value(&problem).ok();
    ErrorData::new(code, problem.detail, data)
}
