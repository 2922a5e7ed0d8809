//! What the address of a picture names: `…/{class}.{format}?seed=…&scale=…`.
//!
//! A seed may be any text. Decimal digits up to the largest seed are the seed itself; of any other text, the seed is the
//! first 53 bits of the SHA-256 of its UTF-8.

use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::render::{JPEG_QUALITY, check_size, sheet_pixels};
use super::render_options::{AnimationParameters, Channel, PictureDigest, RenderOptions};
use crate::engine::{ModelHandle, ModelInfo, SEED_MAX};
use crate::model::{Config, IntegerRange, SamplingSettings};
use crate::picture::{AnimationFormat, DEFAULT_FRAME_DELAY, Format};
use crate::request::{
    Field, FieldError, GenerationDraft, Kind, Limit, Reader, SCALE, sampling_fields, shorten, text_value,
};
use crate::web::problem::Problem;

/// The formats, as endings of addresses.
const FORMATS: &str = "png, webp, jpg, gif, apng";

/// The parameters that only addresses of pictures have.
static ADDRESS_FIELDS: &[Field<AddressDraft>] = &[
    Field::new("seed", Kind::Text { set: |draft, text| draft.seed = text }, ""),
    Field::new(
        "which",
        Kind::Choice {
            schema: "",
            about: "",
            names: Channel::STEPS,
            set: |draft, name| draft.channel = Channel::from_name(name),
        },
        "",
    ),
    Field::new(
        "delay",
        Kind::Integer {
            range: Limit::Fixed(IntegerRange::new(20, 5000)),
            set: |draft, delay| draft.delay = Some(delay),
        },
        "",
    ),
];

#[derive(Default)]
struct AddressDraft {
    seed: String,
    channel: Option<Channel>,
    delay: Option<u64>,
}

/// A picture of a model.
#[derive(Debug)]
pub(in crate::web) struct PictureAddress {
    pub settings: SamplingSettings,
    /// `None` is a random one.
    pub seed: Option<u64>,
    pub file: PictureFile,
}

/// A file of the image, or of its steps.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) enum PictureFile {
    Still(RenderOptions),
    Animation(AnimationFormat, AnimationParameters),
}

impl PictureAddress {
    /// Reads the last part of a path, without percent-encoding, and a query.
    ///
    /// # Errors
    /// 404 for an unknown class or format, 422 with all invalid parameters.
    pub fn read(model: &ModelHandle, file: &str, query: &str) -> Result<Self, Problem> {
        let config = &model.config;
        let (class, ending) = file.rsplit_once('.').unwrap_or((file, ""));
        let class = class_index(config, class).ok_or_else(|| {
            let (class, model, allowed) = (shorten(class), &config.name, config.classes.join(", "));
            Problem::not_found(format!(
                "Model {model} has no class {class:?}. Allowed: {allowed}, or an index."
            ))
        })?;
        let mut reader = Reader::new(config);
        let mut values = Map::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match value_of(&key, &value) {
                Some(value) if values.contains_key(&*key) => reader.reject(&key, value, "the parameter once"),
                Some(value) => drop(values.insert(key.into_owned(), value)),
                None => {
                    let allowed = format!("the parameters {}", names().join(", "));
                    reader.reject(&key, Value::from(&*value), allowed);
                }
            }
        }
        let (mut own, mut draft) = (AddressDraft::default(), GenerationDraft::new(config));
        reader.read(ADDRESS_FIELDS, &mut values, &mut own);
        for field in sampling_fields().chain([&SCALE]) {
            reader.read_field(field, field.name, &mut values, &mut draft);
        }
        let is_animation = ["gif", "apng"].contains(&ending);
        for (name, is_given) in [("which", own.channel.is_some()), ("delay", own.delay.is_some())] {
            if is_given && !is_animation {
                reader.reject(name, Value::from(ending), "this parameter with .gif and .apng");
            }
        }
        reader.finish()?;

