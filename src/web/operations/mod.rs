//! For operators and for developers of clients: health and metrics, the OpenAPI document (`openapi`) and the page made from
//! it (`api_description`, `docs`).

pub(super) mod api_description;
mod docs;
mod health;
mod metrics;
mod openapi;

use axum::Router;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) use openapi::openapi_document;

/// The routes that the OpenAPI document describes.
pub(super) fn documented_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health::live)).routes(routes!(health::ready))
}

/// The routes of the operator's own listener.
pub(super) fn admin_routes() -> Router<AppState> {
    Router::new()
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
}

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/metrics", get(metrics::show))
        .route("/openapi.json", get(docs::json))
        .route("/docs", get(docs::html))
}
