//! The web layer: the page, the APIs and their event streams, over HTTP.
//!
//! What belongs here: routes, reading requests, and turning jobs into JSON and picture files. What doesn't: which fields a
//! request has and what they allow (`request`, the layer below), how images are drawn (`engine` and below).
//!
//! | folder | contents |
//! |---|---|
//! | `pages` | the page, its form and its static files |
//! | `rest` | `/api/v1/…`, one file a resource |
//! | `openai` | `/v1/…`: the images API of OpenAI |
//! | `a1111` | `/sdapi/v1/…`: the API of AUTOMATIC1111's web interface |
//! | `mcp` | `/mcp`: tools for assistants (Model Context Protocol) |
//! | `operations` | health, metrics, the OpenAPI document and the page made of it |
//! | `events` | server-sent events: open streams, `Last-Event-ID` |
//! | `files` | picture files: rendering, animations, caching |
//! | `jobs` | whose jobs they are, idempotency keys, waiting for the end |
//! | `webhooks` | telling other servers that a generation has ended |
//! | `request` | reading queries, JSON, forms and uploaded images |
//! | `access` | API keys, clients, rate limits, origins, body timeouts |
//! | `problem` | errors and their shapes |
//!
//! Files at this level: `site` (the router), `middleware` (what every request passes), `listener` (where clients connect to),
//! `server` (connections), `background` (threads for long work), `http2` (connections of HTTP/2), `state` (what handlers share), `options` (an operator's settings), `headers` (of several routes), `memory` (what pictures take at
//! most), `model_alias` (further names of models), `http_metrics`.

mod a1111;
mod access;
mod background;
mod events;
mod files;
mod headers;
mod http2;
mod http_metrics;
mod jobs;
mod listener;
mod mcp;
mod memory;
mod middleware;
mod model_alias;
mod openai;
mod operations;
mod options;
mod pages;
mod problem;
mod request;
mod rest;
mod server;
mod site;
mod state;
mod unix_time;
mod webhooks;

pub use access::{
    ApiKey, ApiKeyError, HostName, HostNameError, Origin, OriginError, ProxyHeader, PublicPaths, RateLimit,
    RootPath, RootPathError,
};
pub use files::ClassPictures;
pub use listener::Listener;
pub use mcp::AssistantTools;
pub use memory::MAX_IMAGE_MEMORY;
pub use model_alias::{ModelAlias, ModelAliasError};
pub use options::Options;
pub use server::{serve, serve_with_admin};
pub use site::{app, assistant_tools, openapi};
pub use webhooks::{
    WebhookHost, WebhookHostError, WebhookNetwork, WebhookNetworkError, WebhookOptions, WebhookSecret,
    WebhookSecretError,
};
