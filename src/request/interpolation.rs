//! A request for images between two others.

use serde_json::{Map, Value};

use super::branch::{inherit_settings, is_present};
use super::error::{FieldError, FieldErrors};
use super::generation::{GenerationDraft, PictureFormat, random_seed};
use super::generation_fields::{GENERATION_FIELDS, sampling_fields};
use super::interpolation_end::{End, EndSource};
use super::interpolation_fields::{INTERPOLATION_FIELDS, InterpolationDraft, drawn_fields};
use super::reader::Reader;
use crate::engine::{JobId, ModelHandle, Request, Snapshot};
use crate::model::{Config, Interpolation, SamplingSettings};

/// The names of the ends.
const ENDS: [&str; 2] = ["a", "b"];

/// A checked request for images between two others.
#[derive(Debug)]
pub struct InterpolationRequest {
    /// The job, whose images aren't between the ends yet: these are to be drawn or encoded first.
    pub job: Request,
    pub kind: Interpolation,
    pub ends: [EndRequest; 2],
    pub previews: Option<bool>,
    pub pictures: PictureFormat,
}

/// An image at an end.
#[derive(Debug)]
pub struct EndRequest {
    /// `a` or `b`.
    pub name: &'static str,
    pub settings: SamplingSettings,
    pub source: EndSource,
}

impl InterpolationRequest {
    /// The earlier generations that a request's fields name.
    pub fn generations(values: &Map<String, Value>) -> impl Iterator<Item = JobId> {
        ENDS.into_iter()
            .filter_map(|end| values.get(end)?.get("from")?.get("generation")?.as_str()?.parse().ok())
    }

    /// Reads a request to one of these models, the default first. `find` finds earlier generations.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn read(
        models: &[ModelHandle],
        find: impl Fn(JobId) -> Option<Snapshot>,
        mut values: Map<String, Value>,
    ) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let mut ends = Vec::new();
        for name in ENDS {
            match End::read(name, values.remove(name).unwrap_or_default(), &find) {
                Ok(end) => ends.push(end),
                Err(error) => errors.push(|| error),
            }
        }
        let [a, b] = match <[End; 2]>::try_from(ends) {
            Ok(ends) => ends,
            // The other fields may depend on what is missing.
            Err(_) => return Err(errors),
        };
        resolve_model(&mut values, [&a, &b])?;
        let (mut reader, model) = Reader::resolve(models, &mut values);
        let config = &model.config;
        let mut draft = InterpolationDraft::default();
        let settings_values = take_settings(&mut values);
        let mut drawn = GenerationDraft::new(config);
        reader.read(INTERPOLATION_FIELDS, &mut values, &mut draft);
        for field in drawn_fields().filter(|field| !field.is_sampling_option) {
            reader.read_field(field, field.name, &mut values, &mut drawn);
        }
        for field in sampling_fields() {
            reader.read_field(field, field.name, &mut settings_values.clone(), &mut drawn);
        }
        for (name, end) in ENDS.iter().zip([&a, &b]) {
            end.check(name, &mut reader);
        }
        let kind = draft.kind(&mut reader, [&a, &b]);
        reader.reject_unknown(values);
        reader.finish()?;
        let [name_a, name_b] = ENDS;
        let settings_a = a.read_settings(name_a, config, &settings_values, b.settings.as_ref())?;
        let settings_b = b.read_settings(name_b, config, &settings_values, a.settings.as_ref())?;
        let seed = drawn.seed.unwrap_or_else(random_seed);
        let job = Request::new(model, settings_a.clone(), seed).map_err(FieldError::from)?;
        let job = job.with_count(draft.frames.into()).map_err(FieldError::from)?;
        let job =
            job.with_alternatives(drawn.alternatives).with_cancel_on_disconnect(drawn.cancel_on_disconnect);
        let ends = [
            EndRequest { name: name_a, settings: settings_a, source: a.source },
            EndRequest { name: name_b, settings: settings_b, source: b.source },
        ];
        Ok(Self { job, kind, ends, previews: drawn.previews, pictures: drawn.pictures })
    }
}

