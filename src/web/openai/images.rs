//! `POST /v1/images/generations`.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::image_file::signed_link;
use super::image_request::{self, Body, ImageRequest};
use super::image_stream;
use super::response::{Image, Images, Kind, Usage};
use crate::engine::{Request, Snapshot};
use crate::request::GenerationRequest;
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::render_image;
use crate::web::headers::{NO_STORE, append_warnings};
use crate::web::jobs::{CancelOnDrop, Submission, wait_until_completed};
use crate::web::problem::Problem;
use crate::web::request::{Query, SmallBody, base_url};
use crate::web::state::AppState;
use crate::web::unix_time::unix_time;

/// Generate images
///
/// OpenAI's clients work unchanged: set their `base_url` to `/v1`, and any `api_key` where the server needs none.
/// What was adapted or ignored is in `warnings` and in the header `Rdpm-Warning`.
/// With `stream`, server-sent events: `image_generation.partial_image` (a `PartialImageEvent`) for each preview that
/// `partial_images` asks for, then `image_generation.completed` (a `CompletedEvent`). When the client disconnects before the
/// end, the generation is canceled.
#[utoipa::path(
    post,
    path = "/v1/images/generations",
    operation_id = "openaiGenerateImages",
    tag = "OpenAI",
    request_body = Body,
    responses((
        status = 200, description = "The images, or their events",
        headers(("Rdpm-Warning" = Option<String>, description = "What was adapted or ignored; once for each warning")),
        content((Images = "application/json"), (String = "text/event-stream")),
    )),
)]
pub(super) async fn generate(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    headers: HeaderMap,
    query: Query,
    body: SmallBody,
) -> Result<Response, Problem> {
    respond(app, client, budget, headers, query, body, None).await
}

/// `POST /openai/deployments/{model}/images/generations`, which is Azure's address.
pub(super) async fn generate_for_deployment(
    State(app): State<AppState>,
    Path(deployment): Path<String>,
    client: Client,
    budget: Budget,
    headers: HeaderMap,
    query: Query,
    body: SmallBody,
) -> Result<Response, Problem> {
    respond(app, client, budget, headers, query, body, Some(deployment)).await
}

async fn respond(
    app: AppState,
    client: Client,
    budget: Budget,
    headers: HeaderMap,
    mut query: Query,
    body: SmallBody,
    deployment: Option<String>,
) -> Result<Response, Problem> {
    // Azure's clients send the version of its API.
    query.take("api-version", "text", |version| Some(version.to_owned()));
    query.finish()?;
    let request = image_request::read(&headers, &body.0, &app.engine, &app.model_aliases, deployment)?;
    let GenerationRequest { job, .. } = &request.generation;
    let job = job.clone().with_previews(request.partial_images > 0);
    budget.charge(cost(&request))?;
    answer(app, client, &budget, &request, job, &headers).await
}

/// Submits a job, whose cost has been charged, and answers with its images or their events.
pub(super) async fn answer(
    app: AppState,
    client: Client,
    budget: &Budget,
    request: &ImageRequest,
    job: Request,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let permit = if request.stream { Some(app.event_streams.acquire(budget.client())?) } else { None };
    let pictures = request.generation.pictures;
    let submission = Submission { request: job, client, format: pictures, key: None, resumable: false };
    let id = app.jobs.submit(&app.engine, submission).await?.id;
    let guard = CancelOnDrop::new(&app.engine, id);
    let mut response = if let Some(permit) = permit {
        image_stream::respond(app, budget, permit, guard, request)?
    } else {
        let snapshot = wait_until_completed(&app.engine, id).await?;
        let images = images(&app, &budget.paid(), &snapshot, request, headers).await?;
        ([NO_STORE], Json(images)).into_response()
    };
    append_warnings(response.headers_mut(), &request.warnings);
    Ok(response)
}

/// The images, and the pictures that are made of them and of previews.
pub(super) fn cost(request: &ImageRequest) -> Cost {
    let (job, options) = (&request.generation.job, request.options);
    let (width, height) = options.size(job.model().config.image.size as u32);
    let pictures = u64::from(job.count()) + u64::from(request.partial_images);
    Cost::images(job.count()).and(Cost::pixels(pictures * u64::from(width) * u64::from(height)))
}

async fn images(
    app: &AppState,
    paid: &Budget,
    snapshot: &Snapshot,
    request: &ImageRequest,
    headers: &HeaderMap,
) -> Result<Images, Problem> {
    let info = snapshot.request.model();
    let own = info.config.image.size as u32;
    let mut data = Vec::with_capacity(snapshot.images.len());
    for image in &snapshot.images {
        let (mut url, mut b64_json) = (None, None);
        if request.urls {
            let link = signed_link(app, snapshot.id, image.index, own, request.options);
            url = Some(format!("{}{link}", base_url(headers).unwrap_or_else(|| "http://localhost".into())));
        } else {
            let file = render_image(&app.renderer, paid, snapshot, image.index, request.options).await?;
            b64_json = Some(STANDARD.encode(file));
        }
        data.push(Image { url, b64_json, revised_prompt: snapshot.request.describe_image(image.index) });
    }
    Ok(Images {
        created: unix_time(SystemTime::now()),
        data,
        kind: Kind::new(info, request.options),
        usage: Usage::new(&snapshot.request),
        seed: snapshot.request.seed(),
        warnings: request.warnings.clone(),
    })
}
