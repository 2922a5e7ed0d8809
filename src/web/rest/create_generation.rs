//! `POST /api/v1/generations`: asking for images.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, http::HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::generation::{Accepted, Generation};
use super::generations::{NO_STORE, not_found};
use super::pictures::respond_with_picture;
use crate::engine::{Engine, ModelHandle, Request};
use crate::picture::{Format, MAX_SCALE};
use crate::web::access::Client;
use crate::web::files::{JPEG_QUALITY, RenderOptions, check_size, sheet_pixels};
use crate::web::jobs::{CancelOnDrop, IdempotencyKey, PictureFormat, wait_until_completed};
use crate::web::problem::Problem;
use crate::web::request::{
    Check, IMAGES, Query, Representation, Sampling, Upload, decode_base64, integer, negotiate, open_image,
    read_json,
};
use crate::web::state::AppState;

/// The seed that was used, with answers that aren't JSON.
const SEED: HeaderName = HeaderName::from_static("rdpm-seed");
const FLAG: &str = "true or false";

/// What to draw. `null` is as good as absent.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object")]
#[schema(as = GenerationRequest)]
pub(super) struct Body {
    /// Class to draw: its name, in any case, or its index.
    #[schema(required = true, value_type = String)]
    class: Option<Value>,
    /// Name of the model; the server's default where it is silent. It decides which classes, codes and steps there are.
    #[schema(value_type = Option<String>)]
    model: Option<Value>,
    /// Seed of all randomness; drawn at random where it is silent, and told in the answer.
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    seed: Option<Value>,
    /// Number of images: image i is drawn from (seed, i).
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16, default = 1)]
    count: Option<Value>,
    /// Guidance scale: how strongly the class is followed. 1 is no guidance.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 20)]
    guidance: Option<Value>,
    /// How freely codes are drawn; 0 takes the most probable.
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 5)]
    temperature: Option<Value>,
    /// Draw from the so many most probable codes only.
    #[schema(value_type = Option<u32>, minimum = 1)]
    top_k: Option<Value>,
    /// Draw from the most probable codes that together hold this share of the probability.
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 1)]
    top_p: Option<Value>,
    /// Whether step events show what the images are so far. Where the answer waits for the end they don't unless this is
    /// `true`.
    #[schema(value_type = Option<bool>)]
    previews: Option<Value>,
    /// Whether step events name the most probable codes of each position.
    #[schema(value_type = Option<bool>, default = false)]
    alternatives: Option<Value>,
    /// Whether the job is canceled when its last event stream has been gone for a few seconds.
    #[schema(value_type = Option<bool>, default = false)]
    cancel_on_disconnect: Option<Value>,
    /// An image to vary: a PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. Image i starts from the state
    /// that it has after `from_step` steps with the noise of (seed, i).
    #[schema(value_type = Option<String>)]
    image: Option<Value>,
    /// With `image`, and required there: early steps leave it free, late ones keep to it.
    #[schema(value_type = Option<u32>, minimum = 1)]
    from_step: Option<Value>,
    /// File format of the pictures that the answer has or links to.
    #[schema(value_type = Option<FormatName>, default = "png")]
    format: Option<Value>,
    /// Show every pixel as a square of this size in these pictures.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 32, default = 1)]
    scale: Option<Value>,
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: Map<String, Value>,
}

/// A file format of still pictures.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[allow(dead_code)] // Documentation of `Format`, which knows no HTTP.
pub(super) enum FormatName {
    Png,
    WebP,
    Jpeg,
}

const FIELDS: &str = "the fields class, model, seed, count, guidance, temperature, top_k, top_p, previews, \
    alternatives, cancel_on_disconnect, image, from_step, format and scale";

