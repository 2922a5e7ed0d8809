//! The body of `POST /v1/images/generations`.

use axum::http::HeaderMap;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::prompt::{self, Reading};
use crate::engine::{Engine, Request};
use crate::picture::{Format, MAX_SCALE};
use crate::web::files::RenderOptions;
use crate::web::problem::Problem;
use crate::web::request::{self, Check, Sampling, read_json};

/// Images to generate. `null` is as good as absent.
#[derive(Deserialize, ToSchema)]
#[serde(expecting = "an object")]
#[schema(as = OpenAiImageRequest)]
pub(super) struct Body {
    /// Names the class to draw: "a photo of a sneaker". In any case, singular or plural; the longer name counts where one
    /// lies within another; a prompt that names none or several is an error that lists the classes.
    #[schema(required = true, value_type = String)]
    prompt: Option<Value>,
    /// Name of the model; the server's default where it is silent. It decides which classes, sizes and codes there are.
    #[schema(value_type = Option<String>)]
    model: Option<Value>,
    /// Number of images; 1 with `stream`.
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 16, default = 1)]
    n: Option<Value>,
    /// `auto` is the model's own size. Others are that size times 1 to 32: every pixel a square.
    #[schema(value_type = Option<String>, default = "auto")]
    size: Option<Value>,
    /// There is one quality, which answers call `high`: all of these are accepted and make no difference.
    #[schema(value_type = Option<Quality>, default = "auto")]
    quality: Option<Value>,
    #[schema(value_type = Option<ResponseFormat>, default = "b64_json")]
    response_format: Option<Value>,
    /// WebP is lossless.
    #[schema(value_type = Option<OutputFormat>, default = "png")]
    output_format: Option<Value>,
    /// JPEG's quality. 100 only for PNG and WebP, which are exact.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 100, default = 100)]
    output_compression: Option<Value>,
    /// Pictures are opaque: `transparent` is refused.
    #[schema(value_type = Option<Background>, default = "auto")]
    background: Option<Value>,
    /// Classes need no moderation: accepted, and makes no difference.
    #[schema(value_type = Option<Moderation>, default = "auto")]
    moderation: Option<Value>,
    /// There are no styles: refused unless it is `null`.
    #[schema(value_type = Option<String>)]
    style: Option<Value>,
    /// Accepted, and makes no difference.
    #[schema(value_type = Option<String>)]
    user: Option<Value>,
    /// Accepted, and makes no difference.
    #[schema(value_type = Option<String>)]
    safety_identifier: Option<Value>,
    /// Answer with server-sent events.
    #[schema(value_type = Option<bool>, default = false)]
    stream: Option<Value>,
    /// Previews to send before the image, with `stream`.
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 3, default = 0)]
    partial_images: Option<Value>,
    /// Seed of all randomness (not OpenAI's: `extra_body` in their Python client); told in the answer.
    #[schema(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_u64)]
    seed: Option<Value>,
    /// Guidance scale (not OpenAI's).
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 20)]
    guidance: Option<Value>,
    /// How freely codes are drawn (not OpenAI's).
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 5)]
    temperature: Option<Value>,
    /// Draw from the so many most probable codes only (not OpenAI's).
    #[schema(value_type = Option<u32>, minimum = 1)]
    top_k: Option<Value>,
    /// Draw from the most probable codes that together hold this share of the probability (not OpenAI's).
    #[schema(value_type = Option<f64>, exclusive_minimum = 0, maximum = 1)]
    top_p: Option<Value>,
    #[serde(flatten)]
    #[schema(ignore)]
    unknown: Map<String, Value>,
}

const FIELDS: &str = "the fields prompt, model, n, size, quality, response_format, output_format, output_compression, \
    background, moderation, user, safety_identifier, stream, partial_images, seed, guidance, temperature, top_k and top_p";

