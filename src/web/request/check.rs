//! Checking what clients send: once, here, and everything wrong with it at once.

use serde_json::Value;

use crate::engine::{Engine, MAX_COUNT, ModelHandle, Request, SEED_MAX};
use crate::model::{Config, ModelError, SamplingSettings};
use crate::web::problem::{FieldError, Problem};

/// Longer values are cut where they are sent back.
const LONGEST: usize = 200;

/// The fields that say how codes are drawn, of any type; `None` is the model's default.
pub(in crate::web) struct Sampling {
    pub guidance: Option<Value>,
    pub temperature: Option<Value>,
    pub top_k: Option<Value>,
    pub top_p: Option<Value>,
}

/// What may be asked of one model and not of another.
const MODEL_DEPENDENT: [&str; 5] = ["class", "prompt", "top_k", "from_step", "size"];

/// What was found wrong so far.
pub(in crate::web) struct Check<'a> {
    /// The model that is asked.
    pub info: &'a ModelHandle,
    pub config: &'a Config,
    /// Whether it is anybody's guess which one is meant: what depends on that can't be judged.
    model_unknown: bool,
    errors: Vec<FieldError>,
}

impl<'a> Check<'a> {
    /// Of a body whose field `model` is this; the default model where it is silent.
    pub fn new(engine: &'a Engine, model: Option<Value>) -> Self {
        let (models, name) = (engine.models(), model.as_ref().and_then(Value::as_str));
        let found = name.and_then(|name| engine.model(name));
        let info = found.unwrap_or_else(|| engine.default_model());
        let model_unknown = model.is_some() && found.is_none() && models.len() > 1;
        let mut check = Self { info, config: &info.config, model_unknown, errors: Vec::new() };
        if let (Some(model), None) = (model, found) {
            check.refuse("model", model, &model_names(models));
        }
        check
    }

    pub fn refuse(&mut self, field: &str, value: Value, allowed: &str) {
        if self.model_unknown && MODEL_DEPENDENT.contains(&field) && !value.is_null() {
            return;
        }
        self.errors.push(FieldError { field: shorten(field), value: shown(value), allowed: allowed.into() });
    }

    /// All that was refused, if anything was.
    pub fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::invalid(self.errors)) }
    }

    /// Sets one field of `target`, or notes an error and leaves it. `apply` returns `None` for the wrong type.
    pub fn set<T: Clone>(
        &mut self,
        target: &mut T,
        field: &str,
        value: Option<Value>,
        allowed: &str,
        apply: impl FnOnce(T, &Value) -> Option<Result<T, ModelError>>,
    ) {
        let Some(value) = value else { return };
        match apply(target.clone(), &value) {
            Some(Ok(set)) => *target = set,
            _ => self.refuse(field, value, allowed),
        }
    }

    /// The field's value as `parse` reads it; `None` where it is silent or refused.
    pub fn get<T>(
        &mut self,
        field: &str,
        value: Option<Value>,
        allowed: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        let value = value?;
        let parsed = parse(&value);
        if parsed.is_none() {
            self.refuse(field, value, allowed);
        }
        parsed
    }

    /// The same for a field that must be there: silence is refused.
    pub fn required<T>(
        &mut self,
        field: &str,
        value: Option<Value>,
        allowed: &str,
        parse: impl FnOnce(&Value) -> Option<T>,
    ) -> Option<T> {
        self.get(field, Some(value.unwrap_or_default()), allowed, parse)
    }

    /// The settings of a class, which must be the model's. Errors of the other fields are noted.
    pub fn settings(&mut self, class: usize, sampling: Sampling) -> Result<SamplingSettings, Problem> {
        let config = self.config;
        let mut settings = SamplingSettings::new(config, class)?;
        let range = |range: &std::ops::RangeInclusive<f64>| {
            format!("numbers from {} to {}", range.start(), range.end())
        };
        let guidance = range(&SamplingSettings::GUIDANCE);
        self.set(&mut settings, "guidance", sampling.guidance, &guidance, |settings, value| {
            value.as_f64().map(|value| settings.with_guidance(value))
        });
        let temperature = range(&SamplingSettings::TEMPERATURE);
        self.set(&mut settings, "temperature", sampling.temperature, &temperature, |settings, value| {
            value.as_f64().map(|value| settings.with_temperature(value))
        });
        let codes = format!("integers from 1 to {}", config.trajectory.codes);
        self.set(&mut settings, "top_k", sampling.top_k, &codes, |settings, value| {
            let value = integer(value).and_then(|value| usize::try_from(value).ok());
            value.map(|value| settings.with_top_k(config, value))
        });
        self.set(&mut settings, "top_p", sampling.top_p, "numbers above 0, up to 1", |settings, value| {
            value.as_f64().map(|value| settings.with_top_p(value))
        });
        Ok(settings)
    }

    /// A request of these settings. `count` has another name in each API. The seed is drawn where it is silent.
    pub fn request(
        &mut self,
        settings: SamplingSettings,
        seed: Option<Value>,
        (count_field, count): (&str, Option<Value>),
    ) -> Result<Request, Problem> {
        let mut request = Request::new(self.info, settings, rand::random_range(0..=SEED_MAX))?;
        let seeds = format!("integers from 0 to {SEED_MAX}");
        self.set(&mut request, "seed", seed, &seeds, |request, value| {
            integer(value).map(|seed| request.with_seed(seed))
        });
        let counts = format!("integers from 1 to {MAX_COUNT}");
        self.set(&mut request, count_field, count, &counts, |request, value| {
            integer(value).map(|count| request.with_count(count))
        });
        Ok(request)
    }
}

/// The names of models, for people.
pub(in crate::web) fn model_names(models: &[ModelHandle]) -> String {
    let names: Vec<String> = models.iter().map(|info| format!("{:?}", info.config.name)).collect();
    names.join(", ")
}

/// A whole number, which JSON may also write as `7.0`.
pub(in crate::web) fn integer(value: &Value) -> Option<u64> {
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..=SEED_MAX as f64).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(exact).map(|number| number as u64))
}

/// A value as it was sent, unless that would send back half a megabyte.
fn shown(value: Value) -> Value {
    match value {
        Value::String(text) => shorten(&text).into(),
        Value::Array(_) | Value::Object(_) => {
            let text = value.to_string();
            if text.len() > LONGEST { shorten(&text).into() } else { value }
        }
        short => short,
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}… ({} bytes)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}
