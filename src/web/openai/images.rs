//! `POST /v1/images/generations`.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::image_request::{self, Body, ImageRequest};
use super::image_stream;
use super::response::{Image, Images, Kind, Usage, unix_time};
use crate::engine::Snapshot;
use crate::picture::Format;
use crate::request::GenerationRequest;
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::{RenderOptions, render_image};
use crate::web::jobs::{CancelOnDrop, wait_until_completed};
use crate::web::problem::Problem;
use crate::web::request::{BODY_LIMIT, Query, whole_body};
use crate::web::state::AppState;

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// Generate images
///
/// OpenAI's clients work unchanged: set their `base_url` to `/v1`, and any `api_key` where the server needs none.
/// With `stream`, server-sent events: `image_generation.partial_image` (a `PartialImageEvent`) for each preview that
/// `partial_images` asks for, then `image_generation.completed` (a `CompletedEvent`). When the client disconnects before the
/// end, the generation is canceled.
#[utoipa::path(
    post,
    path = "/v1/images/generations",
    operation_id = "openaiGenerateImages",
    tag = "OpenAI",
    request_body = Body,
    responses((status = 200, content((Images = "application/json"), (String = "text/event-stream")))),
)]
pub(super) async fn generate(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    headers: HeaderMap,
    query: Query,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = whole_body(body, BODY_LIMIT)?;
    query.finish()?;
    let request = image_request::read(&headers, &body, &app.engine)?;
    let GenerationRequest { job, pictures, .. } = &request.generation;
    let job = job.clone().with_previews(request.partial_images > 0);
    budget.charge(cost(&request))?;
    let permit = if request.stream { Some(app.event_streams.acquire()?) } else { None };
    let id = app.jobs.submit(&app.engine, job, client, *pictures, None)?;
    let guard = CancelOnDrop::new(&app.engine, id);
    if let Some(permit) = permit {
        return image_stream::respond(app, permit, guard, request.options, request.partial_images);
    }
    let snapshot = wait_until_completed(&app.engine, id).await?;
    let images = images(&app, &snapshot, &request, &headers).await?;
    Ok(([NO_STORE], Json(images)).into_response())
}

/// The images, and the pictures that are made of them and of previews.
fn cost(request: &ImageRequest) -> Cost {
    let (job, options) = (&request.generation.job, request.options);
    let side = job.model().config.image.size as u64 * u64::from(options.scale);
    let pictures = u64::from(job.count()) + u64::from(request.partial_images);
    Cost::images(job.count()).and(Cost::pixels(pictures * side * side))
}

async fn images(
    app: &AppState,
    snapshot: &Snapshot,
    request: &ImageRequest,
    headers: &HeaderMap,
) -> Result<Images, Problem> {
    let info = snapshot.request.model();
    let class = info.config.classes.get(snapshot.request.settings().class());
    let base = base_url(headers);
    let mut data = Vec::with_capacity(snapshot.images.len());
    for image in &snapshot.images {
        let file = match request.urls {
            true => None,
            false => Some(
                render_image(&app.renderer, &Budget::PAID, snapshot, image.index, request.options).await?,
            ),
        };
        let RenderOptions { format, scale, .. } = request.options;
        let url = || {
            let own = format!("{base}/api/v1/generations/{}/images/{}", snapshot.id, image.index);
            format!("{own}.{}?scale={scale}", Format::name(format))
        };
        data.push(Image {
            url: file.is_none().then(url),
            b64_json: file.map(|file| STANDARD.encode(file)),
            revised_prompt: class.cloned().unwrap_or_default(),
        });
    }
    Ok(Images {
        created: unix_time(),
        data,
        kind: Kind::new(info, request.options),
        usage: Usage::new(info, snapshot.request.count()),
        seed: snapshot.request.seed(),
    })
}

/// The address by which the client reached the server. A wrong header only affects the client that sent it.
fn base_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}
