//! `GET /api/v1/generations/{id}/events`: a job's events as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `queued` | `{"id", "status", "position"}`; position 1 is next, counted in jobs |
//! | `started` | `{"id", "status"}` |
//! | `step` | `{"step": 1..=T, "steps": T, "images": [{"index", "tokens", "entropy", "probability", "noisy", "clean"}]}`: the images that took this step; grids are h rows of w, entropies in bits, pictures `data:` URLs |
//! | `completed`, `failed`, `canceled` | the job as `GET` answers it; the last event |
//!
//! `id` counts up from 1. A stream starts with the first event or, where the request has `Last-Event-ID`, after that
//! one. Where nothing follows any more the answer is 204, which tells an `EventSource` to stop reconnecting.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};

use super::App;
use super::generation::Generation;
use super::generations::find;
use super::problem::{FieldError, Problem};
use crate::engine::{Event, ModelInfo, Progress, StepImage, Subscription};

/// Shorter than the idle timeouts of common proxies (nginx: 60 s).
const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) async fn stream(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let after = last_event_id(&headers)?;
    let subscription = find(&id, |id| app.engine.subscribe(id, after))?;
    if subscription.is_exhausted() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = stream::unfold((app, subscription), |(app, mut subscription)| async move {
        let (number, event) = subscription.next().await?;
        let message = message(app.engine.info(), &subscription, number, &event);
        Some((message, (app, subscription)))
    });
    let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back to fill its buffers.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The number in the header, 0 without one.
fn last_event_id(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(0) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.trim().parse().map_err(|_| {
        let value = Value::String(text.into_owned());
        let allowed = "the id of an event of this stream, or no such header".into();
        Problem::invalid(vec![FieldError { field: LAST_EVENT_ID.to_string(), value, allowed }])
    })
}

fn message(
    info: &ModelInfo,
    subscription: &Subscription,
    number: u64,
    event: &Event,
) -> Result<sse::Event, axum::Error> {
    let message = sse::Event::default().id(number.to_string());
    let id = subscription.id().to_string();
    match event {
        Event::Queued { position } => {
            message.event("queued").json_data(json!({"id": id, "status": "queued", "position": position}))
        }
        Event::Started => message.event("started").json_data(json!({"id": id, "status": "running"})),
        Event::Step(progress) => message.event("step").json_data(Step::new(info, progress)),
        // An ended job changes no more, so that its state now is its state then.
        Event::Completed | Event::Failed { .. } | Event::Canceled => {
            let snapshot = subscription.snapshot();
            message.event(snapshot.status.as_str()).json_data(Generation::new(info, &snapshot))
        }
    }
}

#[derive(Serialize)]
struct Step<'a> {
    step: usize,
    steps: usize,
    images: Vec<Image<'a>>,
}

#[derive(Serialize)]
struct Image<'a> {
    index: u32,
    tokens: Vec<&'a [u32]>,
    entropy: Vec<&'a [f32]>,
    probability: Vec<&'a [f32]>,
    noisy: String,
    clean: String,
}

impl<'a> Step<'a> {
    fn new(info: &ModelInfo, progress: &'a Progress) -> Self {
        let width = info.config.latent.grid;
        let images = progress.images.iter().map(|image| Image::new(image, width)).collect();
        Self { step: progress.step, steps: info.config.steps(), images }
    }
}

impl<'a> Image<'a> {
    fn new(image: &'a StepImage, width: usize) -> Self {
        Self {
            index: image.index,
            tokens: image.tokens.chunks(width).collect(),
            entropy: image.entropy.chunks(width).collect(),
            probability: image.probability.chunks(width).collect(),
            noisy: data_url(&image.noisy),
            clean: data_url(&image.clean),
        }
    }
}

fn data_url(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(png))
}
