//! The body of `POST /v1/images/generations`, translated to a request of `crate::request`.

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::model_name::resolve_model;
use super::prompt_words::{PromptReading, read_any_prompt};
use crate::model::{Config, IntegerRange, SamplingOptions};
use crate::picture::Format;
use crate::queue::AnyEngine;
use crate::request::{
    COUNT, Field, GenerationDraft, GenerationRequest, Kind as FieldKind, Limit, ObjectSchema, PictureFormat,
    Reader, Required, SEED, choice_schemas, numeric_sampling_fields, text_value,
};
use crate::web::files::RenderOptions;
use crate::web::model_alias::ModelAliases;
use crate::web::problem::Problem;
use crate::web::request::read_json_object;

/// The smallest and the largest side of a picture, in pixels.
pub(in crate::web) const SIDES: std::ops::RangeInclusive<u32> = 8..=2048;
/// Models of OpenAI that answer with links if no format is named.
const DALL_E: &str = "dall-e";
/// Styles of OpenAI's models, which ours don't have.
const OPENAI_STYLES: [&str; 2] = ["vivid", "natural"];
/// The sides of [`SIDES`] as a regular expression.
const SIDE_PATTERN: &str = "([89]|[1-9][0-9]{1,2}|1[0-9]{3}|20[0-3][0-9]|204[0-8])";

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
    pub kind: Kind,
    /// Steps of an image that are kept.
    pub from_step: Option<u64>,
    /// What was adapted, each a sentence.
    pub warnings: Vec<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Generation,
    Edit,
    /// Without a prompt.
    Variation,
}

/// The values of OpenAI's own fields.
struct ImageDraft {
    /// That of what the prompt names if absent.
    class: Option<usize>,
    /// For a model that is told words.
    prompt: Option<String>,
    style: Option<String>,
    /// Width and height; `None` is the model's own size.
    size: Option<(u32, u32)>,
    urls: bool,
    format: Format,
    compression: Option<u64>,
    stream: bool,
    partial_images: u64,
    from_step: Option<u64>,
    warnings: Vec<String>,
}

