//! The tool that draws, with progress from the steps.

use axum::response::{Response, sse};
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::content::{png_content, tool_error};
use super::message::{json_answer, progress, success};
use crate::engine::{Event, Snapshot, Subscription};
use crate::picture::{Format, MAX_SCALE};
use crate::request::{FieldError, GenerationRequest, PictureFormat};
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::{JPEG_QUALITY, RenderOptions, check_size, render_image};
use crate::web::jobs::{CancelOnDrop, Submission, completed};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// The fields of a generation that the tool `draw` takes: those that change the picture.
pub(super) const DRAW_FIELDS: [&str; 12] = [
    "class",
    "prompt",
    "style",
    "model",
    "seed",
    "count",
    "guidance",
    "guidance_steps",
    "temperature",
    "top_k",
    "top_p",
    "scale",
];

/// Width that pictures are enlarged to at least, unless the arguments say a scale: those of the models are small.
const WIDTH: u32 = 256;

/// A call of the tool.
pub(super) struct Call {
    pub id: Value,
    /// Names the progress of the call; null where none is wanted.
    pub token: Value,
    pub arguments: Map<String, Value>,
}

/// A call whose job was accepted. Dropping it cancels the job.
struct RunningCall {
    app: AppState,
    budget: Budget,
    id: Value,
    token: Value,
    scale: u32,
    subscription: Subscription,
    /// Steps of images so far, and all.
    steps: (usize, usize),
    is_answered: bool,
    _cancel: CancelOnDrop,
}

/// The answer: JSON or, with progress, server-sent events.
pub(super) async fn call(
    app: AppState,
    client: Client,
    budget: Budget,
    call: Call,
) -> Result<Response, Problem> {
    let (id, has_progress) = (call.id.clone(), !call.token.is_null());
    let permit = if has_progress { Some(app.event_streams.acquire(budget.client())?) } else { None };
    let mut running = match start(app, client, budget, call).await {
        Ok(running) => running,
        Err(problem) => return Ok(json_answer(success(id, tool_error(&problem)))),
    };
    let Some(permit) = permit else {
        while running.subscription.next().await.is_some() {}
        return Ok(json_answer(running.answer().await));
    };
    let events = stream::unfold(running, |mut running| async move {
        let message = running.next_message().await?;
        Some((sse::Event::default().event("message").json_data(message), running))
    });
    Ok(permit.stream(events))
}

async fn start(app: AppState, client: Client, budget: Budget, call: Call) -> Result<RunningCall, Problem> {
    let Call { id, token, arguments } = call;
    if let Some((name, value)) = arguments.iter().find(|(name, _)| !DRAW_FIELDS.contains(&name.as_str())) {
        let allowed = format!("the arguments {}", DRAW_FIELDS.join(", "));
        return Err(Problem::invalid(FieldError::new(name, value.clone(), allowed)));
    }
    let has_scale = arguments.get("scale").is_some_and(|scale| !scale.is_null());
    let GenerationRequest { job, pictures, .. } =
        GenerationRequest::read(app.engine.models(), |_| None, arguments)?;
    let size = job.model().config.image.size as u32;
    let scale = if has_scale { pictures.scale } else { WIDTH.div_ceil(size).clamp(1, MAX_SCALE) };
    let pixels = u64::from(size * scale) * u64::from(size * scale);
    check_size(scale, |scale| u64::from(size * scale) * u64::from(size * scale))?;
    budget.charge(Cost::images(job.count()).and(Cost::pixels(pixels * u64::from(job.count()))))?;
    let total = job.count() as usize * job.model().steps();
    let format = PictureFormat { format: None, scale };
    let submission =
        Submission { request: job.with_previews(false), client, format, key: None, resumable: false };
    let job = app.jobs.submit(&app.engine, submission).await?.id;
    let cancel = CancelOnDrop::new(&app.engine, job);
    let subscription = app.engine.subscribe(job, 0);
    let subscription = subscription.ok_or_else(|| Problem::not_found("The generation has expired."))?;
    Ok(RunningCall {
        app,
        budget,
        id,
        token,
        scale,
        subscription,
        steps: (0, total),
        is_answered: false,
        _cancel: cancel,
    })
}

impl RunningCall {
    /// The next message of the stream; `None` after the answer.
    async fn next_message(&mut self) -> Option<Value> {
        while let Some((_, event)) = self.subscription.next().await {
            if let Event::Step(step) = &*event {
                self.steps.0 += step.images.len();
                let text = format!("step {} of {}", step.step, self.subscription.model().steps());
                return Some(progress(&self.token, self.steps.0, self.steps.1, text));
            }
        }
        if self.is_answered {
            return None;
        }
        self.is_answered = true;
        Some(self.answer().await)
    }

    /// The answer, once the job has ended.
    async fn answer(&self) -> Value {
        let result = self.result().await.unwrap_or_else(|problem| tool_error(&problem));
        success(self.id.clone(), result)
    }

    async fn result(&self) -> Result<Value, Problem> {
        let snapshot = completed(&self.app.engine, &self.subscription)?;
        let options = RenderOptions::scaled(Format::Png, self.scale, JPEG_QUALITY);
        let paid = self.budget.paid();
        let description = describe(&snapshot);
        let mut content = vec![json!({"type": "text", "text": description.to_string()})];
        for index in 0..snapshot.request.count() {
            let file = render_image(&self.app.renderer, &paid, &snapshot, index, options).await?;
            content.push(png_content(&file));
        }
        Ok(json!({"content": content, "structuredContent": description, "isError": false}))
    }
}

/// What was drawn, and with which settings it is drawn again.
fn describe(snapshot: &Snapshot) -> Value {
    let request = &snapshot.request;
    let config = &request.model().config;
    let images: Vec<String> = (0..request.count()).map(|index| request.describe_image(index)).collect();
    let prompt = request.settings().options().prompt.as_ref();
    json!({
        "generation": snapshot.id.to_string(),
        "model": config.name,
        "class": config.classes.get(request.settings().class()),
        "seed": request.seed(),
        "images": images,
        "unknown_words": prompt.map(|prompt| config.vocabulary.encode(prompt).unknown),
    })
}
