//! `POST /v1/images/edits` and `POST /v1/images/variations`: forms with an image.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mediatype::MediaType;
use mediatype::names::{FORM_DATA, MULTIPART};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::image_request::{self, ImageRequest, Kind};
use super::images;
use super::response::Images;
use crate::engine::Request;
use crate::picture::{MaskFile, MaskRules};
use crate::queue::AnyEngine;
use crate::request::{FieldError, FieldErrors, GenerationRequest};
use crate::web::access::{Budget, Client};
use crate::web::model_alias::ModelAliases;
use crate::web::problem::Problem;
use crate::web::request::{Query, Upload, form_parts, has_media_type, open_image, open_mask};
use crate::web::state::AppState;

/// A form; further parts are those of `OpenAiImageRequest`.
#[derive(ToSchema)]
#[schema(as = OpenAiEditForm)]
#[allow(dead_code)] // Documentation of the form.
pub(super) struct EditForm {
    /// The image, as PNG, JPEG, WebP, GIF or BMP. One only.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// What to draw again: an image that is transparent there or, if it is opaque, white. Without a mask, the transparent part
    /// of `image`; if it is opaque, the whole image, from `from_step`.
    #[schema(value_type = String, format = Binary, required = false)]
    mask: Vec<u8>,
    /// Text that names the class to draw.
    prompt: String,
    #[schema(required = false)]
    model: String,
    /// Number of images.
    #[schema(required = false, minimum = 1, maximum = 16)]
    n: u32,
    #[schema(required = false)]
    size: String,
    #[schema(required = false)]
    response_format: String,
    #[schema(required = false)]
    output_format: String,
    #[schema(required = false)]
    stream: bool,
    #[schema(required = false, minimum = 0, maximum = 3)]
    partial_images: u32,
    /// Steps of the image that are kept (not OpenAI's): the more, the closer is the result.
    #[schema(required = false, minimum = 0)]
    from_step: u32,
    #[schema(required = false)]
    seed: u64,
}

/// A form.
#[derive(ToSchema)]
#[schema(as = OpenAiVariationForm)]
#[allow(dead_code)] // Documentation of the form.
pub(super) struct VariationForm {
    /// The image, as PNG, JPEG, WebP, GIF or BMP.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    #[schema(required = false)]
    model: String,
    /// Number of images.
    #[schema(required = false, minimum = 1, maximum = 16)]
    n: u32,
    #[schema(required = false)]
    size: String,
    #[schema(required = false)]
    response_format: String,
    /// Steps of the image that are kept (not OpenAI's): the more, the closer is the result. Half of them if omitted.
    #[schema(required = false, minimum = 1)]
    from_step: u32,
    #[schema(required = false)]
    seed: u64,
}

/// Edit an image
///
/// Draws the masked part of an image again, as the class that the prompt names. OpenAI's clients work unchanged. With
/// `stream`, server-sent events: `image_edit.partial_image` and `image_edit.completed`.
#[utoipa::path(
    post,
    path = "/v1/images/edits",
    operation_id = "openaiEditImage",
    tag = "OpenAI",
    request_body(content((EditForm = "multipart/form-data"))),
    responses((
        status = 200, description = "The images, or their events",
        headers(("Rdpm-Warning" = Option<String>, description = "What was adapted or ignored; once for each warning")),
        content((Images = "application/json"), (String = "text/event-stream")),
    )),
)]
pub(super) async fn edit(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    respond(app, client, budget, query, upload, Kind::Edit).await
}

/// Vary an image
///
/// Draws the last steps of an image again. There is no prompt, so the class isn't considered.
#[utoipa::path(
    post,
    path = "/v1/images/variations",
    operation_id = "openaiVaryImage",
    tag = "OpenAI",
    request_body(content((VariationForm = "multipart/form-data"))),
    responses((
        status = 200, description = "The images",
        headers(("Rdpm-Warning" = Option<String>, description = "What was adapted or ignored; once for each warning")),
        body = Images,
    )),
)]
pub(super) async fn vary(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    respond(app, client, budget, query, upload, Kind::Variation).await
}

