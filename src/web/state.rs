//! What handlers share.

use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::FromRef;
use prometheus_client::registry::Registry;

use super::a1111::Clients;
use super::access::{CostLimiter, LinkSigner, RateLimiter};
use super::events::EventStreams;
use super::files::{ClassPictures, ImagePool, Renderer};
use super::jobs::JobIndex;
use super::model_alias::ModelAliases;
use super::operations::api_description::ApiDescription;
use super::request::UploadPermits;
use super::webhooks::Webhooks;
use crate::queue::AnyEngine;

/// The state of the router. Cheap to clone.
#[derive(Clone)]
pub(super) struct AppState {
    pub engine: AnyEngine,
    pub class_pictures: Arc<ClassPictures>,
    pub registry: Arc<Registry>,
    pub jobs: Arc<JobIndex>,
    pub renderer: Renderer,
    /// Decodes images that clients send.
    pub image_decoders: ImagePool,
    pub upload_permits: UploadPermits,
    pub rate_limiter: RateLimiter,
    pub cost_limiter: CostLimiter,
    pub event_streams: Arc<EventStreams>,
    pub api_description: Arc<ApiDescription>,
    /// The model of the page's first view, if it isn't the default one.
    pub first_model: Option<Arc<str>>,
    /// Names of models in the OpenAI-compatible API.
    pub model_aliases: Arc<ModelAliases>,
    pub link_signer: Arc<LinkSigner>,
    /// What is remembered of clients of AUTOMATIC1111's API.
    pub a1111: Arc<Clients>,
    pub webhooks: Webhooks,
    /// Whether pictures by address need no key.
    pub public_pictures: bool,
    pub started: SystemTime,
}

impl FromRef<AppState> for CostLimiter {
    fn from_ref(app: &AppState) -> Self {
        app.cost_limiter.clone()
    }
}

impl FromRef<AppState> for RateLimiter {
    fn from_ref(app: &AppState) -> Self {
        app.rate_limiter.clone()
    }
}

impl FromRef<AppState> for UploadPermits {
    fn from_ref(app: &AppState) -> Self {
        app.upload_permits.clone()
    }
}
