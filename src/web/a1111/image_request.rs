//! The body of `POST /sdapi/v1/txt2img` and `/sdapi/v1/img2img`, translated to a request of `crate::request`.

use serde_json::{Map, Value, json};

use super::fields::{Draft, FIELDS, IMAGE_FIELDS, read_texts, sampling_fields};
use super::infotext::SAMPLER;
use super::models;
use crate::engine::{MAX_COUNT, ModelHandle, Request, SEED_MAX};
use crate::picture::Format;
use crate::queue::AnyEngine;
use crate::request::{
    FieldError, GenerationDraft, GenerationRequest, PictureFormat, Reader, SEED, shorten, shorten_to,
};
use crate::web::files::{JPEG_QUALITY, RenderOptions};
use crate::web::model_alias::ModelAliases;
use crate::web::problem::Problem;

/// AUTOMATIC1111's default of `cfg_scale`, which its clients send where a user has chosen nothing.
const THEIR_CFG_SCALE: f64 = 7.0;
/// Ignored fields that a warning names, and the characters of each.
const MAX_NAMED: usize = 20;
const MAX_NAME: usize = 60;
/// Fields that say how AUTOMATIC1111 keeps files and settings: no client expects an answer to be different.
const WITHOUT_MEANING: [&str; 4] = [
    "override_settings_restore_afterwards",
    "do_not_save_samples",
    "do_not_save_grid",
    "include_init_images",
];
/// Values of fields that change nothing in AUTOMATIC1111 either.
const NEUTRAL_TEXTS: [&str; 3] = ["", "none", "automatic"];
const NEUTRAL_NUMBERS: [f64; 3] = [0.0, 1.0, -1.0];

/// Which route a request was sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    TextToImage,
    ImageToImage,
}

impl Kind {
    /// As AUTOMATIC1111 names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextToImage => "txt2img",
            Self::ImageToImage => "img2img",
        }
    }
}

/// A checked body.
pub(super) struct ImageRequest {
    pub kind: Kind,
    /// That of the first image: the others have the next seeds.
    pub job: Request,
    pub count: u32,
    pub pictures: PictureFormat,
    pub options: RenderOptions,
    pub draft: Draft,
    /// What was asked for, for the answer.
    pub parameters: Value,
}

/// Reads a body. `chosen` is the name of the model that the client has chosen before.
///
/// # Errors
/// 404 for an unknown model, 422 for invalid fields.
pub(super) fn from_values(
    mut values: Map<String, Value>,
    engine: &AnyEngine,
    aliases: &ModelAliases,
    chosen: Option<&str>,
    kind: Kind,
) -> Result<ImageRequest, Problem> {
    values.retain(|name, value| name == "prompt" || value.as_str() != Some(""));
    let settings = OverrideSettings::take(&mut values)?;
    let model = settings.model(engine, aliases)?.or_else(|| engine.model(chosen?));
    let model = model.unwrap_or_else(|| engine.default_model());
    read_texts(&mut values);
    let seed = values.get("seed").cloned().unwrap_or_else(|| (-1).into());

    let (mut draft, mut generation) = (Draft::default(), GenerationDraft::new(&model.config));
    let mut reader = Reader::new(&model.config);
    reader.read(FIELDS, &mut values, &mut draft);
    if kind == Kind::ImageToImage {
        reader.read(IMAGE_FIELDS, &mut values, &mut draft);
        if draft.init_image.is_none() && !reader.has_error("init_images") {
            reader.reject("init_images", Value::Null, "a list with one image");
        }
    }
    reader.read_field(&SEED, "seed", &mut values, &mut generation);
    for field in sampling_fields() {
        reader.read_field(field, field.name, &mut values, &mut generation);
    }
    reject_scripts(&mut reader, &mut values);
    let has_prompt = draft.check(&mut reader, kind, model, &mut generation);
    warn_of_ignored(&mut draft, values, settings.ignored);

    let own = model.config.image.size as u32;
    let size = (draft.width as u32, draft.height as u32);
    let options = RenderOptions::fitted(Format::Png, size, own, JPEG_QUALITY);
    if let Some(reading) = &draft.reading {
        (generation.class, generation.options.prompt) = (reading.class, reading.prompt.clone());
    } else if !has_prompt {
        // Nothing says what the image shows.
        (generation.class, generation.options.guidance) = (Some(0), 0.0);
    }
    generation.options.style = draft.style.clone();
    generation.pictures = PictureFormat { format: Some(Format::Png), scale: options.scale };
    let GenerationRequest { job, pictures, .. } = generation.finish(reader, model)?;
    let job = job.with_previews(settings.has_previews);
    let count = (draft.batch_size * draft.n_iter) as u32;
    let parameters = parameters(&draft, kind, seed);
    Ok(ImageRequest { kind, job, count, pictures, options, draft, parameters })
}

/// What `override_settings` says.
struct OverrideSettings {
    checkpoint: Option<String>,
    has_previews: bool,
    /// The names of others.
    ignored: Vec<String>,
}

impl OverrideSettings {
    fn take(values: &mut Map<String, Value>) -> Result<Self, Problem> {
        let invalid = |field: &str, value: Value, allowed: &str| {
            Err(Problem::invalid(FieldError::new(field, value, allowed)))
        };
        let mut settings = match values.remove("override_settings") {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(settings)) => settings,
            Some(value) => return invalid("override_settings", value, "an object"),
        };
        let checkpoint = match settings.remove("sd_model_checkpoint") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
            Some(value) => return invalid("override_settings.sd_model_checkpoint", value, "text"),
        };
        let has_previews = settings.remove("live_previews_enable").and_then(|value| value.as_bool());
        let ignored = settings.into_iter().filter(|(_, value)| !is_neutral(value));
        let ignored = ignored.map(|(name, _)| format!("override_settings.{name}")).collect();
        Ok(Self { checkpoint, has_previews: has_previews.unwrap_or(true), ignored })
    }

    fn model<'a>(
        &self,
        engine: &'a AnyEngine,
        aliases: &ModelAliases,
    ) -> Result<Option<&'a ModelHandle>, Problem> {
        let Some(name) = &self.checkpoint else { return Ok(None) };
        let found = models::find(engine, aliases, name);
        found.map(Some).ok_or_else(|| Problem::unknown_model(name, engine.models()))
    }
}

