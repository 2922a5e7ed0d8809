//! The answer to a request for images: 202 at once, or 200 when they are drawn.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::generation::{Accepted, Generation};
use super::generations::{find, not_found};
use super::pictures::respond_with_picture;
use crate::engine::Request;
use crate::request::PictureFormat;
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::{JPEG_QUALITY, RenderOptions, check_size, sheet_pixels};
use crate::web::headers::{NO_STORE, append_warnings, header_value};
use crate::web::jobs::{CancelOnDrop, IdempotencyKey, Submission, SubmittedJob, wait_until_completed};
use crate::web::problem::Problem;
use crate::web::request::Representation;
use crate::web::state::AppState;
use crate::web::webhooks::Target;

/// The header with the seed of answers that aren't JSON.
const SEED: HeaderName = HeaderName::from_static("rdpm-seed");

/// How a request for images is answered.
pub(super) struct Answer {
    /// Whether the client waits for the end.
    pub waits: bool,
    pub representation: Representation,
    pub pictures: PictureFormat,
    pub key: Option<IdempotencyKey>,
    pub warnings: Vec<String>,
    /// Where to say that the job has ended.
    pub webhook: Option<Target>,
}

/// What the images of a job cost, with the picture that answers.
///
/// # Errors
/// 422 where that picture would be too large.
pub(super) fn check_cost(
    job: &Request,
    representation: Representation,
    pictures: PictureFormat,
) -> Result<Cost, Problem> {
    let cost = Cost::images(job.count());
    if representation == Representation::Json {
        return Ok(cost);
    }
    let (count, size) = (job.count(), job.model().config.image.size as u32);
    check_size(pictures.scale, |scale| sheet_pixels(count, size * scale))?;
    Ok(cost.and(Cost::pixels(sheet_pixels(count, size * pictures.scale))))
}

impl Answer {
    /// Submits a job, which has been charged, and answers with addresses below `root`.
    ///
    /// # Errors
    /// Those of the engine, and of a job that doesn't end well while the client waits.
    pub async fn submit(
        self,
        app: &AppState,
        client: Client,
        budget: &Budget,
        root: &str,
        job: Request,
    ) -> Result<Response, Problem> {
        let Self { waits, representation, pictures, key, warnings, webhook } = self;
        let may_retry = key.is_some();
        let resumable = !waits || may_retry;
        let submission = Submission { request: job, client, format: pictures, key, resumable };
        let SubmittedJob { id, is_new } = app.jobs.submit(&app.engine, submission).await?;
        // A request that is repeated is told of once.
        if let (true, Some(target)) = (is_new, webhook)
            && let Some(job) = app.engine.watch_end(id)
        {
            app.webhooks.follow(job, target, root.to_owned());
        }
        // An earlier request with the same key may have made it, in an earlier process.
        find(app, &id.to_string(), |id| app.engine.contains(id).then_some(())).await?;
        if !waits {
            let snapshot = app.engine.get(id).ok_or_else(|| not_found(&id.to_string()))?;
            let accepted = Accepted::new(&snapshot).with_warnings(warnings);
            let headers = [NO_STORE, (header::LOCATION, header_value(accepted.location()))];
            return Ok((StatusCode::ACCEPTED, headers, Json(accepted.below(root))).into_response());
        }

        let _guard = (!may_retry).then(|| CancelOnDrop::new(&app.engine, id));
        let snapshot = wait_until_completed(&app.engine, id).await?;
        match representation {
            Representation::Json => {
                let generation = Generation::new(&snapshot, pictures).with_warnings(warnings).below(root);
                Ok(([NO_STORE], Json(generation)).into_response())
            }
            Representation::Picture(format) => {
                let options = RenderOptions::scaled(format, pictures.scale, JPEG_QUALITY);
                let mut response = respond_with_picture(app, budget, &snapshot, options).await?;
                let headers = response.headers_mut();
                headers.insert(header::CACHE_CONTROL, NO_STORE.1);
                headers.insert(header::VARY, HeaderValue::from_static("accept"));
                headers.insert(SEED, snapshot.request.seed().into());
                append_warnings(headers, &warnings);
                Ok(response)
            }
        }
    }
}
