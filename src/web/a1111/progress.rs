//! `GET /sdapi/v1/progress`, `POST /sdapi/v1/interrupt` and `POST /sdapi/v1/skip`: what a client's own requests are at.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::clients::Running;
use super::time::timestamp;
use crate::engine::{Event, JobId, Snapshot, Status};
use crate::picture::{Format, MAX_SCALE, enlarge};
use crate::queue::AnyEngine;
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::{JPEG_QUALITY, decode, render_memory};
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// Width that previews are enlarged to, about: those of the models are small.
const PREVIEW_WIDTH: u32 = 256;

/// Where a request is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111Progress)]
pub(super) struct Progress {
    /// 0 to 1. 0 where nothing is being drawn.
    progress: f64,
    /// Seconds to the end, about.
    eta_relative: f64,
    state: Position,
    /// A preview: a PNG file in base64.
    current_image: Option<String>,
    /// The position in the queue, for people.
    textinfo: Option<String>,
}

#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = A1111State)]
struct Position {
    /// `false`
    skipped: bool,
    interrupted: bool,
    stopping_generation: bool,
    /// `scripts_txt2img`, `scripts_img2img` or empty.
    job: String,
    /// Images of the request; 0 where nothing is being drawn.
    job_count: u32,
    /// Year, month, day, hours, minutes and seconds, in UTC; `0` where nothing is being drawn.
    job_timestamp: String,
    /// Images that are finished.
    job_no: u32,
    sampling_step: usize,
    sampling_steps: usize,
}

/// Get the progress
///
/// That of the newest request of this client (its API key, its `Rdpm-Client` token or, without both, its network) that is being
/// drawn. With `skip_current_image` there is no preview.
#[utoipa::path(
    get, path = "/sdapi/v1/progress", operation_id = "a1111GetProgress", tag = "AUTOMATIC1111",
    params(("skip_current_image" = Option<bool>, Query, description = "Whether to leave the preview out")),
    responses((status = 200, description = "The progress", body = Progress)),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    mut query: Query,
) -> Result<Json<Progress>, Problem> {
    let skips = query.take("skip_current_image", "true or false", flag).unwrap_or(false);
    if query.is_invalid() {
        query.finish()?;
    }
    let newest_first = app.a1111.running_of(&client).into_iter().rev();
    let requests: Vec<RequestState> =
        newest_first.map(|running| RequestState::of(&app.engine, running)).collect();
    let started = requests.iter().find(|request| request.started.is_some()).or(requests.first());
    let Some(request) = started else { return Ok(Json(Progress::idle())) };
    let preview = request.preview.clone().filter(|_| !skips);
    let current_image = match preview {
        Some(png) => render_preview(&app, &budget, png).await,
        None => None,
    };
    Ok(Json(request.progress(current_image)))
}

/// Interrupt your requests
///
/// Ends the requests of this client that are being drawn. They are answered with the images as far as these were.
#[utoipa::path(
    post, path = "/sdapi/v1/interrupt", operation_id = "a1111Interrupt", tag = "AUTOMATIC1111",
    responses((status = 200, description = "An empty object", body = Object)),
)]
pub(super) async fn interrupt(State(app): State<AppState>, client: Client) -> Result<Json<Value>, Problem> {
    end_requests(&app, &client).await?;
    Ok(Json(json!({})))
}

/// `POST /sdapi/v1/skip`: the same, since all images of a request are drawn at once.
pub(super) async fn skip(State(app): State<AppState>, client: Client) -> Result<Json<Value>, Problem> {
    end_requests(&app, &client).await?;
    Ok(Json(Value::Null))
}

/// Cancels the jobs of a client's requests.
async fn end_requests(app: &AppState, client: &Client) -> Result<(), Problem> {
    for running in app.a1111.running_of(client) {
        for job in running.interrupt() {
            app.engine.cancel(job).await?;
        }
    }
    Ok(())
}

/// A flag as Python's web frameworks read it.
fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

/// A preview, enlarged. `None` where there are too many, or the client has exceeded its limit: a preview is no reason to fail.
async fn render_preview(app: &AppState, budget: &Budget, png: Bytes) -> Option<String> {
    let width = u64::from(PREVIEW_WIDTH);
    budget.charge(Cost::pixels(width * width)).ok()?;
    let work = move || {
        let preview = decode(&png)?;
        let scale = (PREVIEW_WIDTH / preview.width().max(1)).clamp(1, MAX_SCALE);
        Format::Png.encode(&enlarge(&preview, scale), JPEG_QUALITY, None)
    };
    let file = app.renderer.run(budget.client(), render_memory(width * width), work).await.ok()?;
    Some(STANDARD.encode(file))
}