impl InterpolationDraft {
    fn kind(&self, reader: &mut Reader<'_>, ends: [&End; 2]) -> Interpolation {
        let config = reader.config();
        let has_image = ends.iter().any(|end| matches!(end.source, EndSource::Image(_)));
        let kind = self.kind.unwrap_or(if has_image { "steps" } else { "noise" });
        if let Some(step) = self.kept_steps.filter(|_| kind != "steps") {
            reader.reject("kept_steps", step.into(), "null, unless the kind is steps");
        }
        match kind {
            "latent" => Interpolation::Latent,
            "steps" => {
                let half = (config.steps() / 2).clamp(1, config.steps().saturating_sub(1).max(1));
                Interpolation::Step(self.kept_steps.map_or(half, |step| step as usize))
            }
            _ => {
                if has_image {
                    reader.reject("kind", kind.into(), "steps, latent: an image has no noise of its own");
                }
                Interpolation::Step(0)
            }
        }
    }
}

/// Names the model of the ends, if they have one.
///
/// # Errors
/// Where they are of two models, or of another than the request's.
fn resolve_model(values: &mut Map<String, Value>, ends: [&End; 2]) -> Result<(), FieldError> {
    let named = values.get("model").filter(|model| !model.is_null()).cloned();
    let of_ends = ends.map(|end| end.model.as_deref());
    if let [Some(first), Some(second)] = of_ends
        && first != second
    {
        return Err(FieldError::new("b", second.into(), format!("a picture of the model {first:?}, as `a`")));
    }
    let Some(model) = of_ends.into_iter().flatten().next() else { return Ok(()) };
    match named {
        Some(named) if named != model => {
            Err(FieldError::new("model", named, format!("{model:?}, as that of the tokens")))
        }
        _ => {
            values.insert("model".into(), model.into());
            Ok(())
        }
    }
}

/// Takes what says how codes are drawn. The class stays for the table, too, which checks it.
fn take_settings(values: &mut Map<String, Value>) -> Map<String, Value> {
    let mut taken = Map::new();
    for field in sampling_fields() {
        taken.extend(values.remove_entry(field.name));
    }
    taken.extend(values.get("class").map(|class| ("class".to_owned(), class.clone())));
    taken
}

impl End {
    /// The settings near this end: its own fields, else those of the request, else those of its generation or of the other's.
    ///
    /// # Errors
    /// Its invalid fields. Those of the request are valid.
    fn read_settings(
        &self,
        name: &str,
        config: &Config,
        request: &Map<String, Value>,
        of_other: Option<&SamplingSettings>,
    ) -> Result<SamplingSettings, FieldErrors> {
        let mut values = request.clone();
        if is_present(&self.own, "class") || is_present(&self.own, "prompt") {
            values.retain(|name, _| name != "class" && name != "prompt");
        }
        values.extend(self.own.clone());
        if let Some(settings) = self.settings.as_ref().or(of_other) {
            inherit_settings(&mut values, settings);
        }
        let is_told = is_present(&values, "class") || is_present(&values, "prompt");
        let (mut reader, mut draft) = (Reader::new(config), GenerationDraft::new(config));
        let class = GENERATION_FIELDS.iter().filter(|field| field.name == "class");
        for field in class.chain(sampling_fields()) {
            reader.read_field(field, field.name, &mut values, &mut draft);
        }
        reader.finish().map_err(|errors| errors.within(name))?;
        if !is_told {
            draft.options.guidance = 0.0;
            draft.class = Some(0);
        }
        let settings = SamplingSettings::resolve(config, draft.class, draft.options);
        settings.map_err(|error| FieldErrors::from(FieldError::from(error)).within(name))
    }
}
