//! `/v1/…`: the images API of OpenAI, for clients that speak it.
//!
//! | method and path | answer |
//! |---|---|
//! | `POST /v1/images/generations` | images of the class that the prompt names; plain or streamed |
//! | `GET /v1/models`, `GET /v1/models/{model}` | the served models |
//!
//! Handlers answer errors with a `Problem` like all others; `web::problem` gives it OpenAI's shape.

mod image_request;
mod image_stream;
mod images;
mod models;
mod prompt;
mod response;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) use image_request::image_request_schemas;
pub(super) use image_stream::{CompletedEvent, PartialImageEvent};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(images::generate))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
}
