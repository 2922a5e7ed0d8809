//! The web layer: the page, the JSON API and its event streams, over HTTP.
//!
//! What belongs here: routes, checking what clients send, and turning jobs into JSON and picture files. What doesn't: how
//! images are made (`engine` and below).
//!
//! - `v1`: the API, `/api/v1/…`; bodies are documented where they are defined
//! - `openai`: the images API of OpenAI, `/v1/…`, for clients that speak that
//! - `openapi`, `docs`: the two described, for programs and for people
//! - `page`, `static_files`, `pictures`: the page and what it loads
//! - `health`, `metrics`: for supervisors, load balancers and Prometheus
//! - `check`, `query`, `problem`: what is wrong with a request, all of it at once
//! - `upload`: images that clients send
//! - `event_stream`: what all server-sent events have in common
//! - `ledger`, `wait`, `render`: whose job it is, when it ends, what it looks like as a file
//! - the rest: what every request passes, and connections

mod bodies;
mod check;
mod docs;
mod event_stream;
mod health;
mod http_metrics;
mod keys;
mod layers;
mod ledger;
mod metrics;
mod openai;
mod openapi;
mod options;
mod page;
mod pictures;
mod problem;
mod query;
mod rate;
mod render;
mod server;
mod static_files;
mod upload;
mod v1;
mod wait;

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use prometheus_client::registry::Registry;
use utoipa_axum::router::OpenApiRouter;

pub use keys::{ApiKey, ApiKeyError};
pub use options::{Open, Options, Origin, OriginError, ProxyHeader, RateLimit};
pub use pictures::ClassPictures;
pub use server::serve;

use self::event_stream::EventStreams;
use self::http_metrics::HttpMetrics;
use self::ledger::Ledger;
use self::render::Renderer;
use crate::engine::Engine;
use crate::model::Config;

/// The largest request body, in bytes, where a route says nothing else. A full request has about 300.
const BODY_LIMIT: usize = 64 * 1024;

/// What handlers work with.
#[derive(Clone)]
struct App {
    engine: Arc<Engine>,
    pictures: Arc<ClassPictures>,
    registry: Arc<Registry>,
    ledger: Arc<Ledger>,
    renderer: Arc<Renderer>,
    uploads: upload::Room,
    streams: Arc<EventStreams>,
    description: Arc<docs::Description>,
    started: SystemTime,
}

/// The whole site as a router, to be served or called in-process.
pub fn app(engine: Arc<Engine>, pictures: ClassPictures, options: &Options) -> Router {
    site(engine, pictures, options, &HttpMetrics::default())
}

/// The OpenAPI document of a server with these models, the default first, as JSON.
pub fn openapi(models: &[&Config]) -> serde_json::Value {
    openapi::document(api().into_openapi(), models)
}

/// What the OpenAPI document describes.
fn api() -> OpenApiRouter<App> {
    OpenApiRouter::new().merge(v1::routes()).merge(openai::routes()).merge(health::routes())
}

fn site(engine: Arc<Engine>, pictures: ClassPictures, options: &Options, http: &HttpMetrics) -> Router {
    let mut registry = Registry::with_prefix("rdpm");
    engine.register_metrics(&mut registry);
    http.register(registry.sub_registry_with_prefix("http"));
    let (api, document) = api().split_for_parts();
    let models: Vec<&Config> = engine.models().iter().map(|info| &info.config).collect();
    let document = openapi::document(document, &models);
    let app = App {
        engine,
        pictures: Arc::new(pictures),
        registry: Arc::new(registry),
        ledger: Arc::default(),
        renderer: Arc::default(),
        uploads: upload::Room::default(),
        streams: Arc::new(EventStreams::new(options.max_streams, &http.streams)),
        description: Arc::new(docs::Description::new(&document)),
        started: SystemTime::now(),
    };
    let routes = Router::new()
        .route("/", get(page::index).post(page::draw))
        .route("/static/{*path}", get(static_files::file))
        .route("/metrics", get(metrics::text))
        .route("/openapi.json", get(docs::json))
        .route("/docs", get(docs::html))
        .merge(api)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app);
    layers::around(routes, options, http)
}
