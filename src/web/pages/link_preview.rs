//! `GET /preview.png`: the picture of an address of the page, which a chat or a search engine shows beside a link.
//!
//! Images are deterministic, so recent previews are kept. Other sites' pages can't embed them.

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::form::{Form, Picked};
use crate::engine::Request;
use crate::picture::{Format, MAX_SCALE};
use crate::web::access::{Budget, Client, RequestQuota, is_cross_site};
use crate::web::files::{JPEG_QUALITY, PictureDigest, RenderOptions, encode_image};
use crate::web::jobs::draw;
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// Largest side of a preview in pixels, as chats show it.
const MAX_SIDE: u32 = 1024;
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=86400");

/// Pixels of a preview for each pixel of an image of this size.
pub(super) fn scale(image_size: usize) -> u32 {
    (MAX_SIDE / image_size.max(1) as u32).clamp(1, MAX_SCALE)
}

/// `GET /preview.png?class=Bag&seed=7&…`
pub(super) async fn show(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    quota: RequestQuota,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    quota.count()?;
    // The page of another site would let its visitors' browsers start work here.
    if is_cross_site(&headers) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "Pages of other sites can't embed previews."));
    }
    let form = Form::read(&app.engine, query.unwrap_or_default().as_bytes());
    if !form.is_complete() {
        let detail = "A preview needs a class and a seed, and all other settings valid.";
        return Err(Problem::not_found(detail));
    }
    let options = serde_json::to_string(&form.draft.options).unwrap_or_default();
    let digest =
        PictureDigest::of(&format!("preview {} {options} {:?}", form.model.config.name, form.picked()));
    let bytes = app.renderer.get_or_draw(digest, draw_picked(&app, &client, &budget, &form)).await?;
    let kind = HeaderValue::from_static(Format::Png.media_type());
    Ok(([(header::CACHE_CONTROL, CACHING), (header::CONTENT_TYPE, kind)], bytes).into_response())
}

/// Draws the picked picture of a form.
async fn draw_picked(
    app: &AppState,
    client: &Client,
    budget: &Budget,
    form: &Form,
) -> Result<Bytes, Problem> {
    let config = &form.model.config;
    let Picked { seed, number, .. } = form.picked();
    let request = form
        .picked_settings()
        .and_then(|settings| Request::new(&form.model, settings, seed)?.with_count(number.into()))
        .map_err(|error| Problem::not_found(format!("{error}.")))?;
    let snapshot = draw(&app.engine, client, budget, request.with_previews(false)).await?;
    let options = RenderOptions::scaled(Format::Png, scale(config.image.size), JPEG_QUALITY);
    encode_image(&app.renderer, budget, &snapshot, number - 1, options).await
}