/// Defines an enumeration for the document and the names that are accepted, from one list.
macro_rules! names {
    ($(#[$doc:meta])* $type:ident: $($variant:ident = $name:literal),+) => {
        $(#[$doc])*
        #[derive(ToSchema)]
        #[allow(dead_code)] // Documentation.
        pub(super) enum $type { $(#[schema(rename = $name)] $variant),+ }

        impl $type {
            const NAMES: &[&str] = &[$($name),+];
        }
    };
}

names!(Quality: Auto = "auto", Low = "low", Medium = "medium", High = "high", XHigh = "xhigh", Max = "max",
    Standard = "standard", Hd = "hd");
names!(ResponseFormat: Base64 = "b64_json", Url = "url");
names!(OutputFormat: Png = "png", WebP = "webp", Jpeg = "jpeg");
names!(Background: Auto = "auto", Opaque = "opaque");
names!(Moderation: Auto = "auto", Low = "low");

/// What a body asks for.
pub(super) struct Order {
    pub request: Request,
    pub options: RenderOptions,
    /// Addresses instead of files.
    pub urls: bool,
    pub stream: bool,
    pub partial_images: u32,
}

/// An order from a body.
///
/// # Errors
/// What [`check::json`] says, 404 for an unknown model, 422 for fields that can't be used.
pub(super) fn parse(headers: &HeaderMap, body: &[u8], engine: &Engine) -> Result<Order, Problem> {
    let body: Body = read_json(headers, body)?;
    match &body.model {
        Some(Value::String(name)) if engine.model(name).is_none() => {
            return Err(Problem::unknown_model(name, engine.models()));
        }
        _ => {}
    }
    let mut check = Check::new(engine, body.model);
    let config = check.config;
    for (field, value) in body.unknown {
        check.refuse(&field, value, FIELDS);
    }
    let class = class(&mut check, body.prompt.unwrap_or_default()).unwrap_or(0);
    let Body { guidance, temperature, top_k, top_p, .. } = body;
    let settings = check.settings(class, Sampling { guidance, temperature, top_k, top_p })?;
    let request = check.request(settings, body.seed, ("n", body.n))?;

    one_of(&mut check, "quality", body.quality, Quality::NAMES);
    one_of(&mut check, "background", body.background, Background::NAMES);
    one_of(&mut check, "moderation", body.moderation, Moderation::NAMES);
    check.get("style", body.style, "null: there are no styles", |_| None::<()>);
    for (field, value) in [("user", body.user), ("safety_identifier", body.safety_identifier)] {
        check.get(field, value, "a text", |value| value.as_str().map(str::to_owned));
    }
    let response_format = one_of(&mut check, "response_format", body.response_format, ResponseFormat::NAMES);
    let format = one_of(&mut check, "output_format", body.output_format, OutputFormat::NAMES);
    let format = format.as_deref().and_then(Format::from_name).unwrap_or(Format::Png);
    let scale = size(&mut check, body.size, config.image.size as u32).unwrap_or(1);
    let urls = response_format.as_deref() == Some("url");
    let quality = compression(&mut check, body.output_compression, format, urls);
    let stream = check.get("stream", body.stream, "true or false", Value::as_bool).unwrap_or(false);
    let most = if stream { 3 } else { 0 };
    let partial_images = body.partial_images;
    let allowed = if stream { "integers from 0 to 3" } else { "0 without stream" };
    let partial_images =
        check.get("partial_images", partial_images, allowed, |value| integer(value, 0, most));
    if stream && request.count() > 1 {
        check.refuse(
            "n",
            request.count().into(),
            "1 with stream: the events don't say which image they are of",
        );
    }
    if stream && urls {
        check.refuse("response_format", "url".into(), "b64_json with stream");
    }
    check.finish()?;
    let options = RenderOptions { format, scale, quality };
    Ok(Order { request, options, urls, stream, partial_images: partial_images.unwrap_or(0) })
}

fn class(check: &mut Check<'_>, prompt: Value) -> Option<usize> {
    let classes = &check.config.classes;
    let all = classes.join(", ");
    let allowed = match prompt.as_str().map(|prompt| prompt::read(prompt, classes)) {
        Some(Reading::Class(class)) => return Some(class),
        Some(Reading::Several(several)) => {
            let named: Vec<&str> =
                several.iter().filter_map(|&class| classes.get(class).map(String::as_str)).collect();
            format!(
                "a prompt that names one class, and this one is ambiguous: it names {}",
                named.join(" and ")
            )
        }
        Some(Reading::Nothing) | None => format!("a prompt that names one of the classes {all}"),
    };
    check.refuse("prompt", prompt, &allowed);
    None
}

/// How many times the model's own size is asked for.
fn size(check: &mut Check<'_>, value: Option<Value>, own: u32) -> Option<u32> {
    let largest = own * MAX_SCALE;
    let allowed = format!("auto, {own}x{own} and its multiples up to {largest}x{largest}");
    check.get("size", value, &allowed, |value| {
        let text = value.as_str()?;
        if text == "auto" {
            return Some(1);
        }
        (1..=MAX_SCALE).find(|scale| text == format!("{0}x{0}", own * scale))
    })
}

/// JPEG's quality.
fn compression(check: &mut Check<'_>, value: Option<Value>, format: Format, urls: bool) -> u8 {
    let (least, allowed) = match format {
        Format::Jpeg if urls => (100, "none with response_format url"),
        Format::Jpeg => (0, "integers from 0 to 100"),
        Format::Png | Format::WebP => (100, "100, as PNG and WebP are exact here"),
    };
    let given = check.get("output_compression", value, allowed, |value| integer(value, least, 100));
    // The encoder's scale begins at 1.
    given.and_then(|quality| u8::try_from(quality).ok()).unwrap_or(100).max(1)
}

fn one_of(check: &mut Check<'_>, field: &str, value: Option<Value>, names: &[&str]) -> Option<String> {
    check.get(field, value, &names.join(", "), |value| {
        value.as_str().filter(|name| names.contains(name)).map(str::to_owned)
    })
}

fn integer(value: &Value, least: u32, most: u32) -> Option<u32> {
    let number = request::integer(value).and_then(|number| u32::try_from(number).ok())?;
    (least..=most).contains(&number).then_some(number)
}
