//! The fields of a request for images.

use serde_json::{Value, json};

use super::branch::{read_cells, read_tokens};
use super::field::{Field, FormInput, Kind, Limit, LimitName, RangeEnd, Required};
use super::generation::GenerationDraft;
use crate::engine::MAX_COUNT;
use crate::model::{Config, GuidanceSteps, IntegerRange, SamplingOptions};
use crate::picture::{Format, MAX_SCALE};

type GenerationField = Field<GenerationDraft>;

/// All fields of a generation.
pub static GENERATION_FIELDS: &[GenerationField] = &[
    GenerationField {
        required: Required::Without("prompt"),
        example: "Sneaker",
        ..Field::new(
            "class",
            Kind::Class { set: |draft, class| draft.class = Some(class) },
            "Class to generate: its name, in any case, or its index. Required without `prompt`; otherwise that of what the \
             prompt names.",
        )
    },
    PROMPT,
    STYLE,
    MODEL,
    SEED,
    COUNT,
    GUIDANCE,
    GUIDANCE_STEPS,
    TEMPERATURE,
    TOP_K,
    TOP_P,
    GenerationField {
        example: "true",
        ..Field::new(
            "previews",
            Kind::Boolean { set: |draft, previews| draft.previews = Some(previews) },
            "Whether step events contain preview images. Where the answer waits for the end, the default is `false`, otherwise `true`.",
        )
    },
    GenerationField {
        default: |_| Some(false.into()),
        example: "true",
        ..Field::new(
            "alternatives",
            Kind::Boolean { set: |draft, alternatives| draft.alternatives = alternatives },
            "Whether step events contain the most probable codes of each position.",
        )
    },
    GenerationField {
        default: |_| Some(false.into()),
        example: "true",
        ..Field::new(
            "cancel_on_disconnect",
            Kind::Boolean { set: |draft, cancel| draft.cancel_on_disconnect = cancel },
            "Whether the job is canceled a few seconds after its last event stream was closed.",
        )
    },
    GenerationField {
        required: Required::With("from_step"),
        ..Field::new(
            "image",
            Kind::Image { set: |draft, file| draft.image = Some(file) },
            "An image to vary or to edit: a PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. Image i starts from \
             its state after `from_step` steps with the noise of (seed, i). With `mask` or `cells` only that part is drawn again.",
        )
    },
    GenerationField {
        ..Field::new(
            "mask",
            Kind::Image { set: |draft, file| draft.mask = Some(file) },
            "What to draw again of `image`, `from` or `tokens`: an image file that is transparent there or, if it is opaque, white. A cell of \
             the token grid is drawn again if at least a quarter of it is. A mask of another size is scaled, with a warning.",
        )
    },
    GenerationField {
        ..Field::new(
            "cells",
            Kind::Custom {
                depends_on_model: true,
                read: |draft, config, value| {
                    draft.cells = Some(read_cells(config, value)?);
                    Ok(())
                },
                schema: |_| {
                    let cell = json!({"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 2, "maxItems": 2});
                    json!({"type": ["array", "null"], "items": cell, "minItems": 1})
                },
            },
            "What to draw again of `image`, `from` or `tokens`, instead of `mask`: cells `[row, column]` of the token grid.",
        )
    },
    GenerationField {
        ..Field::new(
            "tokens",
            Kind::Custom {
                depends_on_model: true,
                read: |draft, config, value| {
                    draft.tokens = Some(read_tokens(config, value)?);
                    Ok(())
                },
                schema: |_| {
                    let row = json!({"type": "array", "items": {"type": ["integer", "null"], "minimum": 0}});
                    let grids = json!({"type": "array", "items": {"type": "array", "items": row}});
                    let index = json!({"type": "integer", "minimum": 0});
                    let file = json!({
                        "type": "object", "required": ["seed", "tokens"],
                        "properties": {
                            "format": {"type": "string"}, "model": {"type": "string"}, "version": {"type": "string"},
                            "seed": index, "index": index, "tokens": grids,
                        },
                    });
                    json!({"anyOf": [grids, file, {"type": "null"}]})
                },
            },
            "Codes that are given instead of drawn: T grids of h rows of h codes, and `null` where a code is drawn. All images \
             have the noise of (`seed`, `index`). Or a token file as JSON, in which codes may be `null`: the noise is the file's, and \
             `seed` and `index` draw the free codes. With `mask` or `cells`, without `null`, only that part is drawn again.",
        )
    },
    GenerationField {
        ..Field::new(
            "from",
            // Read before the other fields, which get its values.
            Kind::Custom { depends_on_model: false, read: |_, _, _| Ok(()), schema: from_schema },
            "An image of an earlier generation to start from: its codes up to `step` are kept, with `changes` at that step, and the \
             others drawn; with `mask` or `cells` they are drawn only there. Settings that are absent are those of that \
             generation; without a `seed` the draws are, too, so that the image differs only by the changes.",
        )
    },
    GenerationField {
        default: |_| Some(0.into()),
        example: "3",
        ..Field::new(
            "index",
            Kind::Integer {
                range: Limit::Fixed(IntegerRange::new(0, 65_535)),
                set: |draft, index| draft.index = index,
            },
            "Index of the first image: image i is drawn from (seed, index + i).",
        )
    },
    GenerationField {
        required: Required::WithUnless("image", &["mask", "cells"]),
        example: "5",
        limit_names: &[LimitName::Max("from_step_max")],
        ..Field::new(
            "from_step",
            Kind::Integer {
                range: Limit::OfModel(|config| IntegerRange::new(1, config.steps().saturating_sub(1) as u64)),
                set: |draft, step| draft.from_step = Some(step),
            },
            "The step of `image` to start from; required with `image`, unless only a part is drawn again. Early steps give a new image, late ones a close variation.",
        )
    },
    GenerationField {
        default: |_| Some(Format::Png.name().into()),
        example: "webp",
        ..Field::new(
            "format",
            Kind::Choice {
                schema: "FormatName",
                about: "A file format of still pictures.",
                names: &["png", "webp", "jpeg"],
                set: |draft, name| draft.pictures.format = Format::from_name(name),
            },
            "File format of the pictures in the answer and of those that it links to.",
        )
    },
    SCALE,
    WEBHOOK,
];

/// Characters of `webhook` at most.
pub const MAX_WEBHOOK: usize = 2048;

const WEBHOOK: GenerationField = Field::new(
    "webhook",
    Kind::Custom {
        depends_on_model: false,
        read: |draft, _, value| {
            let url = value.as_str().filter(|url| url.chars().count() <= MAX_WEBHOOK);
            let url = url.ok_or_else(|| format!("a URL of at most {MAX_WEBHOOK} characters"))?;
            draft.webhook = Some(url.to_owned());
            Ok(())
        },
        schema: |_| json!({"type": ["string", "null"], "format": "uri", "maxLength": MAX_WEBHOOK}),
    },
    "A URL that is sent a signed message when the generation has ended, on servers whose operator allows its host \
     (Standard Webhooks).",
);

pub const MODEL: GenerationField = GenerationField {
    example: "fashion-mnist",
    ..Field::new(
        "model",
        Kind::Model,
        "Name of the model; the server's default if omitted. The classes, the codes and the steps depend on it.",
    )
};

pub const SEED: GenerationField = GenerationField {
    example: "7",
    limit_names: &[LimitName::Max("seed_max")],
    ..Field::new(
        "seed",
        Kind::Seed { set: |draft, seed| draft.seed = seed },
        "Seed of all randomness, as a number or as text. Random if omitted, empty or -1; returned in the answer.",
    )
};

pub const COUNT: GenerationField = GenerationField {
    default: |_| Some(1.into()),
    example: "4",
    limit_names: &[LimitName::Max("max_count")],
    ..Field::new(
        "count",
        Kind::Integer {
            range: Limit::Fixed(IntegerRange::new(1, MAX_COUNT as u64)),
            set: |draft, count| draft.count = count,
        },
        "Number of images. Image i is drawn from (seed, i).",
    )
};

fn from_schema(_: &[&Config]) -> Value {
    let index = json!({"type": "integer", "minimum": 0});
    let change = json!({
        "type": "object", "required": ["row", "column", "code"], "additionalProperties": false,
        "properties": {"row": index, "column": index, "code": index},
    });
    json!({
        "type": ["object", "null"], "required": ["generation"], "additionalProperties": false,
        "properties": {
            "generation": {"type": "string"},
            "image": {"type": "integer", "minimum": 0, "default": 0},
            "step": {"type": ["integer", "null"], "minimum": 0},
            "changes": {"type": "array", "items": change},
        },
    })
}

const PROMPT: GenerationField = GenerationField {
    example: "red heart",
    is_sampling_option: true,
    ..Field::new(
        "prompt",
        Kind::Custom {
            depends_on_model: true,
            read: |draft, config, value| {
                let prompt = value.as_str().ok_or("text")?;
                draft.options.prompt = SamplingOptions::parse_prompt(config, prompt)?;
                Ok(())
            },
            schema: |_| json!({"type": ["string", "null"]}),
        },
        "What the images show, in English words or emoji, for a model that knows words. Words that it doesn't know are \
         returned as `unknown_words`. Without a prompt each image shows one of the class's subjects.",
    )
};

const STYLE: GenerationField = GenerationField {
    example: "noto",
    is_sampling_option: true,
    ..Field::new(
        "style",
        Kind::Custom {
            depends_on_model: true,
            read: |draft, config, value| {
                let style = value.as_str().ok_or("text")?;
                draft.options.style = Some(SamplingOptions::parse_style(config, style)?);
                Ok(())
            },
            schema: |models| {
                let styles = models.iter().flat_map(|config| &config.styles);
                let names = styles.map(|style| Value::from(style.as_str())).chain([Value::Null]);
                json!({"type": ["string", "null"], "enum": names.collect::<Vec<_>>()})
            },
        },
        "Drawing style, for a model that has several. If omitted, each image has another one.",
    )
};

const GUIDANCE: GenerationField = GenerationField {
    default: |config| Some(config.sampling.guidance.into()),
    example: "2.5",
    limit_names: &[LimitName::Min("guidance_min"), LimitName::Max("guidance_max")],
    is_sampling_option: true,
    input: Some(FormInput {
        label: "Guidance",
        help: "How strongly the class steers the picture; 0 ignores it.",
        slider_min: None,
        slider_step: 0.1,
        off_at: None,
        comparison_value: 0.0,
    }),
    ..Field::new(
        "guidance",
        Kind::Number {
            range: Limit::Fixed(SamplingOptions::GUIDANCE),
            set: |draft, guidance| draft.options.guidance = guidance,
        },
        "Guidance scale: how strongly the class is followed. 1 is no guidance.",
    )
};

const GUIDANCE_STEPS: GenerationField = GenerationField {
    default: |config| config.sampling.guidance_steps.map(|range| range.to_string().into()),
    example: "1-7",
    is_sampling_option: true,
    ..Field::new(
        "guidance_steps",
        Kind::Custom {
            depends_on_model: true,
            read: |draft, config, value| {
                let allowed = || GuidanceSteps::allowed(config.steps());
                let text = value.as_str().ok_or_else(allowed)?;
                draft.options.guidance_steps = Some(GuidanceSteps::parse(text, config.steps())?);
                Ok(())
            },
            schema: |_| json!({"type": ["string", "null"], "pattern": "^[0-9]+-[0-9]+$"}),
        },
        "First and last step with guidance, as in `1-7`; all if omitted. A step without guidance takes half the time.",
    )
};

const TEMPERATURE: GenerationField = GenerationField {
    default: |config| Some(config.sampling.temperature.into()),
    example: "0.9",
    limit_names: &[LimitName::Min("temperature_min"), LimitName::Max("temperature_max")],
    is_sampling_option: true,
    input: Some(FormInput {
        label: "Temperature",
        help: "How random the codes are; 0 takes the most likely one.",
        slider_min: None,
        slider_step: 0.05,
        off_at: None,
        comparison_value: 0.0,
    }),
    ..Field::new(
        "temperature",
        Kind::Number {
            range: Limit::Fixed(SamplingOptions::TEMPERATURE),
            set: |draft, temperature| draft.options.temperature = temperature,
        },
        "Sampling temperature: how freely codes are drawn. 0 takes the most probable.",
    )
};

const TOP_K: GenerationField = GenerationField {
    example: "40",
    limit_names: &[LimitName::Max("top_k_max")],
    is_sampling_option: true,
    input: Some(FormInput {
        label: "Top-k",
        help: "Draws only from the k most likely codes.",
        slider_min: None,
        slider_step: 1.0,
        off_at: Some(RangeEnd::Max),
        comparison_value: 8.0,
    }),
    ..Field::new(
        "top_k",
        Kind::Integer {
            range: Limit::OfModel(SamplingOptions::top_k_range),
            set: |draft, top_k| draft.options.top_k = usize::try_from(top_k).ok(),
        },
        "Draw from this number of most probable codes only.",
    )
};

const TOP_P: GenerationField = GenerationField {
    example: "0.95",
    is_sampling_option: true,
    input: Some(FormInput {
        label: "Top-p",
        help: "Draws only from the codes that make up this probability.",
        slider_min: Some(0.01),
        slider_step: 0.01,
        off_at: Some(RangeEnd::Max),
        comparison_value: 0.5,
    }),
    ..Field::new(
        "top_p",
        Kind::Number {
            range: Limit::Fixed(SamplingOptions::TOP_P),
            set: |draft, top_p| draft.options.top_p = Some(top_p),
        },
        "Draw only from the most probable codes whose probabilities add up to this value.",
    )
};

pub const SCALE: GenerationField = GenerationField {
    default: |_| Some(1.into()),
    example: "8",
    limit_names: &[LimitName::Max("scale_max")],
    ..Field::new(
        "scale",
        Kind::Integer {
            range: Limit::Fixed(IntegerRange::new(1, MAX_SCALE as u64)),
            set: |draft, scale| draft.pictures.scale = scale as u32,
        },
        "Size of the square that every pixel becomes in these pictures.",
    )
};

/// The fields of [`SamplingOptions`].
pub fn sampling_fields() -> impl Iterator<Item = &'static GenerationField> {
    GENERATION_FIELDS.iter().filter(|field| field.is_sampling_option)
}

/// The fields of [`SamplingOptions`] that are numbers.
pub fn numeric_sampling_fields() -> impl Iterator<Item = &'static GenerationField> {
    sampling_fields().filter(|field| !matches!(field.kind, Kind::Custom { .. }))
}
