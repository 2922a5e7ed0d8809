//! Drawing the images of a request, each as a job of its own, so that each can be drawn again by its seed.

use axum::Json;
use axum::body::Bytes;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::image_request::{ImageRequest, Kind};
use super::infotext::{self, SAMPLER};
use super::models;
use super::response::{Images, Info};
use crate::engine::{Event, JobId, Request, Snapshot, Status};
use crate::picture::encode_png_with_parameters;
use crate::queue::AnyEngine;
use crate::web::access::{Budget, Client};
use crate::web::files::{decode, render_memory};
use crate::web::headers::{NO_STORE, append_warnings};
use crate::web::jobs::{CancelOnDrop, Submission, completed};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// An image that was drawn, or as far as it was when the client interrupted it.
struct ImageResult {
    snapshot: Snapshot,
    /// In the model's size.
    png: Bytes,
    /// Its last step, if it was interrupted.
    interrupted_at: Option<usize>,
}

/// Pixels of a picture.
pub(super) fn pixels(request: &ImageRequest) -> u64 {
    let (width, height) = request.options.size(request.job.model().config.image.size as u32);
    u64::from(width) * u64::from(height)
}

/// Submits the jobs of a request, whose cost has been charged, and answers with their images. `job` is that of the first.
pub(super) async fn answer(
    app: &AppState,
    client: Client,
    budget: &Budget,
    request: ImageRequest,
    job: Request,
) -> Result<Response, Problem> {
    let running = app.a1111.begin(&client, request.kind.name(), request.count);
    let mut jobs = Vec::new();
    for index in 0..request.count {
        let submission = Submission {
            request: job.clone().with_seed(job.seed() + u64::from(index))?,
            client: client.clone(),
            format: request.pictures,
            key: None,
            resumable: false,
        };
        let id = app.jobs.submit(&app.engine, submission).await?.id;
        jobs.push(CancelOnDrop::new(&app.engine, id));
        if running.add(id) {
            app.engine.cancel(id).await?;
            break;
        }
    }
    let (mut images, mut interrupted) = (Vec::new(), None);
    for job in &jobs {
        match wait(&app.engine, job.id).await? {
            Ok(image) => images.push(image),
            Err(problem) => interrupted = Some(problem),
        }
    }
    drop(running);
    match (interrupted, images.is_empty()) {
        (Some(problem), true) => Err(problem),
        _ => respond(app, budget, request, &images).await,
    }
}

/// Waits for a job's end. Of one that was canceled, the last preview is its image, or the inner error if there is none.
async fn wait(engine: &AnyEngine, id: JobId) -> Result<Result<ImageResult, Problem>, Problem> {
    let subscription = engine.subscribe(id, 0);
    let mut subscription = subscription.ok_or_else(|| Problem::not_found("The generation has expired."))?;
    let mut preview = None;
    while let Some((_, event)) = subscription.next().await {
        if let Event::Step(progress) = &*event
            && let Some(shown) = progress.images.first().and_then(|image| image.preview.as_ref())
        {
            preview = Some((progress.step, shown.clean.clone()));
        }
    }
    let snapshot = subscription.snapshot();
    if snapshot.status == Status::Canceled {
        return Ok(match preview {
            Some((step, png)) => Ok(ImageResult { snapshot, png, interrupted_at: Some(step) }),
            None => Err(completed(engine, &subscription).err().unwrap_or_else(no_image)),
        });
    }
    let snapshot = completed(engine, &subscription)?;
    let png = snapshot.images.first().map(|image| image.png.clone()).ok_or_else(no_image)?;
    Ok(Ok(ImageResult { snapshot, png, interrupted_at: None }))
}

fn no_image() -> Problem {
    Problem::generation_failed(Some("The generation has no image.".into()))
}

async fn respond(
    app: &AppState,
    budget: &Budget,
    request: ImageRequest,
    drawn: &[ImageResult],
) -> Result<Response, Problem> {
    let texts: Vec<String> = drawn.iter().map(|image| infotext_of(&request, image)).collect();
    let mut images = Vec::new();
    if request.draft.send_images {
        for (image, text) in drawn.iter().zip(&texts) {
            images.push(STANDARD.encode(render(app, budget, &request, image, text).await?));
        }
    }
    let seeds = drawn.iter().map(|image| image.snapshot.request.seed()).collect();
    let mut warnings = request.draft.warnings.clone();
    if drawn.iter().any(|image| image.interrupted_at.is_some()) || drawn.len() < request.count as usize {
        warnings.push("The request was interrupted: its images are not finished.".into());
    }
    let info = Info::new(&request, seeds, texts).to_text();
    let answer = Images { images, parameters: request.parameters, info, warnings: warnings.clone() };
    let mut response = ([NO_STORE], Json(answer)).into_response();
    append_warnings(response.headers_mut(), &warnings);
    Ok(response)
}

/// A picture in the size that was asked for, as a PNG file with its settings.
async fn render(
    app: &AppState,
    budget: &Budget,
    request: &ImageRequest,
    image: &ImageResult,
    text: &str,
) -> Result<Bytes, Problem> {
    let (options, png, text) = (request.options, image.png.clone(), text.to_owned());
    // What was interrupted isn't what these settings draw.
    let provenance = image.interrupted_at.is_none().then(|| {
        let tokens = image.snapshot.images.first().and_then(|image| image.tokens.as_deref());
        image.snapshot.request.provenance(0, tokens).of_sheet(1, options.scale)
    });
    let work = move || {
        let picture = options.resize(&decode(&png)?);
        encode_png_with_parameters(&picture, provenance.as_ref(), &text)
    };
    app.renderer.run(budget.client(), render_memory(pixels(request)), work).await
}

/// The settings of an image for other programs.
fn infotext_of(request: &ImageRequest, image: &ImageResult) -> String {
    let job = &image.snapshot.request;
    let (model, settings) = (job.model(), job.settings().options());
    let (width, height) = request.options.size(model.config.image.size as u32);
    let mut pairs = vec![
        ("Steps", model.steps().to_string()),
        ("Sampler", SAMPLER.to_owned()),
        ("CFG scale", settings.guidance.to_string()),
        ("Seed", job.seed().to_string()),
        ("Size", format!("{width}x{height}")),
        ("Model hash", models::hash(model).to_owned()),
        ("Model", model.name().to_owned()),
    ];
    if request.kind == Kind::ImageToImage {
        pairs.push(("Denoising strength", request.draft.strength.to_string()));
    }
    if let Some(style) = &settings.style {
        pairs.push(("Style", style.clone()));
    }
    if let Some(step) = image.interrupted_at {
        pairs.push(("Interrupted at step", step.to_string()));
    }
    pairs.push(("Version", format!("rdpm {}", env!("CARGO_PKG_VERSION"))));
    infotext::write(&request.draft.prompt, &pairs)
}
