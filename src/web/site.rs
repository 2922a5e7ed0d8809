//! The site: all routes as one router.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use prometheus_client::registry::Registry;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use super::a1111::Clients;
use super::access::{CostLimiter, LinkSigner, RateLimiter};
use super::events::EventStreams;
use super::files::{ClassPictures, ImagePool, Renderer};
use super::http_metrics::HttpMetrics;
use super::jobs::JobIndex;
use super::mcp::AssistantTools;
use super::operations;
use super::operations::api_description::ApiDescription;
use super::options::Options;
use super::request::UploadPermits;
use super::state::AppState;
use super::webhooks::Webhooks;
use super::{a1111, mcp, middleware, openai, pages, rest};
use crate::model::Config;
use crate::queue::AnyEngine;

/// The whole site as a router, to be served or called in-process.
pub fn app(engine: impl Into<AnyEngine>, class_pictures: ClassPictures, options: &Options) -> Router {
    with_metrics(engine.into(), class_pictures, options, &HttpMetrics::default()).public
}

/// The tools for an assistant that has started this program.
pub fn assistant_tools(engine: impl Into<AnyEngine>) -> AssistantTools {
    let (_, document) = documented_routes().split_for_parts();
    let (options, metrics) = (Options::default(), HttpMetrics::default());
    AssistantTools::local(state(engine.into(), ClassPictures::default(), &options, &metrics, document))
}

/// The OpenAPI document of a server with these models, the default first, as JSON.
pub fn openapi(models: &[&Config]) -> serde_json::Value {
    operations::openapi_document(documented_routes().into_openapi(), models)
}

/// The routes that the OpenAPI document describes.
fn documented_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(rest::routes())
        .merge(openai::documented_routes())
        .merge(a1111::documented_routes())
        .merge(operations::documented_routes())
}

/// The routes of the site, and those of the operator's listener.
pub(super) struct Site {
    pub public: Router,
    pub admin: Router,
    pub webhooks: Webhooks,
}

/// The site, counted by `http_metrics`.
pub(super) fn with_metrics(
    engine: AnyEngine,
    class_pictures: ClassPictures,
    options: &Options,
    http_metrics: &HttpMetrics,
) -> Site {
    let (routes, document) = documented_routes().split_for_parts();
    let state = state(engine, class_pictures, options, http_metrics, document);
    let (rate_limiter, webhooks) = (state.rate_limiter.clone(), state.webhooks.clone());
    let routes = Router::new()
        .merge(pages::routes())
        .merge(operations::routes())
        .merge(openai::routes())
        .merge(a1111::routes())
        .merge(mcp::routes(&state))
        .merge(routes)
        .with_state(state.clone());
    let admin = operations::admin_routes().with_state(state);
    Site {
        public: middleware::apply(routes, options, http_metrics, rate_limiter),
        admin: middleware::apply_to_admin(admin, options),
        webhooks,
    }
}

/// What handlers share, for documented routes.
fn state(
    engine: AnyEngine,
    class_pictures: ClassPictures,
    options: &Options,
    http_metrics: &HttpMetrics,
    document: OpenApi,
) -> AppState {
    let mut registry = Registry::with_prefix("rdpm");
    engine.register_metrics(&mut registry);
    http_metrics.register(registry.sub_registry_with_prefix("http"));
    let models: Vec<&Config> = engine.models().iter().map(|info| &info.config).collect();
    let document = operations::openapi_document(document, &models);
    if let Some(store) = &options.store {
        store.register_metrics(registry.sub_registry_with_prefix("store"));
    }
    let jobs = JobIndex::new(options.store.clone());
    jobs.resume(&engine);
    let webhooks = Webhooks::new(options.webhooks.as_ref(), options.store.is_some(), &mut registry);
    let rate_limiter = RateLimiter::new(options.rate_limit, engine.charges());
    let cost_limiter = CostLimiter::new(options.cost_limit, engine.charges());
    AppState {
        engine,
        class_pictures: Arc::new(class_pictures),
        registry: Arc::new(registry),
        jobs: Arc::new(jobs),
        renderer: Renderer::default(),
        image_decoders: ImagePool::default(),
        upload_permits: UploadPermits::default(),
        rate_limiter,
        cost_limiter,
        event_streams: Arc::new(EventStreams::new(options.max_streams, &http_metrics.streams)),
        api_description: Arc::new(ApiDescription::new(&document)),
        first_model: options.first_model.as_deref().map(Arc::from),
        model_aliases: Arc::new(
            options.model_aliases.iter().cloned().map(|alias| (alias.name, alias.model)).collect(),
        ),
        link_signer: Arc::new(LinkSigner::new(options.link_lifetime)),
        a1111: Arc::new(Clients::default()),
        webhooks,
        public_pictures: options.keys.is_empty() || options.public_paths.pictures,
        started: SystemTime::now(),
    }
}