        let (scale, size) = (draft.pictures.scale, config.image.size as u32);
        let file = match (Format::from_name(ending), ending) {
            (Some(format), _) => PictureFile::Still(RenderOptions::scaled(format, scale, JPEG_QUALITY)),
            (None, "gif" | "apng") => {
                let format = if ending == "gif" { AnimationFormat::Gif } else { AnimationFormat::Png };
                let channel = own.channel.unwrap_or(Channel::Clean);
                let delay = own.delay.map_or(DEFAULT_FRAME_DELAY, Duration::from_millis);
                let (index, back_and_forth) = (None, false);
                let parameters = AnimationParameters { channel, index, scale, delay, back_and_forth };
                PictureFile::Animation(format, parameters)
            }
            _ => {
                let ending = shorten(ending);
                return Err(Problem::not_found(format!(
                    "There is no format {ending:?}. Allowed: {FORMATS}."
                )));
            }
        };
        let frames = if is_animation { config.steps() as u64 } else { 1 };
        check_size(scale, |scale| frames * sheet_pixels(1, size * scale))?;
        let settings =
            SamplingSettings::resolve(config, Some(class), draft.options).map_err(FieldError::from);
        let settings = settings.map_err(Problem::invalid)?;
        Ok(Self { settings, seed: seed(&own.seed), file })
    }

    /// The hash of everything that determines the file. Files name the program's version.
    pub fn digest(&self, model: &ModelInfo, seed: u64) -> PictureDigest {
        let options = serde_json::to_string(self.settings.options()).unwrap_or_default();
        let (name, version, class) = (&model.config.name, &model.version, self.settings.class());
        let program = env!("CARGO_PKG_VERSION");
        let text = format!("{program} {name}@{version} {class} {seed} {options} {:?}", self.file);
        PictureDigest::of(&text)
    }
}

impl PictureFile {
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Still(options) => options.format.media_type(),
            Self::Animation(format, _) => format.media_type(),
        }
    }

    /// Whether the file shows decoded images of the steps.
    pub fn needs_previews(self) -> bool {
        matches!(self, Self::Animation(_, parameters) if parameters.channel != Channel::Tokens)
    }
}

/// The names of all parameters.
fn names() -> Vec<&'static str> {
    let own = ADDRESS_FIELDS.iter().map(|field| field.name);
    own.chain([SCALE.name]).chain(sampling_fields().map(|field| field.name)).collect()
}

/// A parameter's value as JSON would have it; `None` where there is no such parameter.
fn value_of(name: &str, text: &str) -> Option<Value> {
    if let Some(field) = ADDRESS_FIELDS.iter().find(|field| field.name == name) {
        return Some(text_value(field, text));
    }
    let field = sampling_fields().chain([&SCALE]).find(|field| field.name == name)?;
    Some(text_value(field, text))
}

/// A class by its name or its index. A name wins.
fn class_index(config: &Config, text: &str) -> Option<usize> {
    let index = || text.parse().ok().filter(|&index| index < config.classes.len());
    config.class_index(text).or_else(|| text.bytes().all(|byte| byte.is_ascii_digit()).then(index)?)
}

/// The seed that a text means; `None` is a random one.
fn seed(text: &str) -> Option<u64> {
    match text.trim() {
        "" | "-1" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|seed| *seed <= SEED_MAX).unwrap_or_else(|| hashed_seed(text)))
        }
        _ => Some(hashed_seed(text)),
    }
}

/// The first 53 bits of the SHA-256 of a text.
fn hashed_seed(text: &str) -> u64 {
    let bits = Sha256::digest(text).iter().take(8).fold(0_u64, |bits, &byte| bits << 8 | u64::from(byte));
    bits >> (64 - SEED_MAX.count_ones())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seed_is_a_number_or_the_hash_of_a_text() {
        for (text, expected) in [("", None), (" ", None), ("-1", None), ("0", Some(0)), ("007", Some(7))] {
            assert_eq!(seed(text), expected, "{text:?}");
        }
        assert_eq!(seed(&SEED_MAX.to_string()), Some(SEED_MAX));
        // printf %s TEXT | sha256sum, its first 16 digits, shifted right by 11 bits.
        for (text, digits) in [
            ("ada@example.org", "cfe00dde46ef9426"),
            ("Ünïcödé 🦊", "b1095d2bbedb29e8"),
            ("9007199254740992", "c681da39d7273a6a"),
            ("-2", "cf3bae39dd692048"),
        ] {
            let bits = u64::from_str_radix(digits, 16).unwrap();
            assert_eq!(seed(text), Some(bits >> 11), "{text}");
        }
    }
}
