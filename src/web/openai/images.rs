//! `POST /v1/images/generations`.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use super::body::{self, Body, Order};
use super::stream;
use crate::engine::{ModelInfo, Snapshot};
use crate::picture::Format;
use crate::web::check;
use crate::web::keys::KeyName;
use crate::web::ledger::{Client, Output};
use crate::web::problem::Problem;
use crate::web::query::Query;
use crate::web::render::{self, Look};
use crate::web::wait::{CancelOnDrop, finished};
use crate::web::{App, BODY_LIMIT};

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// The images.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImages)]
pub(super) struct Images {
    /// Unix time in seconds.
    created: u64,
    data: Vec<Image>,
    #[serde(flatten)]
    kind: Kind,
    usage: Usage,
    /// The seed that was used (not OpenAI's).
    seed: u64,
}

/// One image: as a file or as an address.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiImage)]
struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    b64_json: Option<String>,
    /// Dies with the generation.
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    /// The class that was drawn.
    revised_prompt: String,
}

/// What kind of pictures these are.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiKind)]
pub(super) struct Kind {
    /// `opaque`
    background: &'static str,
    /// `png`, `webp` or `jpeg`
    output_format: &'static str,
    /// `high`
    quality: &'static str,
    /// Width and height.
    size: String,
}

/// Tokens read and drawn.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiUsage)]
pub(super) struct Usage {
    /// 1: the class.
    input_tokens: u64,
    input_tokens_details: TokenDetails,
    /// Codes drawn: one for each position of the token grid at each step of each image.
    output_tokens: u64,
    output_tokens_details: TokenDetails,
    total_tokens: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = OpenAiTokenDetails)]
struct TokenDetails {
    image_tokens: u64,
    text_tokens: u64,
}

impl Kind {
    pub fn new(info: &ModelInfo, look: Look) -> Self {
        let side = info.config.image.size as u32 * look.scale;
        Self {
            background: "opaque",
            output_format: look.format.name(),
            quality: "high",
            size: format!("{side}x{side}"),
        }
    }
}

impl Usage {
    pub fn new(info: &ModelInfo, images: u32) -> Self {
        let config = &info.config;
        let codes = (config.latent.grid.pow(2) * config.steps()) as u64 * u64::from(images);
        Self {
            input_tokens: 1,
            input_tokens_details: TokenDetails { image_tokens: 0, text_tokens: 1 },
            output_tokens: codes,
            output_tokens_details: TokenDetails { image_tokens: codes, text_tokens: 0 },
            total_tokens: codes + 1,
        }
    }
}

/// Generate images
///
/// OpenAI's clients work unchanged: point their `base_url` to `/v1`, with any `api_key` where the server asks for none.
/// With `stream`, server-sent events: `image_generation.partial_image` (a `PartialImageEvent`) for each preview that
/// `partial_images` asks for, then `image_generation.completed` (a `CompletedEvent`). When the client disconnects before the
/// end, the generation is canceled.
#[utoipa::path(
    post,
    path = "/v1/images/generations",
    operation_id = "openaiGenerateImages",
    tag = "OpenAI",
    request_body = Body,
    responses((status = 200, content((Images = "application/json"), (String = "text/event-stream")))),
)]
pub(super) async fn generate(
    State(app): State<App>,
    key: Option<Extension<KeyName>>,
    headers: HeaderMap,
    query: Query,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = check::whole(body, BODY_LIMIT)?;
    query.finish()?;
    let order = body::parse(&headers, &body, &app.engine)?;
    let client = Client::new(&headers, key.map(|Extension(key)| key))?;
    let request = order.request.clone().with_previews(order.partial_images > 0);
    let output = Output { format: Some(order.look.format), scale: order.look.scale };
    let place = if order.stream { Some(app.streams.enter()?) } else { None };
    let id = app.ledger.submit(&app.engine, request, client, output, None)?;
    let guard = CancelOnDrop(app.engine.clone(), id);
    if let Some(place) = place {
        return stream::stream(app, place, guard, order.look, order.partial_images);
    }
    let snapshot = finished(&app, id).await?;
    let images = images(&app, &snapshot, &order, &headers).await?;
    Ok(([NO_STORE], Json(images)).into_response())
}

async fn images(
    app: &App,
    snapshot: &Snapshot,
    order: &Order,
    headers: &HeaderMap,
) -> Result<Images, Problem> {
    let info = &snapshot.model;
    let class = info.config.classes.get(snapshot.request.settings().class());
    let base = base_url(headers);
    let mut data = Vec::with_capacity(snapshot.images.len());
    for image in &snapshot.images {
        let file = match order.urls {
            true => None,
            false => Some(render::image(app, snapshot, image.index, order.look).await?),
        };
        let Look { format, scale, .. } = order.look;
        let url = || {
            let own = format!("{base}/api/v1/generations/{}/images/{}", snapshot.id, image.index);
            format!("{own}.{}?scale={scale}", Format::name(format))
        };
        data.push(Image {
            url: file.is_none().then(url),
            b64_json: file.map(|file| STANDARD.encode(file)),
            revised_prompt: class.cloned().unwrap_or_default(),
        });
    }
    Ok(Images {
        created: unix_time(),
        data,
        kind: Kind::new(info, order.look),
        usage: Usage::new(info, snapshot.request.count()),
        seed: snapshot.request.seed(),
    })
}

/// What this client reached the server by. A wrong header misleads nobody but who sent it.
fn base_url(headers: &HeaderMap) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = text("x-forwarded-proto").filter(|scheme| *scheme == "https").unwrap_or("http");
    format!("{scheme}://{}", text("host").unwrap_or("localhost"))
}

pub(super) fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