impl ImageDraft {
    fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

type ImageField = Field<ImageDraft>;

/// A text that changes nothing.
const fn ignored(name: &'static str, warn: fn(&mut ImageDraft, String)) -> ImageField {
    Field::new(name, FieldKind::Text { set: warn }, "Ignored, with a warning.")
}

/// The fields that only OpenAI's API has. Those that it shares with ours are read by our table.
static IMAGE_FIELDS: &[ImageField] = &[
    Field {
        required: Required::Yes,
        example: "a photo of a sneaker",
        ..Field::new(
            "prompt",
            FieldKind::Custom {
                depends_on_model: true,
                read: read_prompt,
                schema: |_| json!({"type": "string"}),
            },
            "Text that names the class to generate: \"a photo of a sneaker\". In any case, singular or plural. Where one name \
             is part of another, the longer name counts. If the text names several classes, the first is drawn, with a \
             warning. A prompt that names no class is an error. A model that knows words is told all known words of the \
             text, of up to 32000 characters: \"a red heart\", \"🐱\". Unknown words are listed in a warning; a prompt without \
             a known word is an error that suggests similar ones.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "1024x1024",
        ..Field::new(
            "size",
            FieldKind::Custom {
                depends_on_model: false,
                read: read_size,
                schema: |_| {
                    let pattern = format!("^(auto|{SIDE_PATTERN}[xX]{SIDE_PATTERN})$");
                    json!({"type": ["string", "null"], "pattern": pattern})
                },
            },
            "`WIDTHxHEIGHT`, each from 8 to 2048, or `auto`: the model's own size. The picture is drawn at the model's size \
             and scaled: every pixel becomes a square where the factor is whole, otherwise with a cubic filter. Where the \
             proportions differ, the picture is in the middle, and the rest has the colour of its background.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "high",
        ..Field::new(
            "quality",
            FieldKind::Choice {
                schema: "Quality",
                about: "",
                names: &["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"],
                set: |draft, name| {
                    if !["auto", "high"].contains(&name) {
                        draft.warn(format!("quality {name} is ignored: there is one quality, high."));
                    }
                },
            },
            "There is one quality, `high`. Others are ignored, with a warning.",
        )
    },
    Field {
        example: "url",
        ..Field::new(
            "response_format",
            FieldKind::Choice {
                schema: "ResponseFormat",
                about: "",
                names: &["b64_json", "url"],
                set: |draft, name| draft.urls = name == "url",
            },
            "`url` answers with a link that needs no key and expires with the generation. The default is `b64_json`, but `url` \
             if `model` is `dall-e-2` or `dall-e-3`, as in OpenAI's API.",
        )
    },
    Field {
        default: |_| Some("png".into()),
        example: "webp",
        ..Field::new(
            "output_format",
            FieldKind::Choice {
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
            FieldKind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 100)),
                set: |draft, quality| draft.compression = Some(quality),
            },
            "JPEG's quality. Ignored, with a warning, for PNG and WebP, which are lossless.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "opaque",
        ..Field::new(
            "background",
            FieldKind::Choice {
                schema: "Background",
                about: "",
                names: &["auto", "opaque", "transparent"],
                set: |draft, name| {
                    if name == "transparent" {
                        draft.warn("background transparent is ignored: pictures are opaque.");
                    }
                },
            },
            "Pictures are opaque. `transparent` is ignored, with a warning.",
        )
    },
    Field {
        default: |_| Some("auto".into()),
        example: "auto",
        ..Field::new(
            "moderation",
            FieldKind::Choice {
                schema: "Moderation",
                about: "",
                names: &["auto", "low"],
                set: |draft, name| {
                    if name != "auto" {
                        draft.warn("moderation is ignored: there is none.");
                    }
                },
            },
            "Ignored, with a warning if it isn't `auto`.",
        )
    },
    Field {
        example: "vivid",
        ..Field::new(
            "style",
            FieldKind::Custom {
                depends_on_model: true,
                read: read_style,
                schema: |models| {
                    let styles = models.iter().flat_map(|config| &config.styles).map(String::as_str);
                    let names = OPENAI_STYLES.into_iter().chain(styles).map(Value::from).chain([Value::Null]);
                    json!({"type": ["string", "null"], "enum": names.collect::<Vec<_>>()})
                },
            },
            "Drawing style, for a model that has several; if omitted, each image has another one. `vivid` and `natural` are \
             ignored, with a warning.",
        )
    },
    ignored("user", |draft, _| draft.warn("user is ignored.")),
    ignored("safety_identifier", |draft, _| draft.warn("safety_identifier is ignored.")),
    Field {
        default: |_| Some(false.into()),
        example: "true",
        ..Field::new(
            "stream",
            FieldKind::Boolean { set: |draft, stream| draft.stream = stream },
            "Whether to answer with server-sent events.",
        )
    },
    Field {
        default: |_| Some(0.into()),
        example: "2",
        ..Field::new(
            "partial_images",
            FieldKind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 3)),
                set: |draft, count| draft.partial_images = count,
            },
            "Number of previews before the image, with `stream`.",
        )
    },
];

/// The fields of edits and variations that generations don't have.
static EDIT_FIELDS: &[ImageField] = &[
    Field::new(
        "from_step",
        FieldKind::Integer {
            range: Limit::OfModel(|config| IntegerRange::new(1, config.steps().saturating_sub(1) as u64)),
            set: |draft, step| draft.from_step = Some(step),
        },
        "Steps of the image that are kept.",
    ),
    Field::new(
        "input_fidelity",
        FieldKind::Text { set: |draft, _| draft.warn("input_fidelity is ignored: use from_step.") },
        "Ignored, with a warning.",
    ),
];

