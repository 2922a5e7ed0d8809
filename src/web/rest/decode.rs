//! `POST /api/v1/decode`: the picture of a token file.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use crate::engine::Request;
use crate::model::{Given, ImageSeed, SamplingSettings};
use crate::picture::{self, Format, MAX_SCALE};
use crate::queue::AnyEngine;
use crate::request::{FieldError, shorten};
use crate::web::access::{Budget, Client};
use crate::web::files::{JPEG_QUALITY, RenderOptions, render_image};
use crate::web::headers::{NO_STORE, WARNING};
use crate::web::jobs::draw;
use crate::web::problem::Problem;
use crate::web::request::{Query, SmallBody};
use crate::web::state::AppState;

/// A token file as JSON: an image as its token grids.
#[derive(ToSchema)]
#[schema(as = TokenFile)]
#[allow(dead_code)] // Documentation; `picture` reads it.
pub(super) struct TokenFile {
    /// `rdpm-tokens/1`
    format: String,
    /// Name of the model.
    model: String,
    /// Version of the model's weights, if it is known.
    #[schema(required = false)]
    version: Option<String>,
    /// Seed of the noise.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    seed: u64,
    /// Index of the image whose noise it is.
    #[schema(required = false)]
    index: u32,
    /// T grids of h rows of h codes.
    tokens: Vec<Vec<Vec<u32>>>,
}

/// Decode tokens
///
/// The picture of a token file, which is JSON or binary (`.rdpm`): that of the run that made it, to the pixel. The class
/// doesn't matter, and the transformer isn't used.
#[utoipa::path(
    post,
    path = "/api/v1/decode",
    operation_id = "decodeTokens",
    tag = "Tokenizations",
    params(
        ("format" = Option<String>, Query, description = "Format of the picture: `png` (the default), `webp` or `jpeg`"),
        ("scale" = Option<u32>, Query, minimum = 1, maximum = 32, description = "Size of the square that every pixel becomes."),
    ),
    request_body(content((TokenFile = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses((
        status = 200, description = "The picture",
        headers(("Rdpm-Warning" = Option<String>, description = "If the tokens are of another version of the model")),
        content((Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg")),
    )),
)]
pub(super) async fn decode(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    mut query: Query,
    body: SmallBody,
) -> Result<Response, Problem> {
    let format = query.take("format", "png, webp, jpeg", Format::from_name).unwrap_or(Format::Png);
    let scale = query.integer("scale", 1..=MAX_SCALE).unwrap_or(1);
    query.finish()?;
    let (request, is_other_version) = read(&app.engine, &body.0)?;
    // Not one of the client's generations: it has no class.
    let snapshot = draw(&app.engine, &client, &budget, request).await?;
    let options = RenderOptions::scaled(format, scale, JPEG_QUALITY);
    let bytes = render_image(&app.renderer, &budget, &snapshot, 0, options).await?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    let mut response = ([NO_STORE, kind], bytes).into_response();
    if is_other_version {
        let warning = "The tokens are of another version of the model: the picture may differ.";
        response.headers_mut().insert(WARNING, HeaderValue::from_static(warning));
    }
    Ok(response)
}

/// The request that decodes a token file, and whether the tokens are of another version of the model.
///
/// # Errors
/// 400 for what is no token file, 422 for one that the served models can't decode.
fn read(engine: &AnyEngine, body: &[u8]) -> Result<(Request, bool), Problem> {
    let file = picture::TokenFile::read(body).map_err(|error| {
        let error = shorten(&error.to_string());
        Problem::new(StatusCode::BAD_REQUEST, format!("The body is no token file: {error}."))
    })?;
    let model = engine.model(&file.model).ok_or_else(|| {
        let known = engine.models().iter().map(|model| model.name()).collect::<Vec<_>>().join(", ");
        Problem::invalid(FieldError::new("model", file.model.as_str().into(), known))
    })?;
    let given = Given::kept(&model.config, &file.grids(), model.steps(), None)?;
    let settings = SamplingSettings::new(&model.config, 0)?;
    let request = Request::new(model, settings, file.seed)?.with_first(file.index).with_previews(false);
    let is_other_version = file.version.as_ref().is_some_and(|version| *version != model.version);
    Ok((request.with_given(given, ImageSeed::new(file.seed, file.index)), is_other_version))
}
