//! `GET /preview.png`: the picture of an address of the page, which a chat or a search engine shows beside a link.
//!
//! Images are deterministic, so recent previews are kept. Other sites' pages can't embed them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use quick_cache::sync::Cache;

use super::form::{Form, Picked};
use crate::engine::Request;
use crate::model::SamplingSettings;
use crate::picture::{Format, MAX_SCALE};
use crate::web::access::{Budget, Client, Cost};
use crate::web::files::{JPEG_QUALITY, RenderOptions, render_image};
use crate::web::jobs::{CancelOnDrop, wait_until_completed};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// Previews that are kept: about 10 MiB.
const CAPACITY: usize = 256;
/// Largest side of a preview in pixels, as chats show it.
const MAX_SIDE: u32 = 1024;
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=86400");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What determines a preview.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    model: String,
    /// The options of sampling, as JSON.
    options: String,
    picked: Picked,
}

/// Recent previews. Concurrent requests for the same one wait for the first. Cheap to clone.
#[derive(Clone)]
pub(super) struct LinkPreviews(Arc<Cache<Key, Bytes>>);

impl Default for LinkPreviews {
    fn default() -> Self {
        Self(Arc::new(Cache::new(CAPACITY)))
    }
}

/// Pixels of a preview for each pixel of an image of this size.
pub(super) fn scale(image_size: usize) -> u32 {
    (MAX_SIDE / image_size.max(1) as u32).clamp(1, MAX_SCALE)
}

/// `GET /preview.png?class=Bag&seed=7&…`
pub(super) async fn show(
    State(app): State<AppState>,
    Extension(previews): Extension<LinkPreviews>,
    client: Client,
    budget: Budget,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    // The page of another site would let its visitors' browsers start work here.
    if headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site") {
        return Err(Problem::new(StatusCode::FORBIDDEN, "Pages of other sites can't embed previews."));
    }
    let form = Form::read(&app.engine, query.unwrap_or_default().as_bytes());
    if !form.is_complete() {
        let detail = "A preview needs a class and a seed, and all other settings valid.";
        return Err(Problem::not_found(detail));
    }
    let options = serde_json::to_string(&form.draft.options).unwrap_or_default();
    let key = Key { model: form.model.config.name.clone(), options, picked: form.picked() };
    let bytes = previews.0.get_or_insert_async(&key, draw(&app, &client, &budget, &form)).await?;
    let kind = HeaderValue::from_static(Format::Png.media_type());
    Ok(([(header::CACHE_CONTROL, CACHING), (header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// Draws the picked picture of a form.
async fn draw(app: &AppState, client: &Client, budget: &Budget, form: &Form) -> Result<Bytes, Problem> {
    let config = &form.model.config;
    let Picked { class, seed, number } = form.picked();
    let settings = SamplingSettings::with_options(config, class, form.draft.options.clone());
    let request = settings
        .and_then(|settings| Request::new(&form.model, settings, seed)?.with_count(number.into()))
        .map_err(|error| Problem::not_found(format!("{error}.")))?;
    budget.charge(Cost::images(request.count()))?;
    let request = request.with_previews(false).with_client(Some(client.engine_id()));
    let id = app.engine.submit(request).map_err(Problem::from)?;
    let _cancel = CancelOnDrop::new(&app.engine, id);
    let snapshot = wait_until_completed(&app.engine, id).await?;
    let options = RenderOptions::scaled(Format::Png, scale(config.image.size), JPEG_QUALITY);
    render_image(&app.renderer, budget, &snapshot, number - 1, options).await
}