/// The model, of which names of OpenAI's models and aliases are allowed, too.
const MODEL: ImageField = Field {
    example: "fashion-mnist",
    ..Field::new(
        "model",
        FieldKind::Text { set: |_, _| {} },
        "Name of the model; the server's default if omitted or empty. Names of OpenAI's models (`dall-e-3`, `gpt-image-1`) \
         mean the default model, with a warning, unless the server has an alias for them.",
    )
};

/// The schema of the body, and of the enumerations in it, by name.
pub(in crate::web) fn image_request_schemas(models: &[&Config]) -> Vec<(&'static str, Value)> {
    let mut body = ObjectSchema::of_table(IMAGE_FIELDS, models);
    body.add("model", &MODEL, models);
    body.add("n", &COUNT, models);
    body.add("seed", &SEED, models);
    for field in numeric_sampling_fields() {
        body.add(field.name, field, models);
    }
    let about = "Images to generate. `null` means the same as an absent field, and so does an empty text. `seed` and the \
        options of sampling are not in OpenAI's API: pass them as `extra_body` in its Python client.";
    let mut schemas = vec![("OpenAiImageRequest", body.finish(about))];
    schemas.extend(choice_schemas(IMAGE_FIELDS));
    schemas
}

/// Reads a body. `deployment` is the name of a model in the address, which goes before the one in the body.
///
/// # Errors
/// Those of [`read_json_object`], 404 for an unknown model, 422 for invalid fields.
pub(super) fn read(
    headers: &HeaderMap,
    body: &[u8],
    engine: &AnyEngine,
    aliases: &ModelAliases,
    deployment: Option<String>,
) -> Result<ImageRequest, Problem> {
    from_values(read_json_object(headers, body)?, engine, aliases, deployment, Kind::Generation)
}

/// A value of a form, as JSON would write it.
pub(super) fn form_value(name: &str, text: &str) -> Value {
    let field = IMAGE_FIELDS.iter().chain(EDIT_FIELDS).find(|field| field.name == name);
    let shared = [("n", &COUNT), ("seed", &SEED)].into_iter().find(|(other, _)| *other == name);
    let shared =
        shared.map(|(_, field)| field).or_else(|| numeric_sampling_fields().find(|field| field.name == name));
    match (field, shared) {
        // Python's clients write True.
        (Some(Field { kind: FieldKind::Boolean { .. }, .. }), _) => {
            match text.to_ascii_lowercase().parse::<bool>() {
                Ok(flag) => flag.into(),
                Err(_) => text.into(),
            }
        }
        (Some(field), _) => text_value(field, text),
        (None, Some(field)) => text_value(field, text),
        (None, None) => text.into(),
    }
}

