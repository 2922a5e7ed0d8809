//! The body of `POST /v1/images/generations`, translated to a request of `crate::request`.

use axum::http::HeaderMap;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::prompt::{PromptClass, class_of_prompt};
use crate::engine::Engine;
use crate::model::{Config, IntegerRange};
use crate::picture::{Format, MAX_SCALE};
use crate::request::{
    COUNT, Field, GenerationDraft, GenerationRequest, Kind, Limit, MODEL, ObjectSchema, PictureFormat,
    Reader, Required, SEED, choice_schemas, numeric_sampling_fields,
};
use crate::web::files::RenderOptions;
use crate::web::problem::Problem;
use crate::web::request::read_json_object;

/// The schema is made from the tables of fields.
#[derive(ToSchema)]
#[schema(as = OpenAiImageRequest)]
#[allow(dead_code)]
pub(super) struct Body {}

/// A checked body.
pub(super) struct ImageRequest {
    pub generation: GenerationRequest,
    pub options: RenderOptions,
    /// Answer with addresses instead of files.
    pub urls: bool,
    pub stream: bool,
    pub partial_images: u32,
}

/// The values of OpenAI's own fields.
struct ImageDraft {
    class: usize,
    scale: u32,
    urls: bool,
    format: Format,
    compression: Option<u64>,
    stream: bool,
    partial_images: u64,
}

type ImageField = Field<ImageDraft>;

const fn ignored(name: &'static str) -> ImageField {
    Field::new(name, Kind::Text { set: |_, _| {} }, "Accepted and ignored.")
}

/// The fields that only OpenAI's API has. Those that it shares with ours are read by our table.
static IMAGE_FIELDS: &[ImageField] = &[
    Field {
        required: Required::Yes,
        example: "a photo of a sneaker",
        ..Field::new(
            "prompt",
            Kind::Custom {
                depends_on_model: true,
                read: |draft, config, value| {
                    draft.class = read_class(config, value)?;
                    Ok(())
                },
                schema: |_| json!({"type": "string"}),
            },
            "Text that names the class to generate: \"a photo of a sneaker\". In any case, singular or plural. Where one name \
             is part of another, the longer name counts. A prompt that names no class, or several, is an error.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "auto",
        ..Field::new(
            "size",
            Kind::Custom { depends_on_model: true, read: read_size, schema: size_schema },
            "`auto` is the model's own size. Other sizes are multiples of it, up to 32 times: every pixel becomes a square.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "high",
        ..Field::new(
            "quality",
            Kind::Choice {
                schema: "Quality",
                about: "",
                names: &["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"],
                set: |_, _| {},
            },
            "Accepted and ignored: there is one quality, which answers call `high`.",
        )
    },
    Field {
        default: |_| Some("b64_json".into()),
        example: "url",
        ..Field::new(
            "response_format",
            Kind::Choice {
                schema: "ResponseFormat",
                about: "",
                names: &["b64_json", "url"],
                set: |draft, name| draft.urls = name == "url",
            },
            "",
        )
    },
    Field {
        default: |_| Some("png".into()),
        example: "webp",
        ..Field::new(
            "output_format",
            Kind::Choice {
                schema: "OutputFormat",
                about: "",
                names: &["png", "webp", "jpeg"],
                set: |draft, name| draft.format = Format::from_name(name).unwrap_or(Format::Png),
            },
            "WebP is lossless.",
        )
    },
    Field {
        default: |_| Some(100.into()),
        example: "100",
        ..Field::new(
            "output_compression",
            Kind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 100)),
                set: |draft, quality| draft.compression = Some(quality),
            },
            "JPEG's quality. Only 100 is allowed for PNG and WebP, which are lossless.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "opaque",
        ..Field::new(
            "background",
            Kind::Choice { schema: "Background", about: "", names: &["auto", "opaque"], set: |_, _| {} },
            "Pictures are opaque; `transparent` is an error.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "auto",
        ..Field::new(
            "moderation",
            Kind::Choice { schema: "Moderation", about: "", names: &["auto", "low"], set: |_, _| {} },
            "Accepted and ignored.",
        )
    },
    Field::new(
        "style",
        Kind::Custom {
            depends_on_model: false,
            read: |_, _, _| Err("null: there are no styles".into()),
            schema: |_| json!({"type": ["string", "null"], "enum": [null]}),
        },
        "Must be `null`: there are no styles.",
    ),
    ignored("user"),
    ignored("safety_identifier"),
    Field {
        default: |_| Some(false.into()),
        example: "true",
        ..Field::new(
            "stream",
            Kind::Boolean { set: |draft, stream| draft.stream = stream },
            "Whether to answer with server-sent events.",
        )
    },
    Field {
        default: |_| Some(0.into()),
        example: "2",
        ..Field::new(
            "partial_images",
            Kind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 3)),
                set: |draft, count| draft.partial_images = count,
            },
            "Number of previews before the image, with `stream`.",
        )
    },
];

