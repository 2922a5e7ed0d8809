//! `POST /api/v1/tokenizations`: the forward side of the paper, for one image.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mediatype::MediaType;
use mediatype::names::{FORM_DATA, MULTIPART};
use serde::Serialize;
use utoipa::ToSchema;

use super::generation_events::data_url;
use crate::engine::{ModelInfo, Tokenized, TokenizedStep};
use crate::model;
use crate::request::{TOKENIZATION_FIELDS, TokenizationRequest};
use crate::web::access::{Budget, Cost};
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::request::{Query, Upload, has_media_type, open_image, read_json_object, read_multipart};
use crate::web::state::AppState;

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[schema(as = TokenizationRequest)]
#[allow(dead_code)]
pub(super) struct Body {}

/// The same as a form.
#[derive(ToSchema)]
#[schema(as = TokenizationForm)]
#[allow(dead_code)] // Documentation of the form.
pub(super) struct FormBody {
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
    /// What the image shows, if the model can name it.
    caption: Option<Caption>,
}

/// What an image shows, as far as the model can tell.
#[derive(Debug, Serialize, ToSchema)]
struct Caption {
    /// Names of what the model can draw, the most probable first. Each is a prompt.
    names: Vec<Guess>,
    /// Words of the vocabulary, the most probable first.
    words: Vec<Guess>,
}

/// A name or a word with its probability.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CaptionGuess)]
struct Guess {
    text: String,
    /// 0 to 1, among all names or all words.
    probability: f32,
}

impl From<&model::Caption> for Caption {
    fn from(caption: &model::Caption) -> Self {
        let guess = |guess: &model::Guess| Guess { text: guess.text.clone(), probability: guess.probability };
        let [names, words] =
            [&caption.names, &caption.words].map(|guesses| guesses.iter().map(guess).collect());
        Self { names, words }
    }
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

/// Tokenize an image
///
/// Recurrent tokenization: the noise of a seed becomes the image in T steps, each of which is a grid of codes. Send JSON, or
/// a form (`multipart/form-data`) with the file as its part `image`.
#[utoipa::path(
    post,
    path = "/api/v1/tokenizations",
    operation_id = "createTokenization",
    tag = "Tokenizations",
    request_body(content((Body = "application/json"), (FormBody = "multipart/form-data"))),
    responses((status = 200, description = "The tokens", body = Tokenization)),
)]
pub(super) async fn create(
    State(app): State<AppState>,
    budget: Budget,
    query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    query.finish()?;
    let engine = app.engine.clone();
    let read = upload.read(move |headers, body| {
        if !has_media_type(headers, &MediaType::new(MULTIPART, FORM_DATA)) {
            return Ok(TokenizationRequest::read(engine.models(), read_json_object(headers, body)?)?);
        }
        let mut form = read_multipart(headers, body.clone(), TOKENIZATION_FIELDS)?;
        let mut request = TokenizationRequest::read(engine.models(), form.values)?;
        request.file = form.images.remove("image").map(Vec::from).unwrap_or_default();
        Ok(request)
    });
    let (upload, request) = read.await?;
    let TokenizationRequest { model, file, seed } = request;
    let side = model.config.image.size as u32;
    // Not on the worker's thread, where it would delay the steps of jobs.
    let (size, prepared) =
        open_image(&app.image_decoders, &budget, Cost::images(1), file, "image", &model).await?;
    drop(upload);
    let mut tokenized = app.engine.tokenize(&model, prepared, seed).await?;
    tokenized.resized_from = (size != (side, side)).then_some(size);
    let tokenization = Tokenization::new(&model, seed, &tokenized);
    Ok(([NO_STORE], Json(tokenization)).into_response())
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
            caption: tokenized.caption.as_ref().map(Caption::from),
        }
    }
}
