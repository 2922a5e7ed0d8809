//! `/v1/…`: the images API of OpenAI, for clients that speak it.
//!
//! | method and path | answer |
//! |---|---|
//! | `POST /v1/images/generations` | images of what the prompt names; plain or streamed |
//! | `POST /v1/images/edits` | a part of an image, drawn again |
//! | `POST /v1/images/variations` | the last steps of an image, drawn again |
//! | `GET /v1/images/files/{id}/{file}` | the pictures to which `response_format: url` links |
//! | `GET /v1/models`, `GET /v1/models/{model}` | the served models |
//!
//! The same without `/v1`, below `/openai/v1` and with a slash at the end, and at Azure's
//! `POST /openai/deployments/{model}/images/generations`.
//!
//! Handlers answer errors with a `Problem` like all others; `web::problem` gives it OpenAI's shape.

mod edits;
mod image_file;
mod image_request;
mod image_stream;
mod images;
mod model_name;
mod models;
mod prompt;
mod prompt_words;
mod response;

use axum::Router;
use axum::routing::{get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) use image_request::{SIDES, image_request_schemas};
pub(super) use image_stream::{CompletedEvent, PartialImageEvent};
pub(super) use prompt_words::{PromptReading, read_any_prompt};

/// The routes that the OpenAPI document describes.
pub(super) fn documented_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(images::generate))
        .routes(routes!(edits::edit))
        .routes(routes!(edits::vary))
        .routes(routes!(image_file::show))
        .routes(routes!(models::list))
        .routes(routes!(models::show))
}

/// The other addresses of the same, as clients write them.
pub(super) fn routes() -> Router<AppState> {
    let generate = || post(images::generate);
    let deployment = "/openai/deployments/{model}/images/generations";
    let mut routes = Router::new()
        .route("/v1/images/generations/", generate())
        .route("/v1/images/edits/", post(edits::edit))
        .route("/v1/images/variations/", post(edits::vary))
        .route("/v1/models/", get(models::list))
        .route("/v1/models/{model}/", get(models::show))
        .route(deployment, post(images::generate_for_deployment))
        .route(&format!("{deployment}/"), post(images::generate_for_deployment));
    for base in ["", "/openai/v1", "/openai"] {
        for end in ["", "/"] {
            routes = routes
                .route(&format!("{base}/images/generations{end}"), generate())
                .route(&format!("{base}/images/edits{end}"), post(edits::edit))
                .route(&format!("{base}/images/variations{end}"), post(edits::vary))
                .route(&format!("{base}/models{end}"), get(models::list))
                .route(&format!("{base}/models/{{model}}{end}"), get(models::show));
        }
    }
    routes
}
