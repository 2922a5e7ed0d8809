//! `GET /api/v1/generations/{id}/events`: a job's events as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `queued` | `{"id", "status", "position", "eta_seconds"}`; position 1 is next, counted in jobs; the estimated time to its first image; sent again whenever the job has moved |
//! | `started` | `{"id", "status"}` |
//! | `step` | `{"step": 1..=T, "steps": T, "images": [{"index", "tokens", "entropy", "probability", "noisy", "clean"}]}`: the images that took this step; grids are h rows of w, entropies in bits, pictures `data:` URLs, left out where the request says `"previews": false`; with `"alternatives": true` each image also has `{"alternatives": {"codes", "probabilities", "ranks"}}`, grids of the most probable codes of each position, and of the rank of the code that was drawn; where codes were given, `{"given"}` says which |
//! | `redrawn` | `{"index", "first", "last"}`: steps of an image that don't hold any more and come again; only with `--queue` |
//! | `completed`, `failed`, `canceled` | the job as `GET` answers it; the last event |
//!
//! `id` counts up from 1. A stream starts with the first event or, where the request has `Last-Event-ID`, after that
//! one. Where nothing follows any more the answer is 204, which tells an `EventSource` to stop reconnecting.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response, sse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::generation::{Generation, Status};
use super::generations::find;
use crate::engine::{Event, Progress, RedrawnSteps, StepImage, Subscription};
use crate::model::Alternatives;
use crate::web::access::{LimitKey, root_path};
use crate::web::events::last_event_id;
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// Follow a generation
///
/// Server-sent events (`text/event-stream`): `queued` (a `QueuedEvent`), again whenever the generation has moved;
/// `started` (a `StartedEvent`); a `step` (a `StepEvent`) for each timestep of each image; at last `completed`, `failed` or
/// `canceled` with the `Generation`. A server with several workers sends `redrawn` (a `RedrawnEvent`) where another worker
/// took over an image and got other codes: the steps that it names come again. `id` counts up from 1; a stream begins after the event that `Last-Event-ID` names.
/// 204 where nothing follows any more, which tells an `EventSource` to stop.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}/events",
    operation_id = "followGeneration",
    tag = "Generations",
    params(
        ("id" = String, Path, description = "The generation's id"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event that was seen."),
    ),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "Nothing follows"),
    ),
)]
pub(super) async fn stream(
    State(app): State<AppState>,
    client: LimitKey,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?;
    let permit = app.event_streams.acquire(&client)?;
    let subscription = find(&app, &id, |id| app.engine.subscribe(id, after)).await?;
    if subscription.is_exhausted() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let state = (app, subscription, root_path(&headers).to_owned());
    let events = stream::unfold(state, |(app, mut subscription, root)| async move {
        let (number, event) = subscription.next().await?;
        let message = message(&app, &subscription, number, &event, &root);
        Some((message, (app, subscription, root)))
    });
    Ok(permit.stream(events))
}

fn message(
    app: &AppState,
    subscription: &Subscription,
    number: u64,
    event: &Event,
    root: &str,
) -> Result<sse::Event, axum::Error> {
    let config = &subscription.model().config;
    let message = sse::Event::default().id(number.to_string());
    let id = subscription.id().to_string();
    match event {
        Event::Queued(place) => {
            let eta_seconds = place.eta.as_secs_f64();
            let queued = QueuedEvent { id, status: Status::Queued, position: place.position, eta_seconds };
            message.event("queued").json_data(queued)
        }
        Event::Started => message.event("started").json_data(StartedEvent { id, status: Status::Running }),
        Event::Step(progress) => {
            message.event("step").json_data(StepEvent::new(progress, config.latent.grid, config.steps()))
        }
        Event::Redrawn(steps) => message.event("redrawn").json_data(RedrawnEvent::new(*steps)),
        // An ended job doesn't change any more: its state now is the state at this event.
        Event::Completed | Event::Failed { .. } | Event::Canceled => {
            let snapshot = subscription.snapshot();
            let format = app.jobs.format(&app.engine, snapshot.id);
            message.event(snapshot.status.as_str()).json_data(Generation::new(&snapshot, format).below(root))
        }
    }
}