/// Reads the fields of a body or a form.
///
/// # Errors
/// 404 for an unknown model, 422 for invalid fields.
pub(super) fn from_values(
    mut values: Map<String, Value>,
    engine: &AnyEngine,
    aliases: &ModelAliases,
    deployment: Option<String>,
    kind: Kind,
) -> Result<ImageRequest, Problem> {
    values.retain(|name, value| name == "prompt" || value.as_str() != Some(""));
    if let Some(name) = deployment {
        values.insert("model".into(), name.into());
    }
    let mut warnings = Vec::new();
    let mut urls = false;
    if let Some(Value::String(name)) = values.get("model") {
        // Clients that don't say otherwise expect the default of the model that they name.
        urls = name.starts_with(DALL_E) && values.get("stream").and_then(Value::as_bool) != Some(true);
        let (model, warning) = resolve_model(engine, aliases, name)?;
        values.insert("model".into(), model.config.name.as_str().into());
        warnings.extend(warning);
    }
    let (mut reader, model) = Reader::resolve(engine.models(), &mut values);
    let mut draft = ImageDraft {
        class: None,
        prompt: None,
        style: None,
        size: None,
        urls,
        format: Format::Png,
        compression: None,
        stream: false,
        partial_images: 0,
        from_step: None,
        warnings,
    };
    let mut generation = GenerationDraft::new(&model.config);
    if kind == Kind::Variation {
        for field in IMAGE_FIELDS.iter().filter(|field| field.name != "prompt") {
            reader.read_field(field, field.name, &mut values, &mut draft);
        }
        // Nothing says what the image shows.
        generation.options.guidance = 0.0;
    } else {
        reader.read(IMAGE_FIELDS, &mut values, &mut draft);
    }
    if kind != Kind::Generation {
        reader.read(EDIT_FIELDS, &mut values, &mut draft);
    }
    reader.read_field(&COUNT, "n", &mut values, &mut generation);
    reader.read_field(&SEED, "seed", &mut values, &mut generation);
    for field in numeric_sampling_fields() {
        reader.read_field(field, field.name, &mut values, &mut generation);
    }
    reader.reject_unknown(values);
    draft.check(&mut reader, generation.count);

    let own = model.config.image.size as u32;
    // The scale of JPEG's encoder begins at 1.
    let quality = draft.compression.and_then(|quality| u8::try_from(quality).ok()).unwrap_or(100).max(1);
    let options = RenderOptions::fitted(draft.format, draft.size.unwrap_or((own, own)), own, quality);
    // A variation's class isn't considered.
    generation.class = draft.class.or((kind == Kind::Variation).then_some(0));
    generation.options.prompt = draft.prompt;
    generation.options.style = draft.style;
    generation.previews = Some(draft.partial_images > 0);
    generation.pictures = PictureFormat { format: Some(draft.format), scale: options.scale };
    let generation = generation.finish(reader, model)?;
    Ok(ImageRequest {
        generation,
        options,
        urls: draft.urls,
        stream: draft.stream,
        partial_images: draft.partial_images as u32,
        kind,
        from_step: draft.from_step,
        warnings: draft.warnings,
    })
}

impl ImageDraft {
    /// Checks the values that depend on each other.
    fn check(&mut self, reader: &mut Reader<'_>, count: u64) {
        if self.compression.is_some_and(|compression| compression < 100) && self.format != Format::Jpeg {
            self.warn("output_compression is ignored: PNG and WebP are lossless.");
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

fn read_prompt(draft: &mut ImageDraft, config: &Config, prompt: &Value) -> Result<(), String> {
    let PromptReading { prompt, class, warnings } =
        read_any_prompt(config, prompt.as_str().unwrap_or_default())?;
    (draft.prompt, draft.class) = (prompt, class);
    draft.warnings.extend(warnings);
    Ok(())
}

fn read_style(draft: &mut ImageDraft, config: &Config, style: &Value) -> Result<(), String> {
    let style = style.as_str().ok_or("text")?;
    if let Some(style) = OPENAI_STYLES.into_iter().find(|name| name.eq_ignore_ascii_case(style)) {
        draft.warn(match &config.styles[..] {
            [] => format!("style {style} is ignored: the model has no styles."),
            styles => format!("style {style} is ignored: the model's styles are {}.", styles.join(", ")),
        });
        return Ok(());
    }
    let allowed = |styles| format!("{}, {styles}", OPENAI_STYLES.join(", "));
    draft.style = Some(SamplingOptions::parse_style(config, style).map_err(allowed)?);
    Ok(())
}

fn read_size(draft: &mut ImageDraft, _: &Config, size: &Value) -> Result<(), String> {
    let allowed = || {
        let (least, most) = (SIDES.start(), SIDES.end());
        format!("auto, or WIDTHxHEIGHT, each from {least} to {most}")
    };
    let size = size.as_str().ok_or_else(allowed)?;
    if !size.eq_ignore_ascii_case("auto") {
        draft.size = Some(parse_size(size).ok_or_else(allowed)?);
    }
    Ok(())
}

/// Width and height, as in `1024x1536`.
pub(super) fn parse_size(size: &str) -> Option<(u32, u32)> {
    let (width, height) = size.split_once(['x', 'X'])?;
    let side = |text: &str| {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|side| is_plain && SIDES.contains(side))
    };
    Some((side(width)?, side(height)?))
}