/// Generate images
///
/// Answers **202** with the new generation at once, whose `links` lead to its state and its events. With `?wait=true` it
/// answers **200** with the finished generation, and with `Accept: image/png`, `image/webp` or `image/jpeg` with the
/// picture itself: one image, or all of them in rows. An answer that waits is for the client that waits: when that
/// disconnects, the generation is canceled, unless an `Idempotency-Key` says that it may ask again.
///
/// The same seed and settings give the same picture, alone or in any batch.
#[utoipa::path(
    post,
    path = "/api/v1/generations",
    operation_id = "createGeneration",
    tag = "Generations",
    params(
        ("wait" = Option<bool>, Query, description = "`true`: answer when the generation is done."),
        (
            "Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]{1,255}$",
            description = "Makes asking again safe: the same key with the same body is the same generation, as long as that \
                can be read. With another body it is an error.",
        ),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "A secret of the client's choice, by which it can list its generations.",
        ),
    ),
    request_body = Body,
    responses(
        (
            status = 202, description = "Accepted", body = Accepted,
            headers(("Location" = String, description = "The generation's address")),
        ),
        (
            status = 200, description = "Done",
            headers(
                ("Rdpm-Seed" = Option<u64>, description = "The seed, where the answer is a picture"),
                ("Content-Location" = Option<String>, description = "The picture's own address"),
            ),
            content(
                (Generation = "application/json"),
                (Vec<u8> = "image/png"),
                (Vec<u8> = "image/webp"),
                (Vec<u8> = "image/jpeg"),
            ),
        ),
    ),
)]
pub(super) async fn create(
    State(app): State<AppState>,
    client: Client,
    mut query: Query,
    upload: Upload,
) -> Result<Response, Problem> {
    let wait = query.take("wait", FLAG, |value| value.parse().ok()).unwrap_or(false);
    query.finish()?;
    let headers = &upload.headers;
    let order = parse(headers, &upload.body, &app.engine)?;
    let representation = negotiate(headers, order.output.format)?;
    if let Representation::Picture(_) = representation {
        let (count, size) = (order.request.count(), order.model.config.image.size as u32);
        check_size(order.output.scale, |scale| sheet_pixels(count, size * scale))?;
    }
    let waits = wait || representation != Representation::Json;
    // Nobody looks at the steps of a job that somebody waits for, unless they say so.
    let mut request = order.request.with_previews(order.previews.unwrap_or(!waits));
    let idempotency = IdempotencyKey::read(headers, &upload.body)?;
    let may_retry = idempotency.is_some();
    if let Some((file, from_step)) = order.source {
        let source = move |image: &_| request.with_init_image(image, from_step);
        request = open_image(&app.image_pool, file, source).await??;
    }
    drop(upload);

    let id = app.jobs.submit(&app.engine, request, client, order.output, idempotency)?;
    if !waits {
        let snapshot = app.engine.get(id).ok_or_else(|| not_found(&id.to_string()))?;
        let accepted = Accepted::new(&snapshot);
        let location = accepted.location().to_owned();
        let headers = [NO_STORE, (header::LOCATION, header_value(location))];
        return Ok((StatusCode::ACCEPTED, headers, Json(accepted)).into_response());
    }

    let _guard = (!may_retry).then(|| CancelOnDrop::new(&app.engine, id));
    let snapshot = wait_until_completed(&app.engine, id).await?;
    match representation {
        Representation::Json => {
            let generation = Generation::new(&snapshot, order.output);
            Ok(([NO_STORE], Json(generation)).into_response())
        }
        Representation::Picture(format) => {
            let options = RenderOptions { format, scale: order.output.scale, quality: JPEG_QUALITY };
            let mut response = respond_with_picture(&app, &snapshot, options).await?;
            let headers = response.headers_mut();
            headers.insert(header::CACHE_CONTROL, NO_STORE.1);
            headers.insert(header::VARY, HeaderValue::from_static("accept"));
            headers.insert(SEED, snapshot.request.seed().into());
            Ok(response)
        }
    }
}

/// Of characters that a header may have; others don't occur in addresses.
fn header_value(text: String) -> HeaderValue {
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("/"))
}

/// What a body asks for.
struct Order {
    model: ModelHandle,
    request: Request,
    /// An image's file, and the step of it to start from.
    source: Option<(Vec<u8>, u64)>,
    previews: Option<bool>,
    output: PictureFormat,
}

/// An order from a body. The seed is drawn at random where it is silent, the rest is the model's defaults.
fn parse(headers: &HeaderMap, body: &[u8], engine: &Engine) -> Result<Order, Problem> {
    let body: Body = read_json(headers, body)?;
    let mut check = Check::new(engine, body.model);
    for (field, value) in body.unknown {
        check.refuse(&field, value, FIELDS);
    }
    // Where the class is wrong, the other fields are checked with the first one.
    let class = class(&mut check, body.class.unwrap_or_default()).unwrap_or(0);
    let Body { guidance, temperature, top_k, top_p, .. } = body;
    let settings = check.settings(class, Sampling { guidance, temperature, top_k, top_p })?;
    let request = check.request(settings, body.seed, ("count", body.count))?;
    let previews = check.get("previews", body.previews, FLAG, Value::as_bool);
    let alternatives = check.get("alternatives", body.alternatives, FLAG, Value::as_bool).unwrap_or(false);
    let cancel = check.get("cancel_on_disconnect", body.cancel_on_disconnect, FLAG, Value::as_bool);
    let source = source(&mut check, body.image, body.from_step);
    let format = check.get("format", body.format, "png, webp, jpeg", |value| {
        Format::ALL.into_iter().find(|format| value.as_str() == Some(format.name()))
    });
    let scales = format!("integers from 1 to {MAX_SCALE}");
    let scale = check.get("scale", body.scale, &scales, |value| {
        integer(value)
            .and_then(|scale| u32::try_from(scale).ok())
            .filter(|scale| (1..=MAX_SCALE).contains(scale))
    });
    let model = check.info.clone();
    check.finish()?;
    Ok(Order {
        model,
        request: request.with_alternatives(alternatives).with_cancel_on_disconnect(cancel.unwrap_or(false)),
        source,
        previews,
        output: PictureFormat { format, scale: scale.unwrap_or(1) },
    })
}

/// An image and a step of it: both or none.
fn source(check: &mut Check<'_>, image: Option<Value>, from_step: Option<Value>) -> Option<(Vec<u8>, u64)> {
    if image.is_none() && from_step.is_none() {
        return None;
    }
    let last = check.config.steps().saturating_sub(1) as u64;
    let file = check.required("image", image, IMAGES, |value| value.as_str().and_then(decode_base64));
    let steps = format!("integers from 1 to {last}");
    let from_step = check.required("from_step", from_step, &steps, |value| {
        integer(value).filter(|step| (1..=last).contains(step))
    });
    file.zip(from_step)
}

fn class(check: &mut Check<'_>, value: Value) -> Option<usize> {
    let config = check.config;
    let class = match &value {
        Value::String(name) => config.class_index(name),
        Value::Number(_) => integer(&value)
            .and_then(|index| usize::try_from(index).ok())
            .filter(|&index| index < config.classes.len()),
        _ => None,
    };
    if class.is_none() {
        let last = config.classes.len().saturating_sub(1);
        check.refuse("class", value, &format!("{}, or an index from 0 to {last}", config.classes.join(", ")));
    }
    class
}
