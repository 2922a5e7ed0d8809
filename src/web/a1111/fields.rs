//! The fields of `POST /sdapi/v1/txt2img` and `/sdapi/v1/img2img` that mean something here. All others are ignored.

use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::prompt_syntax::plain_prompt;
use crate::engine::MAX_COUNT;
use crate::model::{Config, IntegerRange, NumberRange, SamplingOptions};
use crate::request::{
    Field, GenerationDraft, IMAGES, Kind, Limit, ObjectSchema, SEED, image_from_base64, integer,
    numeric_sampling_fields, shorten, text_value,
};
use crate::web::openai::{PromptReading, SIDES, read_any_prompt};

/// The longest text, in characters.
const MAX_TEXT: usize = 32_000;
/// Drawing styles that a request may name.
const MAX_STYLES: usize = 100;
/// Width and height if a request names none.
const DEFAULT_SIDE: u64 = 512;
/// The part of an image that is drawn again if a request names none.
const DEFAULT_STRENGTH: f64 = 0.75;

/// The schema is made from the table of fields.
#[derive(ToSchema)]
#[schema(as = A1111TextToImageRequest)]
#[allow(dead_code)]
pub(super) struct TextToImageBody {}

/// The schema is made from the tables of fields.
#[derive(ToSchema)]
#[schema(as = A1111ImageToImageRequest)]
#[allow(dead_code)]
pub(super) struct ImageToImageBody {}

/// The values of the fields so far, at first the defaults.
pub(super) struct Draft {
    /// As sent.
    pub prompt: String,
    /// What it asks for.
    pub reading: Option<PromptReading>,
    pub negative_prompt: String,
    pub style: Option<String>,
    pub batch_size: u64,
    pub n_iter: u64,
    pub steps: Option<u64>,
    pub sampler: Option<String>,
    pub cfg_scale: Option<f64>,
    pub width: u64,
    pub height: u64,
    pub send_images: bool,
    pub init_image: Option<Vec<u8>>,
    pub mask: Option<Vec<u8>>,
    pub is_mask_inverted: bool,
    pub strength: f64,
    /// What was adapted, each a sentence.
    pub warnings: Vec<String>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            prompt: String::new(),
            reading: None,
            negative_prompt: String::new(),
            style: None,
            batch_size: 1,
            n_iter: 1,
            steps: None,
            sampler: None,
            cfg_scale: None,
            width: DEFAULT_SIDE,
            height: DEFAULT_SIDE,
            send_images: true,
            init_image: None,
            mask: None,
            is_mask_inverted: false,
            strength: DEFAULT_STRENGTH,
            warnings: Vec::new(),
        }
    }
}

impl Draft {
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.push(warning.into());
    }
}

type A1111Field = Field<Draft>;

/// A text of limited length.
const fn text(
    name: &'static str,
    read: fn(&mut Draft, &Config, &Value) -> Result<(), String>,
    about: &'static str,
) -> A1111Field {
    let schema: fn(&[&Config]) -> Value = |_| json!({"type": ["string", "null"]});
    Field::new(name, Kind::Custom { depends_on_model: false, read, schema }, about)
}

/// A number of pixels.
const fn side(name: &'static str, set: fn(&mut Draft, u64), about: &'static str) -> A1111Field {
    let range = Limit::Fixed(IntegerRange::new(*SIDES.start() as u64, *SIDES.end() as u64));
    Field {
        default: |_| Some(DEFAULT_SIDE.into()),
        example: "512",
        ..Field::new(name, Kind::Integer { range, set }, about)
    }
}

/// A number of images.
const fn count(name: &'static str, set: fn(&mut Draft, u64), about: &'static str) -> A1111Field {
    let range = Limit::Fixed(IntegerRange::new(1, MAX_COUNT as u64));
    Field {
        default: |_| Some(1.into()),
        example: "2",
        ..Field::new(name, Kind::Integer { range, set }, about)
    }
}

