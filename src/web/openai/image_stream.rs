//! An image as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::SystemTime;

use axum::body::Bytes;
use axum::response::Response;
use axum::response::sse::Event as Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::image_request::{ImageRequest, Kind as RequestKind};
use super::response::{Kind, Usage};
use crate::engine::{Event, Progress, Subscription};
use crate::web::access::Budget;
use crate::web::events::StreamPermit;
use crate::web::files::{RenderOptions, decode, render_image, render_memory};
use crate::web::jobs::{CancelOnDrop, completed};
use crate::web::problem::{OpenAiError, Problem};
use crate::web::state::AppState;
use crate::web::unix_time::unix_time;

/// A preview.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct PartialImageEvent {
    /// `image_generation.partial_image` or `image_edit.partial_image`
    #[serde(rename = "type")]
    kind: &'static str,
    /// From 0.
    partial_image_index: u32,
    /// The clean preview.
    b64_json: String,
    /// Unix time in seconds.
    created_at: u64,
    #[serde(flatten)]
    picture: Kind,
}

/// The image.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct CompletedEvent {
    /// `image_generation.completed` or `image_edit.completed`
    #[serde(rename = "type")]
    kind: &'static str,
    b64_json: String,
    /// Unix time in seconds.
    created_at: u64,
    #[serde(flatten)]
    picture: Kind,
    usage: Usage,
    /// What was drawn, by a model that is told words: subject and style (not OpenAI's).
    #[serde(skip_serializing_if = "Option::is_none")]
    revised_prompt: Option<String>,
    /// The seed that was used (not OpenAI's).
    seed: u64,
    /// What was adapted or ignored (not OpenAI's).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A job that is streamed to a client.
struct JobStream {
    app: AppState,
    /// The work has been charged.
    paid: Budget,
    subscription: Subscription,
    /// Cancels the job when the client disconnects.
    _guard: CancelOnDrop,
    options: RenderOptions,
    warnings: Vec<String>,
    events: RequestKind,
    /// Steps whose previews are yet to be sent.
    steps: VecDeque<usize>,
    sent: u32,
    ended: bool,
}

/// The response that streams a job, which is canceled when the client disconnects.
pub(super) fn respond(
    app: AppState,
    budget: &Budget,
    permit: StreamPermit,
    guard: CancelOnDrop,
    request: &ImageRequest,
) -> Result<Response, Problem> {
    let subscription = app.engine.subscribe(guard.id, 0);
    let subscription = subscription.ok_or_else(|| Problem::not_found("The generation has expired."))?;
    let first = subscription.snapshot().request.init_image().map_or(0, |init| init.from_step);
    let steps = spread(request.partial_images as usize, first, subscription.model().config.steps());
    let job = JobStream {
        app,
        paid: budget.paid(),
        subscription,
        _guard: guard,
        options: request.options,
        warnings: request.warnings.clone(),
        events: request.kind,
        steps,
        sent: 0,
        ended: false,
    };
    let events = stream::unfold(job, |mut job| async move {
        let message = job.next().await?;
        Some((Ok::<_, Infallible>(message), job))
    });
    Ok(permit.stream(events))
}

/// `count` of the steps after `first` and before the last, evenly spread.
fn spread(count: usize, first: usize, steps: usize) -> VecDeque<usize> {
    let step = |part: usize| first + (part * (steps - first)).div_ceil(count + 1);
    let mut chosen: VecDeque<usize> = (1..=count).map(step).collect();
    chosen.retain(|step| (first + 1..steps).contains(step));
    chosen
}

impl JobStream {
    /// The next message; `None` after the last.
    async fn next(&mut self) -> Option<Message> {
        while let Some((_, event)) = self.subscription.next().await {
            let Event::Step(progress) = &*event else { continue };
            if self.steps.front() == Some(&progress.step) {
                self.steps.pop_front();
                return Some(
                    self.partial_image(progress).await.unwrap_or_else(|problem| error_message(&problem)),
                );
            }
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        Some(self.completed().await.unwrap_or_else(|problem| error_message(&problem)))
    }

    async fn partial_image(&mut self, progress: &Progress) -> Result<Message, Problem> {
        let preview = progress.images.first().and_then(|image| image.preview.as_ref());
        let clean = preview.map(|preview| preview.clean.clone()).unwrap_or_default();
        let file = self.render_preview(clean).await?;
        let index = self.sent;
        self.sent += 1;
        let event = PartialImageEvent {
            kind: match self.events {
                RequestKind::Generation => "image_generation.partial_image",
                _ => "image_edit.partial_image",
            },
            partial_image_index: index,
            b64_json: STANDARD.encode(file),
            created_at: unix_time(SystemTime::now()),
            picture: Kind::new(self.subscription.model(), self.options),
        };
        message(event.kind, &event)
    }

    /// A preview in the format of the request.
    async fn render_preview(&self, png: Bytes) -> Result<Bytes, Problem> {
        let options = self.options;
        if options.is_stored() {
            return Ok(png);
        }
        let work = move || options.format.encode(&options.resize(&decode(&png)?), options.quality, None);
        let (width, height) = options.size(self.subscription.model().config.image.size as u32);
        let memory = render_memory(u64::from(width) * u64::from(height));
        self.app.renderer.run(self.paid.client(), memory, work).await
    }

    async fn completed(&self) -> Result<Message, Problem> {
        let snapshot = completed(&self.app.engine, &self.subscription)?;
        let file = render_image(&self.app.renderer, &self.paid, &snapshot, 0, self.options).await?;
        let info = snapshot.request.model();
        let event = CompletedEvent {
            kind: match self.events {
                RequestKind::Generation => "image_generation.completed",
                _ => "image_edit.completed",
            },
            b64_json: STANDARD.encode(file),
            created_at: unix_time(SystemTime::now()),
            picture: Kind::new(info, self.options),
            usage: Usage::new(&snapshot.request),
            revised_prompt: info.config.has_words().then(|| snapshot.request.describe_image(0)),
            seed: snapshot.request.seed(),
            warnings: self.warnings.clone(),
        };
        message(event.kind, &event)
    }
}

fn message(kind: &str, event: &impl Serialize) -> Result<Message, Problem> {
    let data = Message::default().event(kind).json_data(event);
    data.map_err(|error| Problem::internal("The event could not be written.", &error))
}

/// An error as an event, since the headers have been sent.
fn error_message(problem: &Problem) -> Message {
    let event = Message::default().event("error");
    event.json_data(OpenAiError::new(problem)).unwrap_or_else(|_| Message::default().event("error"))
}