/// Data of `queued`: where a waiting generation stands.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct QueuedEvent {
    id: String,
    status: Status,
    /// 1 is next, counted in generations.
    position: usize,
    /// Estimated seconds until its first image begins, from measured step times.
    eta_seconds: f64,
}

/// Data of `started`.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct StartedEvent {
    id: String,
    status: Status,
}

/// Data of `redrawn`: steps of an image that don't hold any more. They come again, with other codes.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct RedrawnEvent {
    index: u32,
    /// The first of the steps.
    first: usize,
    /// The last of them.
    last: usize,
}

impl RedrawnEvent {
    fn new(RedrawnSteps { index, first, last }: RedrawnSteps) -> Self {
        Self { index, first, last }
    }
}

/// Data of `step`: the images that took this step.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct StepEvent<'a> {
    /// 1 to `steps`.
    step: usize,
    steps: usize,
    images: Vec<StepOfImage<'a>>,
}

/// What a step did to an image. Grids are rows of numbers.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct StepOfImage<'a> {
    index: u32,
    /// The codes drawn.
    #[schema(value_type = Vec<Vec<u32>>)]
    tokens: Vec<&'a [u32]>,
    /// Entropy in bits of the distribution that each code was drawn from.
    #[schema(value_type = Vec<Vec<f32>>)]
    entropy: Vec<&'a [f32]>,
    /// Probability of the code that was drawn.
    #[schema(value_type = Vec<Vec<f32>>)]
    probability: Vec<&'a [f32]>,
    /// The most probable codes. Left out unless the request says `"alternatives": true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    alternatives: Option<Alternative<'a>>,
    /// Whether each code was given instead of drawn. Left out where none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Vec<bool>>>)]
    given: Option<Vec<&'a [bool]>>,
    /// The running latent, decoded: a PNG file as a `data:` URL. Left out where the request says `"previews": false`.
    #[serde(skip_serializing_if = "Option::is_none")]
    noisy: Option<String>,
    /// The same less its noise.
    #[serde(skip_serializing_if = "Option::is_none")]
    clean: Option<String>,
}

/// For each position, the most probable codes by falling probability, and the rank of the code that was drawn.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct Alternative<'a> {
    #[schema(value_type = Vec<Vec<Vec<u32>>>)]
    codes: Vec<Vec<&'a [u32]>>,
    #[schema(value_type = Vec<Vec<Vec<f32>>>)]
    probabilities: Vec<Vec<&'a [f32]>>,
    /// 1: the drawn code was the most probable one.
    #[schema(value_type = Vec<Vec<u32>>)]
    ranks: Vec<&'a [u32]>,
}

impl<'a> StepEvent<'a> {
    fn new(progress: &'a Progress, width: usize, steps: usize) -> Self {
        let images = progress.images.iter().map(|image| StepOfImage::new(image, width)).collect();
        Self { step: progress.step, steps, images }
    }
}

impl<'a> StepOfImage<'a> {
    fn new(image: &'a StepImage, width: usize) -> Self {
        Self {
            index: image.index,
            tokens: image.tokens.chunks(width).collect(),
            entropy: image.entropy.chunks(width).collect(),
            probability: image.probability.chunks(width).collect(),
            alternatives: image.alternatives.as_ref().map(|found| Alternative::new(found, width)),
            given: (!image.given.is_empty()).then(|| image.given.chunks(width).collect()),
            noisy: image.preview.as_ref().map(|preview| data_url(&preview.noisy)),
            clean: image.preview.as_ref().map(|preview| data_url(&preview.clean)),
        }
    }
}

impl<'a> Alternative<'a> {
    fn new(found: &'a Alternatives, width: usize) -> Self {
        Self {
            codes: grid(&found.codes, width),
            probabilities: grid(&found.probabilities, width),
            ranks: found.ranks.chunks(width).collect(),
        }
    }
}

/// Rows of `width` positions with the same number of entries each.
fn grid<T>(entries: &[T], width: usize) -> Vec<Vec<&[T]>> {
    // The grid is square.
    let each = (entries.len() / (width * width)).max(1);
    entries.chunks(width * each).map(|row| row.chunks(each).collect()).collect()
}

pub(super) fn data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
