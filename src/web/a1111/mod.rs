//! `/sdapi/v1/…`: the API of AUTOMATIC1111's web interface to Stable Diffusion, for clients that speak it.
//!
//! | method and path | answer |
//! |---|---|
//! | `POST /sdapi/v1/txt2img` | images of what the prompt names |
//! | `POST /sdapi/v1/img2img` | the last steps of an image, or a part of it, drawn again |
//! | `GET /sdapi/v1/progress` | how far the client's newest request is, with a preview |
//! | `POST /sdapi/v1/interrupt`, `POST /sdapi/v1/skip` | ends the client's requests |
//! | `GET /sdapi/v1/options`, `POST /sdapi/v1/options` | the client's model |
//! | `GET /sdapi/v1/sd-models`, `GET /sdapi/v1/samplers` | what there is to choose |
//! | `POST /sdapi/v1/png-info` | the settings in a picture's file |
//!
//! The same with a slash at the end. Further lists that clients ask for are in `lists`.
//!
//! Fields: `fields` (the table), `image_request` (a body, checked), `prompt_syntax`. Drawing: `images` (the handlers), `draw`,
//! `response`, `infotext` (settings as text). Clients: `clients` (what is remembered of each), `progress`, `options`.
//!
//! Handlers answer errors with a `Problem` like all others; `web::problem` gives it AUTOMATIC1111's shape.

mod clients;
mod draw;
mod fields;
mod image_request;
mod images;
mod infotext;
mod lists;
mod models;
mod options;
mod png_info;
mod progress;
mod prompt_syntax;
mod response;
mod time;

use axum::Router;
use axum::routing::{MethodRouter, get, post};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::state::AppState;

pub(super) use clients::Clients;
pub(super) use fields::a1111_request_schemas;

/// The routes that the OpenAPI document describes.
pub(super) fn documented_routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(images::text_to_image))
        .routes(routes!(images::image_to_image))
        .routes(routes!(progress::show))
        .routes(routes!(progress::interrupt))
        .routes(routes!(models::list))
        .routes(routes!(lists::samplers))
        .routes(routes!(options::show, options::change))
        .routes(routes!(png_info::read))
}

/// The lists that clients ask for, and the other addresses of the same.
pub(super) fn routes() -> Router<AppState> {
    let documented: [(&str, MethodRouter<AppState>); 8] = [
        ("txt2img", post(images::text_to_image)),
        ("img2img", post(images::image_to_image)),
        ("progress", get(progress::show)),
        ("interrupt", post(progress::interrupt)),
        ("sd-models", get(models::list)),
        ("samplers", get(lists::samplers)),
        ("options", get(options::show).post(options::change)),
        ("png-info", post(png_info::read)),
    ];
    let others: [(&str, MethodRouter<AppState>); 20] = [
        ("skip", post(progress::skip)),
        ("schedulers", get(lists::schedulers)),
        ("upscalers", get(lists::upscalers)),
        ("latent-upscale-modes", get(lists::nothing)),
        ("sd-vae", get(lists::nothing)),
        ("hypernetworks", get(lists::nothing)),
        ("face-restorers", get(lists::nothing)),
        ("realesrgan-models", get(lists::nothing)),
        ("loras", get(lists::nothing)),
        ("extensions", get(lists::nothing)),
        ("script-info", get(lists::nothing)),
        ("embeddings", get(lists::embeddings)),
        ("scripts", get(lists::scripts)),
        ("prompt-styles", get(lists::styles)),
        ("memory", get(lists::memory)),
        ("cmd-flags", get(lists::flags)),
        ("refresh-checkpoints", post(lists::refresh)),
        ("refresh-vae", post(lists::refresh)),
        ("refresh-loras", post(lists::refresh)),
        ("refresh-embeddings", post(lists::refresh)),
    ];
    let mut routes = Router::new();
    for (name, methods) in documented {
        routes = routes.route(&format!("/sdapi/v1/{name}/"), methods);
    }
    for (name, methods) in others {
        routes = routes
            .route(&format!("/sdapi/v1/{name}"), methods.clone())
            .route(&format!("/sdapi/v1/{name}/"), methods);
    }
    routes
}