impl Draft {
    /// Checks the values that depend on each other, and adapts those that the model can't follow. Returns whether a prompt says
    /// what to draw.
    fn check(
        &mut self,
        reader: &mut Reader<'_>,
        kind: Kind,
        model: &ModelHandle,
        generation: &mut GenerationDraft,
    ) -> bool {
        let (count, most) = (self.batch_size * self.n_iter, u64::from(MAX_COUNT));
        if count > most {
            let (field, sent) =
                if self.n_iter > 1 { ("n_iter", self.n_iter) } else { ("batch_size", self.batch_size) };
            reader.reject(field, sent.into(), format!("batch_size times n_iter up to {most}"));
        }
        // As small as AUTOMATIC1111's: some clients keep it in 32 bits.
        let seed = *generation.seed.get_or_insert_with(|| u64::from(rand::random::<u32>()));
        if seed + count.min(most) - 1 > SEED_MAX {
            let last = SEED_MAX + 1 - count.min(most);
            reader.reject("seed", seed.into(), format!("up to {last}: further images have the next seeds"));
        }
        let steps = model.steps() as u64;
        if let Some(sent) = self.steps.filter(|sent| *sent != steps) {
            self.warn(format!("steps {sent} is ignored: the model draws in {steps} steps."));
        }
        if let Some(name) = self.sampler.as_ref().filter(|name| !name.eq_ignore_ascii_case(SAMPLER)) {
            let warning = format!("The sampler {} is ignored: there is one, {SAMPLER}.", shorten(name));
            self.warn(warning);
        }
        let default = model.config.sampling.guidance;
        match self.cfg_scale {
            Some(scale) if scale == THEIR_CFG_SCALE => {
                self.warn(format!("cfg_scale {scale} stands for the model's default, which is {default}."));
            }
            Some(scale) => generation.options.guidance = scale,
            None => {}
        }
        let has_prompt = self.reading.is_some();
        if !has_prompt && kind == Kind::ImageToImage {
            self.warn("Without a prompt no class is considered.");
        } else if !has_prompt && !reader.has_error("prompt") {
            let sent = (!self.prompt.is_empty()).then(|| Value::from(shorten(&self.prompt)));
            reader.reject("prompt", sent.unwrap_or_default(), "a text that names what to draw");
        }
        has_prompt || kind == Kind::TextToImage
    }
}

/// Scripts are programs of AUTOMATIC1111's server.
fn reject_scripts(reader: &mut Reader<'_>, values: &mut Map<String, Value>) {
    match values.remove("script_name") {
        Some(name) if !is_neutral(&name) => reader.reject("script_name", name, "null: there are no scripts"),
        _ => {}
    }
}

/// Whether a value changes nothing.
fn is_neutral(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64().is_some_and(|number| NEUTRAL_NUMBERS.contains(&number)),
        Value::String(text) => NEUTRAL_TEXTS.iter().any(|neutral| text.eq_ignore_ascii_case(neutral)),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty(),
    }
}

/// One warning for all fields that nothing has read.
fn warn_of_ignored(draft: &mut Draft, mut values: Map<String, Value>, settings: Vec<String>) {
    if let Some(Value::Object(scripts)) = values.get("alwayson_scripts")
        && !scripts.is_empty()
    {
        let names: Vec<String> =
            scripts.keys().take(MAX_NAMED).map(|name| shorten_to(name, MAX_NAME)).collect();
        draft.warn(format!("alwayson_scripts are ignored: {}.", names.join(", ")));
        values.remove("alwayson_scripts");
    }
    let others = values
        .into_iter()
        .filter(|(name, value)| !WITHOUT_MEANING.contains(&name.as_str()) && !is_neutral(value));
    let ignored: Vec<String> = others.map(|(name, _)| name).chain(settings).collect();
    if ignored.is_empty() {
        return;
    }
    let named: Vec<String> = ignored.iter().take(MAX_NAMED).map(|name| shorten_to(name, MAX_NAME)).collect();
    let others = ignored.len() - named.len();
    let others = if others > 0 { format!(" and {others} more") } else { String::new() };
    draft.warn(format!("Ignored: {}{others}.", named.join(", ")));
}

/// The fields as AUTOMATIC1111 returns them: as they were sent, without the images.
fn parameters(draft: &Draft, kind: Kind, seed: Value) -> Value {
    let mut parameters = json!({
        "prompt": draft.prompt, "negative_prompt": draft.negative_prompt, "styles": draft.style.as_slice(),
        "seed": seed, "subseed": -1, "subseed_strength": 0,
        "batch_size": draft.batch_size, "n_iter": draft.n_iter, "steps": draft.steps, "cfg_scale": draft.cfg_scale,
        "width": draft.width, "height": draft.height,
        "sampler_name": draft.sampler.as_deref().map(shorten), "send_images": draft.send_images,
        "save_images": false, "restore_faces": false, "tiling": false, "enable_hr": false,
    });
    if kind == Kind::ImageToImage {
        parameters["denoising_strength"] = draft.strength.into();
        parameters["inpainting_mask_invert"] = u8::from(draft.is_mask_inverted).into();
        parameters["init_images"] = Value::Null;
        parameters["mask"] = Value::Null;
    }
    parameters
}