/// A form's parts: the request and its files.
struct Form {
    request: ImageRequest,
    image: Bytes,
    mask: Option<Bytes>,
}

async fn respond(
    app: AppState,
    client: Client,
    budget: Budget,
    mut query: Query,
    upload: Upload,
    kind: Kind,
) -> Result<Response, Problem> {
    // Azure's clients send the version of its API.
    query.take("api-version", "text", |version| Some(version.to_owned()));
    query.finish()?;
    let (engine, aliases) = (app.engine.clone(), Arc::clone(&app.model_aliases));
    let read = upload.read(move |headers, body| read_form(headers, body, &engine, &aliases, kind));
    let (upload, Form { mut request, image, mask }) = read.await?;
    let GenerationRequest { job, .. } = &request.generation;
    let job = job.clone().with_previews(request.partial_images > 0);
    let job = start_from(&app, &budget, job, &mut request, image, mask).await?;
    let headers = upload.headers.clone();
    drop(upload);
    images::answer(app, client, &budget, &request, job, &headers).await
}

/// The job that starts from the image.
async fn start_from(
    app: &AppState,
    budget: &Budget,
    job: Request,
    request: &mut ImageRequest,
    image: Bytes,
    mask: Option<Bytes>,
) -> Result<Request, Problem> {
    let (model, side) = (job.model().clone(), job.model().config.latent.grid);
    let half = model.config.steps() as u64 / 2;
    let file = Vec::from(image);
    // Large masks have been refused; large images are opaque for this.
    let own_mask = match mask {
        None if request.kind == Kind::Edit => {
            let file = file.clone();
            app.image_decoders.run(budget.client(), 0, move || Ok(MaskFile::open(file).ok())).await?
        }
        _ => None,
    };
    let (size, image) =
        open_image(&app.image_decoders, budget, images::cost(request), file, "image", &model).await?;
    let free = match (mask, own_mask) {
        (Some(mask), _) => {
            let (free, warning) =
                open_mask(&app.image_decoders, budget, mask.into(), MaskRules::default(), size, &model)
                    .await?;
            request.warnings.extend(warning);
            Some(free)
        }
        (None, Some(own)) => {
            let cells = app
                .image_decoders
                .run(budget.client(), own.memory(), move || Ok(own.transparent_cells(side)));
            cells.await?.ok().flatten()
        }
        (None, None) => None,
    };
    match free {
        Some(free) => Ok(job.with_edit(&image, request.from_step.unwrap_or(0), free)?),
        None => Ok(job.with_init_image(&image, request.from_step.unwrap_or(half))?),
    }
}

fn read_form(
    headers: &HeaderMap,
    body: &Bytes,
    engine: &AnyEngine,
    aliases: &ModelAliases,
    kind: Kind,
) -> Result<Form, Problem> {
    if !has_media_type(headers, &MediaType::new(MULTIPART, FORM_DATA)) {
        let detail = "Send a form with the header Content-Type: multipart/form-data, and the image as its part `image`.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let (mut values, mut images, mut mask, mut errors) =
        (Map::new(), Vec::new(), None, FieldErrors::default());
    for (name, content) in form_parts(headers, body.clone())? {
        match name.as_str() {
            "image" | "image[]" => images.push(content),
            // An empty file is no mask.
            "mask" if content.is_empty() => {}
            "mask" if kind == Kind::Edit => mask = Some(content),
            _ if values.contains_key(&name) => {
                errors.push(|| FieldError::new(&name, Value::Null, "the part once"));
            }
            _ => {
                let text = String::from_utf8_lossy(&content);
                values.insert(name.clone(), image_request::form_value(&name, &text));
            }
        }
    }
    match images.len() {
        1 => {}
        0 => errors.push(|| FieldError::new("image", Value::Null, "a file as the part image")),
        count => {
            let sent = format!("{count} images");
            errors.push(|| {
                FieldError::new("image", sent.into(), "one image: this model doesn't combine several")
            });
        }
    }
    errors.into_result()?;
    let request = image_request::from_values(values, engine, aliases, None, kind)?;
    Ok(Form { request, image: images.remove(0), mask })
}
