//! An image as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;

use axum::body::Bytes;
use axum::response::Response;
use axum::response::sse::Event as Message;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::OpenAiError;
use super::images::{Kind, Usage, unix_time};
use crate::engine::{Event, Progress, Subscription};
use crate::picture::{Format, enlarge};
use crate::web::App;
use crate::web::event_stream::Place;
use crate::web::problem::Problem;
use crate::web::render::{self, Look, decode};
use crate::web::wait::{CancelOnDrop, outcome};

/// A preview.
#[derive(Serialize, ToSchema)]
pub(in crate::web) struct PartialImageEvent {
    /// `image_generation.partial_image`
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
    /// `image_generation.completed`
    #[serde(rename = "type")]
    kind: &'static str,
    b64_json: String,
    /// Unix time in seconds.
    created_at: u64,
    #[serde(flatten)]
    picture: Kind,
    usage: Usage,
    /// The seed that was used (not OpenAI's).
    seed: u64,
}

/// A job on its way to a client.
struct Progressing {
    app: App,
    subscription: Subscription,
    /// The client that leaves takes the job with it.
    _guard: CancelOnDrop,
    look: Look,
    /// Steps whose previews are still to be sent.
    steps: VecDeque<usize>,
    sent: u32,
    ended: bool,
}

/// The answer that streams a job; it is canceled when the client leaves.
pub(super) fn stream(
    app: App,
    place: Place,
    guard: CancelOnDrop,
    look: Look,
    partial_images: u32,
) -> Result<Response, Problem> {
    let subscription = app.engine.subscribe(guard.1, 0);
    let subscription = subscription.ok_or_else(|| Problem::not_found("The generation is gone."))?;
    let steps = spread(partial_images as usize, subscription.model().config.steps());
    let job = Progressing { app, subscription, _guard: guard, look, steps, sent: 0, ended: false };
    let events = stream::unfold(job, |mut job| async move {
        let message = job.next().await?;
        Some((Ok::<_, Infallible>(message), job))
    });
    Ok(place.stream(events))
}

/// So many of the steps before the last, evenly spread.
fn spread(count: usize, steps: usize) -> VecDeque<usize> {
    let mut chosen: VecDeque<usize> = (1..=count).map(|part| (part * steps).div_ceil(count + 1)).collect();
    chosen.retain(|step| (1..steps).contains(step));
    chosen
}

impl Progressing {
    /// The next message; `None` after the last.
    async fn next(&mut self) -> Option<Message> {
        while let Some((_, event)) = self.subscription.next().await {
            let Event::Step(progress) = &*event else { continue };
            if self.steps.front() == Some(&progress.step) {
                self.steps.pop_front();
                return Some(self.partial_image(progress).await.unwrap_or_else(|problem| failed(&problem)));
            }
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        Some(self.completed().await.unwrap_or_else(|problem| failed(&problem)))
    }

    async fn partial_image(&mut self, progress: &Progress) -> Result<Message, Problem> {
        let preview = progress.images.first().and_then(|image| image.preview.as_ref());
        let clean = preview.map(|preview| preview.clean.clone()).unwrap_or_default();
        let file = self.shown(clean).await?;
        let index = self.sent;
        self.sent += 1;
        let event = PartialImageEvent {
            kind: "image_generation.partial_image",
            partial_image_index: index,
            b64_json: STANDARD.encode(file),
            created_at: unix_time(),
            picture: Kind::new(self.subscription.model(), self.look),
        };
        message(event.kind, &event)
    }

    /// A preview as the client wants to see it.
    async fn shown(&self, png: Bytes) -> Result<Bytes, Problem> {
        let look = self.look;
        if look.format == Format::Png && look.scale == 1 {
            return Ok(png);
        }
        let work = move || look.format.encode(&enlarge(&decode(&png)?, look.scale), look.quality, None);
        self.app.renderer.run(work).await.map(Bytes::from)
    }

    async fn completed(&self) -> Result<Message, Problem> {
        let snapshot = outcome(&self.app, &self.subscription)?;
        let file = render::image(&self.app, &snapshot, 0, self.look).await?;
        let info = &snapshot.model;
        let event = CompletedEvent {
            kind: "image_generation.completed",
            b64_json: STANDARD.encode(file),
            created_at: unix_time(),
            picture: Kind::new(info, self.look),
            usage: Usage::new(info, 1),
            seed: snapshot.request.seed(),
        };
        message(event.kind, &event)
    }
}

fn message(kind: &str, event: &impl Serialize) -> Result<Message, Problem> {
    let data = Message::default().event(kind).json_data(event);
    data.map_err(|error| Problem::internal("The event could not be written.", &error))
}

/// The head has been sent: an error can only be an event.
fn failed(problem: &Problem) -> Message {
    let event = Message::default().event("error");
    event.json_data(OpenAiError::new(problem)).unwrap_or_else(|_| Message::default().event("error"))
}
