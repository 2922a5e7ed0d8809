//! The fields of a request for images between two others.

use serde_json::{Value, json};

use super::field::{Field, Kind, Limit, Required};
use super::generation::GenerationDraft;
use super::generation_fields::GENERATION_FIELDS;
use crate::engine::{MAX_COUNT, SEED_MAX};
use crate::model::IntegerRange;

/// Frames that are drawn if a request doesn't say it.
const DEFAULT_FRAMES: u32 = 9;

/// The values of a request's fields so far.
#[derive(Debug)]
pub struct InterpolationDraft {
    pub(super) kind: Option<&'static str>,
    pub(super) kept_steps: Option<u64>,
    pub(super) frames: u32,
}

impl Default for InterpolationDraft {
    fn default() -> Self {
        Self { kind: None, kept_steps: None, frames: DEFAULT_FRAMES }
    }
}

/// The fields of an interpolation that generations don't have, or not in this form.
pub static INTERPOLATION_FIELDS: &[Field<InterpolationDraft>] = &[
    Field {
        required: Required::Yes,
        ..Field::new(
            "a",
            END_KIND,
            "The first picture: that of a seed (`{\"seed\": 7, \"index\": 0}`), an image, a token file, or an image of an earlier generation.",
        )
    },
    Field { required: Required::Yes, ..Field::new("b", END_KIND, "The last picture, likewise.") },
    Field {
        example: "steps",
        ..Field::new(
            "kind",
            Kind::Choice {
                schema: "InterpolationKind",
                about: "`noise`: spherically between the noises of the two, and all codes are drawn. `steps`: spherically between \
                    their states after `kept_steps` steps, and the later codes are drawn. `latent`: linearly between their last \
                    latents, and nothing is drawn.",
                names: &["noise", "steps", "latent"],
                set: |draft, name| draft.kind = Some(name),
            },
            "What is interpolated; `noise` if omitted, but `steps` where an end is an image, which has no noise of its own.",
        )
    },
    Field {
        example: "5",
        ..Field::new(
            "kept_steps",
            Kind::Integer {
                range: Limit::OfModel(|config| IntegerRange::new(1, config.steps().saturating_sub(1) as u64)),
                set: |draft, step| draft.kept_steps = Some(step),
            },
            "With the kind `steps`: the step after which the states are interpolated; half of the steps if omitted.",
        )
    },
    Field {
        default: |_| Some(DEFAULT_FRAMES.into()),
        example: "16",
        ..Field::new(
            "frames",
            Kind::Integer {
                range: Limit::Fixed(IntegerRange::new(2, MAX_COUNT as u64)),
                set: |draft, frames| draft.frames = frames as u32,
            },
            "Number of images, both ends included. Image 0 is `a`, the last is `b`.",
        )
    },
    Field {
        example: "Sneaker",
        ..Field::new(
            "class",
            // Each end reads it again.
            Kind::Class { set: |_, _| {} },
            "Class to draw, by name or index, where an end doesn't say it itself. Without `class` and `prompt` an end has those of its \
             generation or, if it is of none, of the other's; where there is none, the class isn't considered.",
        )
    },
];

/// Read before the other fields, which follow from it.
const END_KIND: Kind<InterpolationDraft> = Kind::Custom {
    depends_on_model: false,
    read: |_, _, _| Ok(()),
    schema: |_| json!({"$ref": "#/components/schemas/InterpolationEnd"}),
};

/// The fields that an interpolation has in common with generations.
pub fn drawn_fields() -> impl Iterator<Item = &'static Field<GenerationDraft>> {
    const OTHERS: [&str; 7] =
        ["model", "seed", "previews", "alternatives", "cancel_on_disconnect", "format", "scale"];
    let is_shared =
        |field: &&Field<GenerationDraft>| field.is_sampling_option || OTHERS.contains(&field.name);
    GENERATION_FIELDS.iter().filter(is_shared)
}

/// The schema of an end.
pub fn interpolation_end_schema() -> Value {
    let index =
        |about: &str| json!({"type": "integer", "minimum": 0, "maximum": 65_535, "description": about});
    let mut schema = json!({
        "type": "object",
        "description": "A picture at an end of an interpolation: one of `seed`, `image`, `tokens` and `from`; and what it shows.",
        "additionalProperties": false,
        "dependentRequired": {"index": ["seed"]},
        "properties": {
            "seed": {
                "type": "integer", "format": "int64", "minimum": 0, "maximum": SEED_MAX,
                "description": "The picture of this seed, drawn with the settings of the request.",
            },
            "index": index("With `seed`: index of the image; 0 if omitted."),
            "image": {
                "type": "string",
                "description": "A PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. It is encoded from the noise of (`seed`, 0) of the request.",
            },
            "tokens": {
                "oneOf": [{"$ref": "#/components/schemas/TokenFile"}, {"type": "string"}],
                "description": "A token file: JSON, or base64 of a binary one.",
            },
            "from": {
                "type": "object", "required": ["generation"], "additionalProperties": false,
                "properties": {"generation": {"type": "string"}, "image": index("Index of the image; 0 if omitted.")},
                "description": "A finished image of an earlier generation that this server still has.",
            },
            "class": {
                "oneOf": [{"type": "string"}, {"type": "integer", "minimum": 0}],
                "description": "The class near this end, in place of the request's `class` or `prompt`.",
            },
            "prompt": {"type": "string", "description": "The prompt near this end, likewise."},
            "style": {"type": "string", "description": "The style near this end, in place of the request's."},
        },
    });
    let sources = ["seed", "image", "tokens", "from"].map(|name| json!({"required": [name]}));
    schema["oneOf"] = sources.to_vec().into();
    schema
}
