//! `POST /sdapi/v1/txt2img` and `POST /sdapi/v1/img2img`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use super::draw;
use super::fields::{ImageToImageBody, TextToImageBody};
use super::image_request::{self, ImageRequest, Kind};
use super::response::Images;
use crate::engine::Request;
use crate::picture::MaskRules;
use crate::web::access::{Budget, Client, Cost};
use crate::web::problem::Problem;
use crate::web::request::{Upload, open_image, open_mask, read_json_object};
use crate::web::state::AppState;

/// Generate images
///
/// AUTOMATIC1111's clients work unchanged: give them the address of this server. Image i has the seed `seed` + i. What was
/// adapted or ignored is in `warnings` and in the header `Rdpm-Warning`. When the client disconnects before the end, the
/// generation is canceled.
#[utoipa::path(
    post,
    path = "/sdapi/v1/txt2img",
    operation_id = "a1111TextToImage",
    tag = "AUTOMATIC1111",
    request_body = TextToImageBody,
    responses((
        status = 200, description = "The images",
        headers(("Rdpm-Warning" = Option<String>, description = "What was adapted or ignored; once for each warning")),
        body = Images,
    )),
)]
pub(super) async fn text_to_image(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    upload: Upload,
) -> Result<Response, Problem> {
    let (upload, request) = read(&app, &client, upload, Kind::TextToImage).await?;
    drop(upload);
    budget.charge(cost(&request))?;
    let job = request.job.clone();
    draw::answer(&app, client, &budget, request, job).await
}

/// Vary or edit an image
///
/// Draws the last steps of an image again, as many as `denoising_strength` says, and with `mask` that part only.
#[utoipa::path(
    post,
    path = "/sdapi/v1/img2img",
    operation_id = "a1111ImageToImage",
    tag = "AUTOMATIC1111",
    request_body = ImageToImageBody,
    responses((
        status = 200, description = "The images",
        headers(("Rdpm-Warning" = Option<String>, description = "What was adapted or ignored; once for each warning")),
        body = Images,
    )),
)]
pub(super) async fn image_to_image(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    upload: Upload,
) -> Result<Response, Problem> {
    let (upload, mut request) = read(&app, &client, upload, Kind::ImageToImage).await?;
    let job = start_from(&app, &budget, &mut request).await?;
    drop(upload);
    draw::answer(&app, client, &budget, request, job).await
}

async fn read(
    app: &AppState,
    client: &Client,
    upload: Upload,
    kind: Kind,
) -> Result<(Upload, ImageRequest), Problem> {
    let (engine, aliases, chosen) =
        (app.engine.clone(), Arc::clone(&app.model_aliases), app.a1111.choice(client));
    let read = upload.read(move |headers, body| {
        let values = read_json_object(headers, body)?;
        image_request::from_values(values, &engine, &aliases, chosen.as_deref(), kind)
    });
    read.await
}

/// The job of the first image, which starts from the one that was sent.
async fn start_from(app: &AppState, budget: &Budget, request: &mut ImageRequest) -> Result<Request, Problem> {
    let model = request.job.model().clone();
    let file = request.draft.init_image.take().unwrap_or_default();
    let decoders = &app.image_decoders;
    let (size, image) = open_image(decoders, budget, cost(request), file, "init_images", &model).await?;
    let steps = model.steps() as u64;
    let redrawn = ((request.draft.strength * steps as f64).round() as u64).clamp(1, steps);
    let job = request.job.clone();
    let Some(mask) = request.draft.mask.take() else {
        return Ok(job.with_init_image(&image, (steps - redrawn).max(1))?);
    };
    let rules = MaskRules { opaque: true, inverted: request.draft.is_mask_inverted };
    let (free, warning) = open_mask(decoders, budget, mask, rules, size, &model).await?;
    if let Some(warning) = warning {
        request.draft.warn(warning);
    }
    Ok(job.with_edit(&image, steps - redrawn, free)?)
}

/// The images, and the pictures that are made of them.
fn cost(request: &ImageRequest) -> Cost {
    let pixels = if request.draft.send_images { draw::pixels(request) } else { 0 };
    Cost::images(request.count).and(Cost::pixels(u64::from(request.count) * pixels))
}
