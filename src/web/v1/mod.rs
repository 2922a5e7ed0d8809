//! `/api/v1/…`: the API.
//!
//! | method and path | answer |
//! |---|---|
//! | `POST /api/v1/generations` | 202 and a job; or, when it is done, the job or the picture itself |
//! | `GET /api/v1/generations` | the client's own jobs |
//! | `GET /api/v1/generations/{id}` | the job and its images |
//! | `DELETE /api/v1/generations/{id}` | cancels; 200 and the job |
//! | `GET /api/v1/generations/{id}/events` | the job as server-sent events |
//! | `GET /api/v1/generations/{id}/images/{file}` | one finished image: `0.png`, `0.webp`, `0.jpg` |
//! | `GET /api/v1/generations/{id}/{file}` | all of them: `sheet.png`, …; the steps: `animation.gif`, … |
//! | `POST /api/v1/tokenizations` | the token grids of an image |
//! | `GET /api/v1/models`, `GET /api/v1/classes` | what is served |
//! | `GET /api/v1/models/{model}/classes/{file}` | a sample picture of a class |
//!
//! Bodies are documented where they are defined: `create` (what is asked for), `generation` (jobs), `events` (the
//! stream), `tokenizations`, `models`.

mod animation;
mod create;
mod events;
mod files;
mod generation;
mod generations;
mod models;
mod negotiate;
mod tokenizations;

use axum::routing::get;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;

pub(super) use animation::Which;
pub(super) use events::{QueuedEvent, StartedEvent, StepEvent};
pub(super) use models::{Limits, picture_url};

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(files::Described::openapi())
        .routes(routes!(create::create, generations::list))
        .routes(routes!(generations::show, generations::cancel))
        .routes(routes!(events::stream))
        .routes(routes!(files::image))
        .route("/api/v1/generations/{id}/{file}", get(files::whole))
        .routes(routes!(tokenizations::create))
        .routes(routes!(models::models))
        .routes(routes!(models::classes))
        .routes(routes!(models::picture))
}