/// The fields of both routes.
pub(super) static FIELDS: &[A1111Field] = &[
    Field {
        example: "a photo of a sneaker",
        ..Field::new(
            "prompt",
            Kind::Custom {
                depends_on_model: true,
                read: read_prompt,
                schema: |_| json!({"type": ["string", "null"]}),
            },
            "Text that names the class to draw; a model that knows words is told all known words. Weights, as in `(red:1.3)`, and \
             networks, as in `<lora:name:1>`, are removed. Without a prompt, `img2img` doesn't consider the class.",
        )
    },
    text(
        "negative_prompt",
        |draft, _, value| {
            draft.negative_prompt = read_text(value)?;
            if !draft.negative_prompt.trim().is_empty() {
                draft.warn("negative_prompt is ignored: the model is told what to draw only.");
            }
            Ok(())
        },
        "Ignored, with a warning.",
    ),
    Field {
        example: "[\"noto\"]",
        ..Field::new(
            "styles",
            Kind::Custom {
                depends_on_model: false,
                read: read_styles,
                schema: |_| json!({"type": ["array", "null"], "items": {"type": "string"}, "maxItems": MAX_STYLES}),
            },
            "The first of these that is a drawing style of the model; others are ignored, with a warning.",
        )
    },
    count("batch_size", |draft, count| draft.batch_size = count, "Images, times `n_iter`: up to 16 in all."),
    count("n_iter", |draft, count| draft.n_iter = count, "Images, times `batch_size`: up to 16 in all."),
    Field {
        example: "20",
        ..Field::new(
            "steps",
            Kind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 1000)),
                set: |draft, steps| draft.steps = Some(steps),
            },
            "Ignored, with a warning: a model draws in as many steps as it was trained for.",
        )
    },
    text("sampler_name", read_sampler, "Ignored, with a warning: there is one, `RDPM`."),
    text("sampler_index", read_sampler, "The same as `sampler_name`."),
    Field {
        example: "3",
        ..Field::new(
            "cfg_scale",
            Kind::Number {
                range: Limit::Fixed(SamplingOptions::GUIDANCE),
                set: |draft, scale| draft.cfg_scale = Some(scale),
            },
            "Guidance scale. 7, which is AUTOMATIC1111's default, stands for the model's own default, with a warning.",
        )
    },
    side(
        "width",
        |draft, width| draft.width = width,
        "Width of the pictures: they are drawn at the model's size and scaled.",
    ),
    side("height", |draft, height| draft.height = height, "Height of the pictures."),
    Field {
        default: |_| Some(true.into()),
        example: "true",
        ..Field::new(
            "send_images",
            Kind::Boolean { set: |draft, send| draft.send_images = send },
            "Whether the answer has the images.",
        )
    },
];

/// The fields of `img2img` only.
pub(super) static IMAGE_FIELDS: &[A1111Field] = &[
    Field::new(
        "init_images",
        Kind::Custom {
            depends_on_model: false,
            read: read_init_images,
            schema: |_| {
                let image = json!({"type": "string"});
                json!({"type": "array", "items": image, "minItems": 1, "maxItems": 1})
            },
        },
        "The image to vary or to edit, in a list: a PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL.",
    ),
    Field::new(
        "mask",
        Kind::Image { set: |draft, file| draft.mask = Some(file) },
        "What to draw again: an image that is white there or, if it has transparency, opaque.",
    ),
    Field::new(
        "inpainting_mask_invert",
        Kind::Custom {
            depends_on_model: false,
            read: |draft, _, value| {
                let inverted = match (value, integer(value)) {
                    (Value::Bool(inverted), _) => Some(*inverted),
                    (_, Some(number @ (0 | 1))) => Some(number == 1),
                    _ => None,
                };
                draft.is_mask_inverted = inverted.ok_or("0 or 1")?;
                Ok(())
            },
            schema: |_| json!({"type": ["integer", "boolean", "null"], "minimum": 0, "maximum": 1}),
        },
        "1 draws again what `mask` keeps.",
    ),
    Field {
        default: |_| Some(DEFAULT_STRENGTH.into()),
        example: "0.5",
        ..Field::new(
            "denoising_strength",
            Kind::Number {
                range: Limit::Fixed(NumberRange::new(0.0, 1.0)),
                set: |draft, strength| draft.strength = strength,
            },
            "The part of the model's steps that is drawn again, of ten steps 0.75 the last 8: at least one and, without `mask`, all but \
             one at most.",
        )
    },
];

/// The options of sampling that only our models have, under their own names.
pub(super) fn sampling_fields() -> impl Iterator<Item = &'static Field<GenerationDraft>> {
    // Its name here is `cfg_scale`.
    numeric_sampling_fields().filter(|field| field.name != "guidance")
}