/// A request's state, put together from its jobs.
struct RequestState {
    running: Arc<Running>,
    started: Option<SystemTime>,
    finished: u32,
    /// The steps of all images, and those that were taken.
    steps: (usize, usize),
    /// The step of the first image that isn't finished, and the last step.
    current: (usize, usize),
    /// That of the same image.
    preview: Option<Bytes>,
    waiting: Option<String>,
    /// Seconds until the first image starts.
    wait: f64,
}

impl RequestState {
    fn of(engine: &AnyEngine, running: Arc<Running>) -> Self {
        let mut state = Self {
            running,
            started: None,
            finished: 0,
            steps: (0, 0),
            current: (0, 0),
            preview: None,
            waiting: None,
            wait: 0.0,
        };
        let jobs = state.running.jobs();
        let mut has_current = false;
        for snapshot in jobs.into_iter().filter_map(|job| engine.get(job)) {
            has_current |= state.add(engine, &snapshot, has_current);
        }
        state
    }

    /// Adds an image. Returns whether it is the one that is shown.
    fn add(&mut self, engine: &AnyEngine, snapshot: &Snapshot, has_current: bool) -> bool {
        let request = &snapshot.request;
        let first = request.init_image().map_or(0, |init| init.from_step);
        let (step, preview) = last_step(engine, snapshot.id).unwrap_or((first, None));
        let steps = request.model().steps();
        self.steps.0 += steps.saturating_sub(first);
        self.steps.1 += step.saturating_sub(first);
        self.started = [self.started, snapshot.started].into_iter().flatten().min();
        let is_finished = snapshot.status == Status::Completed;
        self.finished += u32::from(is_finished);
        if let Some(queued) = snapshot.queue_position.filter(|_| self.waiting.is_none()) {
            self.waiting = Some(format!("Waiting: position {} in the queue", queued.position));
            self.wait = queued.eta.as_secs_f64();
        }
        let is_current = !has_current && !is_finished;
        // Until there is another one, that of the last image.
        if !has_current && (preview.is_some() || is_current) {
            (self.current, self.preview) = ((step, steps), preview.or(self.preview.take()));
        }
        is_current
    }

    fn progress(&self, current_image: Option<String>) -> Progress {
        let (running, (all, taken)) = (&self.running, self.steps);
        // Images whose jobs were not submitted yet have as many steps.
        let submitted = running.jobs().len().max(1);
        let all = all as f64 * f64::from(running.count) / submitted as f64;
        let progress = if all > 0.0 { (taken as f64 / all).min(1.0) } else { 0.0 };
        let elapsed =
            self.started.and_then(|started| started.elapsed().ok()).unwrap_or_default().as_secs_f64();
        let eta = if progress > 0.0 { elapsed / progress - elapsed } else { self.wait };
        let is_interrupted = running.is_interrupted();
        Progress {
            progress,
            eta_relative: eta,
            state: Position {
                skipped: false,
                interrupted: is_interrupted,
                stopping_generation: is_interrupted,
                job: format!("scripts_{}", running.kind),
                job_count: running.count,
                job_timestamp: timestamp(running.since),
                job_no: self.finished,
                sampling_step: self.current.0,
                sampling_steps: self.current.1,
            },
            current_image,
            textinfo: self.waiting.clone().filter(|_| self.started.is_none()),
        }
    }
}

impl Progress {
    fn idle() -> Self {
        let state = Position { job_timestamp: "0".into(), ..Position::default() };
        Self { progress: 0.0, eta_relative: 0.0, state, current_image: None, textinfo: None }
    }
}

/// The last step that a job of one image has taken, with its preview.
fn last_step(engine: &AnyEngine, job: JobId) -> Option<(usize, Option<Bytes>)> {
    let mut subscription = engine.subscribe(job, 0)?;
    let mut last = None;
    // Only what is there: nothing is waited for.
    while let Some(Some((_, event))) = subscription.next().now_or_never() {
        if let Event::Step(progress) = &*event {
            let preview = progress.images.first().and_then(|image| image.preview.as_ref());
            last = Some((progress.step, preview.map(|preview| preview.clean.clone())));
        }
    }
    last
}
