//! `POST /api/v1/tokenizations`: the forward side of the paper, for one image.

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::DynamicImage;
use mediatype::MediaType;
use mediatype::names::{FORM_DATA, MULTIPART};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::generation_events::data_url;
use super::generations::NO_STORE;
use crate::engine::{Engine, ModelHandle, ModelInfo, SEED_MAX, Tokenized, TokenizedStep};
use crate::model::preprocess;
use crate::web::problem::{FieldError, Problem};
use crate::web::request::Query;
use crate::web::request::{
    Check, IMAGES, Upload, decode_base64, has_media_type, integer, open_image, read_json,
};
use crate::web::state::AppState;

/// An image to tokenize. `null` is as good as absent.
#[derive(Default, Deserialize, ToSchema)]
#[serde(expecting = "an object")]
#[schema(as = TokenizationRequest)]
pub(super) struct Body {
    /// A PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. One that isn't of the model's size is cropped to its
    /// central square and scaled.
    #[schema(required = true, value_type = String)]
    image: Option<Value>,
    /// Seed of the noise that the recurrence starts from.
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64, default = 0)]
    seed: Option<Value>,
    /// Name of the model; the server's default where it is silent.
    #[schema(value_type = Option<String>)]
    model: Option<Value>,
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: Map<String, Value>,
}

/// The same as a form.
#[derive(ToSchema)]
#[schema(as = TokenizationForm)]
#[allow(dead_code)] // Documentation of `form`.
pub(super) struct Form {
    /// The file.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    #[schema(required = false, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    seed: u64,
    #[schema(required = false)]
    model: String,
}

/// An image's token grids, and what they decode to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokenization {
    model: String,
    seed: u64,
    steps: Vec<Step>,
    input: Picture,
    reconstruction: Picture,
    /// The size that was sent, where the image was cropped and scaled.
    resized_from: Option<Size>,
}

/// One step of the recurrence.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenizationStep)]
struct Step {
    /// 1 to T.
    step: usize,
    /// Rows of codes.
    tokens: Vec<Vec<u32>>,
    /// The running latent, decoded: a PNG file as a `data:` URL.
    noisy: String,
    /// The same less its noise.
    clean: String,
}

/// A picture of the model's own size.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenizationPicture)]
struct Picture {
    /// A PNG file.
    png_base64: String,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ImageDimensions)]
struct Size {
    width: u32,
    height: u32,
}

/// What a body asks for.
struct Order {
    model: ModelHandle,
    file: Vec<u8>,
    seed: u64,
}

/// Tokenize an image
///
/// The forward side: the noise of a seed becomes the image in T steps, each of which is a grid of codes. JSON, or a form
/// (`multipart/form-data`) with the file as its part `image`.
#[utoipa::path(
    post,
    path = "/api/v1/tokenizations",
    operation_id = "createTokenization",
    tag = "Tokenizations",
    request_body(content((Body = "application/json"), (Form = "multipart/form-data"))),
    responses((status = 200, body = Tokenization)),
)]
pub(super) async fn create(
    State(app): State<AppState>,
    query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    query.finish()?;
    let headers = &upload.headers;
    let is_form = has_media_type(headers, &MediaType::new(MULTIPART, FORM_DATA));
    let order = if is_form {
        form(headers, upload.body.clone(), &app.engine).await?
    } else {
        json(read_json(headers, &upload.body)?, &app.engine)?
    };
    let model = order.model;
    let (to, side) = (model.config.image.clone(), model.config.image.size as u32);
    // Here and not on the worker's thread, where it would hold up the steps of others.
    let prepare = move |image: &DynamicImage| ((image.width(), image.height()), preprocess(image, &to));
    let (size, fitted) = open_image(&app.image_pool, order.file, prepare).await?;
    drop(upload);
    let mut tokenized = app.engine.tokenize(&model, fitted, order.seed).await?;
    tokenized.resized_from = (size != (side, side)).then_some(size);
    let tokenization = Tokenization::new(&model, order.seed, &tokenized);
    Ok(([NO_STORE], Json(tokenization)).into_response())
}

fn json(body: Body, engine: &Engine) -> Result<Order, Problem> {
    let mut check = Check::new(engine, body.model);
    for (field, value) in body.unknown {
        check.refuse(&field, value, "the fields image, seed and model");
    }
    let seed = check.get("seed", body.seed, &format!("integers from 0 to {SEED_MAX}"), |value| {
        integer(value).filter(|seed| *seed <= SEED_MAX)
    });
    let file = check.required("image", body.image, IMAGES, |value| value.as_str().and_then(decode_base64));
    let model = check.info.clone();
    check.finish()?;
    Ok(Order { model, file: file.unwrap_or_default(), seed: seed.unwrap_or(0) })
}

/// A form's parts, each at most once: the file, and texts.
async fn form(headers: &HeaderMap, body: axum::body::Bytes, engine: &Engine) -> Result<Order, Problem> {
    let unreadable =
        |_| Problem::new(axum::http::StatusCode::BAD_REQUEST, "The form is not valid multipart/form-data.");
    let mut request = Request::new(HttpBody::from(body));
    *request.headers_mut() = headers.clone();
    // It is here, as large as it may be.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| unreadable(()))?;
    let mut file = None;
    let mut fields = Body::default();
    // The names of parts are no model's affair.
    let mut check = Check::new(engine, None);
    while let Some(part) = parts.next_field().await.map_err(|_| unreadable(()))? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|_| unreadable(()))?;
        let text = || String::from_utf8_lossy(&bytes).into_owned();
        let place = match name.as_str() {
            "image" if file.is_none() => {
                file = Some(bytes.to_vec());
                continue;
            }
            "seed" => &mut fields.seed,
            "model" => &mut fields.model,
            _ => {
                check.refuse(&name, text().into(), "the parts image, seed and model, each once");
                continue;
            }
        };
        if place.is_some() {
            check.refuse(&name, text().into(), "the part once");
        }
        // In a form a number is a text.
        *place = Some(match name.as_str() {
            "seed" => text().trim().parse::<u64>().map_or_else(|_| text().into(), Value::from),
            _ => text().into(),
        });
    }
    check.finish()?;
    let file = file.ok_or_else(missing_file)?;
    // The image's field was a part; the others are checked as those of JSON.
    let checked = json(Body { image: Some("".into()), ..fields }, engine)?;
    Ok(Order { file, ..checked })
}

fn missing_file() -> Problem {
    let allowed = "a part with a file".into();
    Problem::invalid(vec![FieldError { field: "image".into(), value: Value::Null, allowed }])
}

impl Tokenization {
    fn new(info: &ModelInfo, seed: u64, tokenized: &Tokenized) -> Self {
        let picture = |png: &[u8]| Picture { png_base64: STANDARD.encode(png) };
        let width = info.config.latent.grid;
        let step = |(index, step): (usize, &TokenizedStep)| Step {
            step: index + 1,
            tokens: step.tokens.chunks(width).map(<[u32]>::to_vec).collect(),
            noisy: data_url(&step.preview.noisy),
            clean: data_url(&step.preview.clean),
        };
        let last = tokenized.steps.last().map(|step| &step.preview.clean[..]);
        Self {
            model: info.config.name.clone(),
            seed,
            steps: tokenized.steps.iter().enumerate().map(step).collect(),
            input: picture(&tokenized.input),
            reconstruction: picture(last.unwrap_or_default()),
            resized_from: tokenized.resized_from.map(|(width, height)| Size { width, height }),
        }
    }
}
