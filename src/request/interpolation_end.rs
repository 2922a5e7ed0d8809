//! A picture at an end of an interpolation.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::FieldError;
use super::reader::{IMAGES, Reader, image_from_base64, integer};
use crate::engine::{JobId, SEED_MAX, Snapshot};
use crate::model::{Given, ImageSeed, SamplingSettings};
use crate::picture::TokenFile;

/// What an end may be.
const END: &str =
    "an object with one of seed (and index), image, tokens and from, and if need be class, prompt and style";
/// What an end says for itself, in place of the request.
const OWN_FIELDS: [&str; 3] = ["class", "prompt", "style"];

/// Where an image at an end comes from.
#[derive(Debug)]
pub enum EndSource {
    /// It is drawn.
    Seed(ImageSeed),
    /// A file in any of the formats that are read.
    Image(Vec<u8>),
    /// All of its codes are known, C_1 … C_T.
    Tokens { noise: ImageSeed, grids: Vec<Vec<u32>> },
}

/// An end as it was read, with what it says about the request.
pub(super) struct End {
    pub source: EndSource,
    /// The name of the model that it belongs to.
    pub model: Option<String>,
    /// The settings with which it was drawn.
    pub settings: Option<SamplingSettings>,
    /// Its own fields of what it shows.
    pub own: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    generation: String,
    #[serde(default)]
    image: u32,
}

impl End {
    pub fn read(
        name: &str,
        value: Value,
        find: impl Fn(JobId) -> Option<Snapshot>,
    ) -> Result<Self, FieldError> {
        let invalid = |value: Value| FieldError::new(name, value, END);
        let Value::Object(mut fields) = value else { return Err(invalid(value)) };
        fields.retain(|_, value| !value.is_null());
        let whole = Value::Object(fields.clone());
        let own: Map<String, Value> =
            OWN_FIELDS.into_iter().filter_map(|name| fields.remove_entry(name)).collect();
        let index = fields.remove("index");
        let mut sources = fields.into_iter();
        let (Some((source, value)), None) = (sources.next(), sources.next()) else {
            return Err(invalid(whole));
        };
        if index.is_some() && source != "seed" {
            return Err(invalid(whole));
        }
        let error =
            |value: Value, allowed: &str| FieldError::new(&format!("{name}.{source}"), value, allowed);
        let of = |source| Self { source, model: None, settings: None, own: own.clone() };
        match &*source {
            "seed" => {
                let seed = integer(&value).filter(|seed| *seed <= SEED_MAX);
                let allowed = format!("integers from 0 to {SEED_MAX}");
                let seed = seed.ok_or_else(|| error(value, &allowed))?;
                let index = match index {
                    None => 0,
                    Some(index) => integer(&index).filter(|index| *index <= 65_535).ok_or_else(|| {
                        FieldError::new(&format!("{name}.index"), index, "integers from 0 to 65535")
                    })?,
                };
                Ok(of(EndSource::Seed(ImageSeed::new(seed, index as u32))))
            }
            "image" => match value.as_str().and_then(image_from_base64) {
                Some(file) => Ok(of(EndSource::Image(file))),
                None => Err(error(value, IMAGES)),
            },
            "tokens" => {
                let file = match &value {
                    Value::String(text) if !text.trim_start().starts_with('{') => image_from_base64(text),
                    Value::String(text) => Some(text.clone().into_bytes()),
                    value => Some(value.to_string().into_bytes()),
                };
                let file =
                    file.and_then(|file| TokenFile::read(&file).ok()).filter(|file| file.seed <= SEED_MAX);
                let file =
                    file.ok_or_else(|| error(value, "a token file: JSON, or base64 of a binary one"))?;
                let noise = ImageSeed::new(file.seed, file.index);
                let source = EndSource::Tokens { noise, grids: file.grids() };
                Ok(Self { model: Some(file.model), ..of(source) })
            }
            "from" => {
                let allowed = "{\"generation\": ID, \"image\": INDEX} with the id of a generation that this server still has and a \
                    finished image of it that has tokens";
                let invalid = || error(value.clone(), allowed);
                let from: From = serde_json::from_value(value.clone()).map_err(|_| invalid())?;
                let snapshot = from.generation.parse().ok().and_then(find).ok_or_else(invalid)?;
                let image = snapshot.images.iter().find(|image| image.index == from.image);
                let grids = image.and_then(|image| image.tokens.as_deref()).ok_or_else(invalid)?.to_vec();
                let request = &snapshot.request;
                Ok(Self {
                    source: EndSource::Tokens { noise: request.noise(from.image), grids },
                    model: Some(request.model().name().to_owned()),
                    settings: Some(request.settings_of(from.image).clone()),
                    own,
                })
            }
            _ => Err(invalid(whole)),
        }
    }

    /// Whether its codes are those of the model.
    pub fn check(&self, name: &str, reader: &mut Reader<'_>) {
        let EndSource::Tokens { grids, .. } = &self.source else { return };
        let config = reader.config();
        let error = Given::kept(config, grids, config.steps(), None).map(drop).map_err(FieldError::from);
        if let Err(FieldError { value, allowed, .. }) = error {
            let allowed = allowed.trim_end_matches(", or null for a free one").to_owned();
            reader.reject(&format!("{name}.tokens"), value, allowed);
        }
    }
}