/// The schema of the body, and of the enumerations in it, by name.
pub(in crate::web) fn image_request_schemas(models: &[&Config]) -> Vec<(&'static str, Value)> {
    let mut body = ObjectSchema::of_table(IMAGE_FIELDS, models);
    body.add("model", &MODEL, models);
    body.add("n", &COUNT, models);
    body.add("seed", &SEED, models);
    for field in numeric_sampling_fields() {
        body.add(field.name, field, models);
    }
    let about = "Images to generate. `null` means the same as an absent field. `seed` and the options of sampling are not in \
        OpenAI's API: pass them as `extra_body` in its Python client.";
    let mut schemas = vec![("OpenAiImageRequest", body.finish(about))];
    schemas.extend(choice_schemas(IMAGE_FIELDS));
    schemas
}

/// Reads a body.
///
/// # Errors
/// Those of [`read_json_object`], 404 for an unknown model, 422 for invalid fields.
pub(super) fn read(headers: &HeaderMap, body: &[u8], engine: &Engine) -> Result<ImageRequest, Problem> {
    let mut values = read_json_object(headers, body)?;
    if let Some(Value::String(name)) = values.get("model")
        && engine.model(name).is_none()
    {
        return Err(Problem::unknown_model(name, engine.models()));
    }
    let (mut reader, model) = Reader::resolve(engine, &mut values);
    let mut draft = ImageDraft {
        class: 0,
        scale: 1,
        urls: false,
        format: Format::Png,
        compression: None,
        stream: false,
        partial_images: 0,
    };
    let mut generation = GenerationDraft::new(&model.config);
    reader.read(IMAGE_FIELDS, &mut values, &mut draft);
    reader.read_field(&COUNT, "n", &mut values, &mut generation);
    reader.read_field(&SEED, "seed", &mut values, &mut generation);
    for field in numeric_sampling_fields() {
        reader.read_field(field, field.name, &mut values, &mut generation);
    }
    reader.reject_unknown(values);
    draft.check(&mut reader, generation.count);

    generation.class = Some(draft.class);
    generation.previews = Some(draft.partial_images > 0);
    generation.pictures = PictureFormat { format: Some(draft.format), scale: draft.scale };
    let generation = generation.finish(reader, model)?;
    // The scale of JPEG's encoder begins at 1.
    let quality = draft.compression.and_then(|quality| u8::try_from(quality).ok()).unwrap_or(100).max(1);
    Ok(ImageRequest {
        generation,
        options: RenderOptions { format: draft.format, scale: draft.scale, quality },
        urls: draft.urls,
        stream: draft.stream,
        partial_images: draft.partial_images as u32,
    })
}

impl ImageDraft {
    /// Checks the values that depend on each other.
    fn check(&self, reader: &mut Reader<'_>, count: u64) {
        if let Some(compression) = self.compression.filter(|compression| *compression < 100) {
            match self.format {
                Format::Jpeg if self.urls => {
                    reader.reject("output_compression", compression.into(), "100 with response_format url");
                }
                Format::Jpeg => {}
                Format::Png | Format::WebP => {
                    reader.reject("output_compression", compression.into(), "100: PNG and WebP are lossless");
                }
            }
        }
        if self.partial_images > 0 && !self.stream {
            reader.reject("partial_images", self.partial_images.into(), "0 without stream");
        }
        if self.stream && count > 1 {
            reader.reject("n", count.into(), "1 with stream: events don't name the image");
        }
        if self.stream && self.urls {
            reader.reject("response_format", "url".into(), "b64_json with stream");
        }
    }
}

fn read_class(config: &Config, prompt: &Value) -> Result<usize, String> {
    let classes = &config.classes;
    match prompt.as_str().map(|prompt| class_of_prompt(prompt, classes)) {
        Some(PromptClass::One(class)) => Ok(class),
        Some(PromptClass::Several(several)) => {
            let named: Vec<&str> =
                several.iter().filter_map(|&class| classes.get(class).map(String::as_str)).collect();
            Err(format!(
                "a prompt that names one class; this one is ambiguous: it names {}",
                named.join(" and ")
            ))
        }
        Some(PromptClass::None) | None => {
            Err(format!("a prompt that names one of the classes {}", classes.join(", ")))
        }
    }
}

fn read_size(draft: &mut ImageDraft, config: &Config, size: &Value) -> Result<(), String> {
    let own = config.image.size as u32;
    let largest = own * MAX_SCALE;
    let scale = size.as_str().and_then(|size| match size {
        "auto" => Some(1),
        size => (1..=MAX_SCALE).find(|scale| size == format!("{0}x{0}", own * scale)),
    });
    draft.scale =
        scale.ok_or_else(|| format!("auto, {own}x{own} and its multiples up to {largest}x{largest}"))?;
    Ok(())
}

/// Each model's own size and its multiples.
fn size_schema(models: &[&Config]) -> Value {
    let of_model = |config: &&Config| {
        let own = config.image.size as u32;
        (1..=MAX_SCALE).map(move |scale| own * scale)
    };
    let sides: std::collections::BTreeSet<u32> = models.iter().flat_map(of_model).collect();
    let sizes = sides.into_iter().map(|side| format!("{side}x{side}").into());
    let sizes: Vec<Value> = [Value::from("auto")].into_iter().chain(sizes).chain([Value::Null]).collect();
    json!({"type": ["string", "null"], "enum": sizes})
}
