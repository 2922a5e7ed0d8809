//! A job until its pictures are done, with progress from the steps.

use rmcp::model::{CallToolResult, ContentBlock, ProgressNotificationParam, ProgressToken};
use rmcp::{Peer, RoleServer};
use serde_json::{Value, json};

use super::caller::Caller;
use super::content::{png_content, structured};
use super::resources;
use crate::engine::{Event, Request, Snapshot};
use crate::picture::Format;
use crate::request::PictureFormat;
use crate::web::files::{JPEG_QUALITY, RenderOptions, render_image};
use crate::web::jobs::{CancelOnDrop, Submission, completed};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// Where to report the progress of a call.
pub(super) struct Progress {
    pub peer: Peer<RoleServer>,
    pub token: ProgressToken,
}

/// Draws a job whose cost has been charged, and returns its pictures at a scale: as content, and the addresses of the same as
/// resources. The job is canceled when this is dropped.
///
/// # Errors
/// Those of the engine; what made the job fail.
pub(super) async fn draw(
    app: &AppState,
    caller: &Caller,
    job: Request,
    scale: u32,
    warnings: Vec<String>,
    progress: Option<Progress>,
) -> Result<CallToolResult, Problem> {
    let mut total = job.count() as usize * job.model().steps();
    let submission = Submission {
        request: job.with_previews(false),
        client: caller.client.clone(),
        format: PictureFormat { format: None, scale },
        key: None,
        resumable: false,
    };
    let id = app.jobs.submit(&app.engine, submission).await?.id;
    let _cancel = CancelOnDrop::new(&app.engine, id);
    let subscription = app.engine.subscribe(id, 0);
    let mut subscription = subscription.ok_or_else(|| Problem::not_found("The generation has expired."))?;
    let mut done = 0;
    while let Some((_, event)) = subscription.next().await {
        if let Event::Redrawn(steps) = &*event {
            // What was counted comes again.
            total += steps.last + 1 - steps.first;
        }
        let (Event::Step(step), Some(Progress { peer, token })) = (&*event, &progress) else { continue };
        done += step.images.len();
        let message = format!("step {} of {}", step.step, subscription.model().steps());
        let parameters = ProgressNotificationParam::new(token.clone(), done as f64);
        let parameters = parameters.with_total(total as f64).with_message(message);
        // Where the client has gone, the call is canceled.
        let _ = peer.notify_progress(parameters).await;
    }
    let snapshot = completed(&app.engine, &subscription)?;
    let options = RenderOptions::scaled(Format::Png, scale, JPEG_QUALITY);
    let paid = caller.budget.paid();
    let (mut pictures, mut links) = (Vec::new(), Vec::new());
    for index in 0..snapshot.request.count() {
        let file = render_image(&app.renderer, &paid, &snapshot, index, options).await?;
        pictures.push(png_content(&file));
        links.push(ContentBlock::ResourceLink(resources::picture(&snapshot, index)));
    }
    pictures.extend(links);
    Ok(structured(describe(&snapshot, &warnings), pictures))
}

/// What was drawn, and with which settings it is drawn again.
fn describe(snapshot: &Snapshot, warnings: &[String]) -> Value {
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
        "warnings": warnings,
    })
}
