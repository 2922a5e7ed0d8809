//! `/api/v1/…`: the REST API.
//!
//! | method and path | answer | file |
//! |---|---|---|
//! | `POST /api/v1/generations` | 202 and a job; or, with `wait`, 200 and the job or the picture itself | `create_generation` |
//! | `POST /api/v1/interpolations` | the same for images between two others | `interpolations` |
//! | `GET /api/v1/generations` | the client's own jobs | `generations` |
//! | `GET /api/v1/generations/{id}` | the job and its images | `generations` |
//! | `DELETE /api/v1/generations/{id}` | cancels; 200 and the job | `generations` |
//! | `GET /api/v1/generations/{id}/events` | the job as server-sent events | `generation_events` |
//! | `GET /api/v1/generations/{id}/images/{file}` | one finished image: `0.png`, `0.webp`, `0.jpg` | `pictures` |
//! | `GET /api/v1/generations/{id}/{file}` | all images: `sheet.png`, …; the steps or the images: `animation.gif`, … | `pictures` |
//! | `GET /api/v1/pictures/{model}@{version}/{class}.png?seed=…` | a picture by what it shows, drawn where it is not cached | `picture_address` |
//! | `POST /api/v1/decode` | the picture of a token file | `decode` |
//! | `GET /api/v1/gallery`, and below it | the client's pictures in the store: pages, favourites, deleting, archives, numbers | `gallery`, `gallery_summary` |
//! | `POST /api/v1/tokenizations` | the token grids of an image | `tokenizations` |
//! | `GET /api/v1/models`, `GET /api/v1/classes` | the served models | `models` |
//! | `GET /api/v1/words` | words and subjects that complete a prompt | `words` |
//! | `GET /api/v1/workers` | the workers on other machines | `workers` |
//! | `GET /api/v1/models/{model}/classes/{file}` | a sample picture of a class | `models` |
//!
//! `generation` is a job as JSON; `answer` submits one.

mod answer;
mod create_generation;
mod decode;
mod gallery;
mod gallery_summary;
mod generation;
mod generation_events;
mod generations;
mod interpolations;
mod models;
mod picture_address;
mod pictures;
mod tokenizations;
mod words;
mod workers;

use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) use generation_events::{QueuedEvent, RedrawnEvent, StartedEvent, StepEvent};

pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(pictures::FileAddresses::openapi())
        .routes(routes!(create_generation::create, generations::list))
        .routes(routes!(interpolations::create))
        .routes(routes!(generations::show, generations::cancel))
        .routes(routes!(generation_events::stream))
        .routes(routes!(pictures::image))
        .route("/api/v1/generations/{id}/{file}", get(pictures::sheet_or_animation))
        .routes(routes!(gallery::list))
        .routes(routes!(gallery_summary::show))
        .routes(routes!(gallery::image))
        .routes(routes!(gallery::add_favourite, gallery::remove_favourite))
        .routes(routes!(gallery::delete))
        .routes(routes!(gallery::restore))
        .routes(routes!(gallery::download))
        .routes(routes!(picture_address::show))
        .routes(routes!(tokenizations::create))
        .routes(routes!(decode::decode))
        .routes(routes!(models::models))
        .routes(routes!(models::classes))
        .routes(routes!(models::class_picture))
        .routes(routes!(words::complete))
        .routes(routes!(workers::list))
}
