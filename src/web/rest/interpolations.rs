//! `POST /api/v1/interpolations`: images between two others.

use axum::extract::State;
use axum::response::Response;
use utoipa::ToSchema;

use super::answer::{Answer, check_cost};
use super::generation::{Accepted, Generation};
use crate::engine::Request;
use crate::model::{ImageSeed, Interpolation, InterpolationEnd};
use crate::picture::InputImage;
use crate::request::{EndRequest, EndSource, FieldErrors, InterpolationRequest};
use crate::web::access::{Budget, Client, Cost, root_path};
use crate::web::jobs::{IdempotencyKey, draw};
use crate::web::problem::Problem;
use crate::web::request::{
    Query, Representation, Upload, decode_image, inspect_image, negotiate, pixel_cost, read_json_object,
};
use crate::web::state::AppState;

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[schema(as = InterpolationRequest)]
#[allow(dead_code)]
pub(super) struct Body {}

/// Interpolate between two pictures
///
/// Draws `frames` images from the picture `a` to the picture `b`: those of seeds, images, token files, or images of earlier
/// generations. The answer is that of `createGeneration`: a generation with these images in their order. Its events, its
/// sheet and its cancellation are the same; `animation.gif?which=images` is the film of the images.
///
/// The first image is `a` and the last is `b`. The picture of a seed is the one that a generation with the same settings has.
/// Where an end must be drawn first, the answer waits for that.
#[utoipa::path(
    post,
    path = "/api/v1/interpolations",
    operation_id = "createInterpolation",
    tag = "Generations",
    params(
        ("wait" = Option<bool>, Query, description = "Whether to answer when the images are done, instead of at once."),
        (
            "Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$",
            description = "Makes retries safe, as for `createGeneration`.",
        ),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "A secret token of the client's choice, as for `createGeneration`.",
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
    let read = upload.read(|headers, body| {
        let values = read_json_object(headers, body)?;
        let key = IdempotencyKey::read(headers, &values);
        Ok((values, key))
    });
    let (upload, (values, key)) = read.await?;
    for id in InterpolationRequest::generations(&values) {
        app.jobs.recall(&app.engine, id).await?;
    }
    let engine = app.engine.clone();
    let read = upload
        .read(move |_, _| Ok(InterpolationRequest::read(engine.models(), |id| engine.get(id), values)?));
    let (upload, request) = read.await?;
    let InterpolationRequest { job, kind, ends: [mut a, mut b], previews, pictures } = request;
    let headers = &upload.headers;
    let representation = negotiate(headers, pictures.format)?;
    let key = key?;
    let mut cost = check_cost(&job, representation, pictures)?;
    let (image_a, image_b) = (inspect(&app, &budget, &mut a).await?, inspect(&app, &budget, &mut b).await?);
    for (end, image) in [(&a, &image_a), (&b, &image_b)] {
        cost = cost.and(Cost::images(u32::from(is_made(end, kind))));
        cost = image.iter().map(pixel_cost).fold(cost, Cost::and);
    }
    // At once: a request that costs more than the client may have at once needs all of that.
    budget.charge(cost)?;
    let waits = wait || representation != Representation::Json;
    let job = job.with_previews(previews.unwrap_or(!waits));
    let root = root_path(headers).to_owned();
    let budget = budget.paid();
    let ends = tokio::try_join!(
        end(&app, &client, &budget, &job, kind, (a, image_a)),
        end(&app, &client, &budget, &job, kind, (b, image_b))
    );
    drop(upload);
    let (a, b) = ends?;
    let job = job.with_interpolation([a, b], kind)?;
    let answer = Answer { waits, representation, pictures, key, warnings: Vec::new(), webhook: None };
    answer.submit(&app, client, &budget, &root, job).await
}

/// Whether an end has to be drawn or encoded.
fn is_made(end: &EndRequest, kind: Interpolation) -> bool {
    match end.source {
        EndSource::Seed(_) => kind != Interpolation::Step(0),
        EndSource::Image(_) => true,
        EndSource::Tokens { .. } => false,
    }
}

/// The uploaded image of an end, if it is one.
///
/// # Errors
/// 422 for a file that isn't an image.
async fn inspect(
    app: &AppState,
    budget: &Budget,
    end: &mut EndRequest,
) -> Result<Option<InputImage>, Problem> {
    let EndSource::Image(file) = &mut end.source else { return Ok(None) };
    let image = inspect_image(&app.image_decoders, budget, std::mem::take(file), "image").await;
    image.map(Some).map_err(|problem| of_end(problem, end.name))
}

/// A picture at an end, drawn or encoded if need be, which has been charged.
///
/// # Errors
/// 422 for an image that can't be decoded; those of drawing and encoding.
async fn end(
    app: &AppState,
    client: &Client,
    budget: &Budget,
    job: &Request,
    kind: Interpolation,
    (end, image): (EndRequest, Option<InputImage>),
) -> Result<InterpolationEnd, Problem> {
    let must_make = is_made(&end, kind);
    let EndRequest { name, settings, source } = end;
    let model = job.model();
    let (noise, grids) = match (source, image) {
        (EndSource::Tokens { noise, grids }, _) => (noise, grids),
        // Its noise is enough.
        (EndSource::Seed(noise), _) if !must_make => (noise, Vec::new()),
        (EndSource::Seed(noise), _) => {
            let request = Request::new(model, settings.clone(), noise.seed)?;
            let request = request.with_first(noise.index).with_previews(false);
            // Not one of the client's generations: it is a part of one.
            let snapshot = draw(&app.engine, client, budget, request).await?;
            let grids = snapshot.images.first().and_then(|image| image.tokens.as_deref());
            (noise, grids.unwrap_or_default().to_vec())
        }
        (EndSource::Image(_), None) => (ImageSeed::new(job.seed(), 0), Vec::new()),
        (EndSource::Image(_), Some(image)) => {
            let decoded = decode_image(&app.image_decoders, budget, image, "image", model).await;
            let image = decoded.map_err(|problem| of_end(problem, name))?;
            let tokenized = app.engine.tokenize(model, image, job.seed()).await?;
            (ImageSeed::new(job.seed(), 0), tokenized.steps.into_iter().map(|step| step.tokens).collect())
        }
    };
    Ok(InterpolationEnd { settings, noise, grids })
}

/// The same problem of a field of an end.
fn of_end(problem: Problem, end: &str) -> Problem {
    match problem.errors.as_slice() {
        [error] => Problem::invalid(FieldErrors::from(error.clone()).within(end)),
        _ => problem,
    }
}
