//! `POST /api/v1/generations`.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;

use super::answer::{Answer, check_cost};
use super::generation::{Accepted, Generation};
use crate::request::{Branch, FreeCells, GENERATION_FIELDS, GenerationRequest};
use crate::web::access::{Budget, Client, root_path};
use crate::web::jobs::IdempotencyKey;
use crate::web::problem::Problem;
use crate::web::request::{
    Query, Representation, Upload, is_form, negotiate, read_json_object, read_multipart, starting_job,
};
use crate::web::state::AppState;

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[schema(as = GenerationRequest)]
#[allow(dead_code)]
pub(super) struct Body {}

/// Generate images
///
/// Answers **202** with the new generation at once, whose `links` lead to its state and its events. With `?wait=true` it
/// answers **200** with the finished generation, and with `Accept: image/png`, `image/webp` or `image/jpeg` with the
/// picture itself: one image, or a sheet of all. When the client disconnects while it waits, the generation is canceled,
/// unless the request has an `Idempotency-Key`, so that it can be sent again.
///
/// The same seed and settings give the same picture, alone or in any batch.
///
/// With `image`, `from` or `tokens` the images don't start from noise: variations, edits of a part, branches of earlier
/// images. A form (`multipart/form-data`) may have the files as its parts `image` and `mask`.
#[utoipa::path(
    post,
    path = "/api/v1/generations",
    operation_id = "createGeneration",
    tag = "Generations",
    params(
        ("wait" = Option<bool>, Query, description = "Whether to answer when the generation is done, instead of at once."),
        (
            "Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$",
            description = "Makes retries safe: the same key with the same body gives the same generation, until that \
                expires. The same key with another body is an error.",
        ),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "A secret token of the client's choice, with which it can list its generations, and without which nobody can cancel them.",
        ),
    ),
    request_body = Body,
    responses(
        (
            status = 202, description = "Accepted", body = Accepted,
            headers(("Location" = String, description = "The generation's address")),
        ),
        (
            status = 200, description = "Done",
            headers(
                ("Rdpm-Seed" = Option<u64>, description = "The seed, where the answer is a picture"),
                ("Content-Location" = Option<String>, description = "The picture's own address"),
            ),
            content(
                (Generation = "application/json"),
                (Vec<u8> = "image/png"),
                (Vec<u8> = "image/webp"),
                (Vec<u8> = "image/jpeg"),
            ),
        ),
    ),
)]
pub(super) async fn create(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    mut query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    let wait = query.take("wait", "true or false", |value| value.parse().ok()).unwrap_or(false);
    query.finish()?;
    let engine = app.engine.clone();
    let read = upload.read(move |headers, body| {
        let is_form = is_form(headers);
        let (values, files) = match is_form {
            true => {
                let form = read_multipart(headers, body.clone(), GENERATION_FIELDS)?;
                (form.values, form.images)
            }
            false => (read_json_object(headers, body)?, HashMap::new()),
        };
        // The files of a form aren't part of the values.
        let idempotency_key = if is_form { Ok(None) } else { IdempotencyKey::read(headers, &values) };
        Ok((values, files, idempotency_key))
    });
    let (upload, (values, mut files, idempotency_key)) = read.await?;
    if let Some(id) = Branch::generation(&values) {
        app.jobs.recall(&app.engine, id).await?;
    }
    let read = upload.read(move |_, _| {
        let mut request = GenerationRequest::read(engine.models(), |id| engine.get(id), values)?;
        if let (Some(init), Some(file)) = (&mut request.init_image, files.remove("image")) {
            init.file = file.into();
        }
        if let (Some(FreeCells::Mask(mask)), Some(file)) = (&mut request.free, files.remove("mask")) {
            *mask = file.into();
        }
        Ok(request)
    });
    let (upload, request) = read.await?;
    let headers = &upload.headers;
    let webhook = request.webhook.as_deref().map(|address| app.webhooks.check(address));
    let webhook = webhook.transpose().map_err(Problem::invalid)?;
    let (pictures, previews) = (request.pictures, request.previews);
    let representation = negotiate(headers, pictures.format)?;
    let cost = check_cost(&request.job, representation, pictures)?;
    let waits = wait || representation != Representation::Json;
    let idempotency_key = idempotency_key?;
    let (job, warnings) = starting_job(&app.image_decoders, &budget, cost, request).await?;
    // A client that waits for the end doesn't see the steps.
    let job = job.with_previews(previews.unwrap_or(!waits));
    let root = root_path(headers).to_owned();
    drop(upload);

    let answer = Answer { waits, representation, pictures, key: idempotency_key, warnings, webhook };
    answer.submit(&app, client, &budget, &root, job).await
}