/// The schemas of the bodies, by name.
pub(in crate::web) fn a1111_request_schemas(models: &[&Config]) -> Vec<(&'static str, Value)> {
    let schema = |tables: &[&'static [A1111Field]]| {
        let mut body = ObjectSchema::default();
        for field in tables.iter().copied().flatten() {
            body.add(field.name, field, models);
        }
        body.add("seed", &SEED, models);
        for field in sampling_fields() {
            body.add(field.name, field, models);
        }
        let about = "Images to draw. `null` means the same as an absent field, and numbers may be texts. Other fields of \
            AUTOMATIC1111's API are ignored, with a warning. `override_settings` may have `sd_model_checkpoint`, a model for this \
            request, and `live_previews_enable`. `temperature`, `top_k` and `top_p` are not AUTOMATIC1111's.";
        let mut schema = body.finish(about);
        schema["additionalProperties"] = true.into();
        schema
    };
    vec![
        ("A1111TextToImageRequest", schema(&[FIELDS])),
        ("A1111ImageToImageRequest", schema(&[FIELDS, IMAGE_FIELDS])),
    ]
}

/// Makes numbers and booleans of texts that are such: AUTOMATIC1111 takes them, too.
pub(super) fn read_texts(values: &mut Map<String, Value>) {
    for field in FIELDS.iter().chain(IMAGE_FIELDS) {
        read_text_as(field, values);
    }
    for field in sampling_fields() {
        read_text_as(field, values);
    }
}

fn read_text_as<D>(field: &Field<D>, values: &mut Map<String, Value>) {
    let is_value = matches!(field.kind, Kind::Number { .. } | Kind::Integer { .. } | Kind::Boolean { .. });
    if let Some(value) = values.get_mut(field.name).filter(|_| is_value)
        && let Some(text) = value.as_str()
    {
        *value = text_value(field, text);
    }
}

fn read_text(value: &Value) -> Result<String, String> {
    let text = value.as_str().ok_or("text")?;
    match text.chars().count() <= MAX_TEXT {
        true => Ok(text.to_owned()),
        false => Err(format!("up to {MAX_TEXT} characters")),
    }
}

fn read_prompt(draft: &mut Draft, config: &Config, value: &Value) -> Result<(), String> {
    draft.prompt = read_text(value)?;
    let (plain, networks) = plain_prompt(&draft.prompt);
    if !networks.is_empty() {
        draft.warn(format!("There are no networks to add: {} was ignored.", shorten(&networks.join(", "))));
    }
    if !plain.trim().is_empty() {
        let mut reading = read_any_prompt(config, &plain)?;
        draft.warnings.append(&mut reading.warnings);
        draft.reading = Some(reading);
    }
    Ok(())
}

fn read_styles(draft: &mut Draft, config: &Config, value: &Value) -> Result<(), String> {
    let allowed = || format!("a list of up to {MAX_STYLES} names");
    let names = value.as_array().filter(|names| names.len() <= MAX_STYLES).ok_or_else(allowed)?;
    for name in names {
        let name = name.as_str().ok_or_else(allowed)?;
        let reason = match (SamplingOptions::parse_style(config, name), &draft.style) {
            (Ok(style), None) => {
                draft.style = Some(style);
                continue;
            }
            (Ok(_), Some(chosen)) => format!("{chosen} is drawn"),
            (Err(_), _) if name.is_empty() => continue,
            (Err(_), _) if config.styles.is_empty() => "the model has no styles".to_owned(),
            (Err(_), _) => format!("the model's styles are {}", config.styles.join(", ")),
        };
        draft.warn(format!("The style {} is ignored: {reason}.", shorten(name)));
    }
    Ok(())
}

fn read_sampler(draft: &mut Draft, _: &Config, value: &Value) -> Result<(), String> {
    // `sampler_name` comes first, and counts.
    let name = read_text(value)?;
    draft.sampler.get_or_insert(name);
    Ok(())
}

fn read_init_images(draft: &mut Draft, _: &Config, value: &Value) -> Result<(), String> {
    let image = match value.as_array().map(Vec::as_slice) {
        Some([image]) => image.as_str().and_then(image_from_base64),
        _ => None,
    };
    draft.init_image = Some(image.ok_or_else(|| format!("a list with one image: {IMAGES}"))?);
    Ok(())
}
