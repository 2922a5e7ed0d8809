//! Reading fields by their table, collecting what is wrong with any of them.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::error::{FieldError, FieldErrors};
use super::field::{Field, Kind, Required, seeds};
use crate::engine::{ModelHandle, SEED_MAX};
use crate::model::Config;

/// The images that are allowed.
pub const IMAGES: &str =
    "a PNG, JPEG, WebP, GIF or BMP file of up to 50 million pixels, as base64 or a data: URL";

/// Reads the fields of one request.
pub struct Reader<'a> {
    config: &'a Config,
    /// The request names a model that isn't served, and several are: values that depend on the model can't be checked.
    model_unknown: bool,
    known: Vec<&'static str>,
    errors: FieldErrors,
}

impl<'a> Reader<'a> {
    /// A reader of requests for a model.
    pub fn new(config: &'a Config) -> Self {
        Self { config, model_unknown: false, known: Vec::new(), errors: FieldErrors::default() }
    }

    /// A reader for the one of these models that the field `model` names, or the first, and that model. The field is removed.
    /// There must be a model.
    pub fn resolve(models: &'a [ModelHandle], values: &mut Map<String, Value>) -> (Self, &'a ModelHandle) {
        let named = values.remove("model").filter(|value| !value.is_null());
        let found = named
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|name| models.iter().find(|model| model.name() == name));
        let model = found.unwrap_or_else(|| &models[0]);
        let mut reader = Self::new(&model.config);
        if let (Some(value), None) = (named, found) {
            reader.model_unknown = models.len() > 1;
            reader.errors.push(|| FieldError::new("model", value, model_names(models)));
        }
        (reader, model)
    }

    pub fn config(&self) -> &'a Config {
        self.config
    }

    /// Takes the fields of a table out of `values` and stores them. `null` counts as absent.
    pub fn read<D>(&mut self, fields: &[Field<D>], values: &mut Map<String, Value>, draft: &mut D) {
        let is_present = |name| values.get(name).is_some_and(|value: &Value| !value.is_null());
        let missing: Vec<bool> = fields
            .iter()
            .map(|field| match field.required {
                Required::No => false,
                Required::Yes => true,
                Required::With(other) => is_present(other),
                Required::Without(other) => !is_present(other),
                Required::WithUnless(other, unless) => {
                    is_present(other) && !unless.iter().any(|name| is_present(name))
                }
            })
            .collect();
        for (field, is_required) in fields.iter().zip(missing) {
            self.read_as(field, field.name, is_required, values, draft);
        }
    }

    /// Takes one field, whose name in this dialect is `name`.
    pub fn read_field<D>(
        &mut self,
        field: &Field<D>,
        name: &'static str,
        values: &mut Map<String, Value>,
        draft: &mut D,
    ) {
        self.read_as(field, name, field.required == Required::Yes, values, draft);
    }

    fn read_as<D>(
        &mut self,
        field: &Field<D>,
        name: &'static str,
        is_required: bool,
        values: &mut Map<String, Value>,
        draft: &mut D,
    ) {
        if matches!(field.kind, Kind::Model) {
            // Resolved already.
            return;
        }
        self.known.push(name);
        let value = values.remove(name).unwrap_or_default();
        if value.is_null() && !is_required {
            return;
        }
        let is_checkable = !(self.model_unknown && field.depends_on_model()) || value.is_null();
        if let Err(allowed) = store(field, self.config, &value, draft)
            && is_checkable
        {
            self.reject(name, value, allowed);
        }
    }

    /// Adds an error.
    pub fn reject(&mut self, field: &str, value: Value, allowed: impl Into<String>) {
        self.errors.push(|| FieldError::new(field, value, allowed));
    }

    /// Rejects values that no table has taken.
    pub fn reject_unknown(&mut self, values: Map<String, Value>) {
        let known = match self.known.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{}, model and {last}", others.join(", ")),
            _ => format!("{} and model", self.known.join(", ")),
        };
        for (name, value) in values {
            self.errors.push(|| FieldError::new(&name, value, format!("the fields {known}")));
        }
    }

    /// Whether a field has been rejected, of those that are listed.
    pub fn has_error(&self, field: &str) -> bool {
        self.errors.listed().iter().any(|error| error.field == field)
    }

    /// # Errors
    /// The errors, if there are any.
    pub fn finish(self) -> Result<(), FieldErrors> {
        self.errors.into_result()
    }
}

/// Stores a value in a draft, or says what is allowed.
fn store<D>(field: &Field<D>, config: &Config, value: &Value, draft: &mut D) -> Result<(), String> {
    let stored = match &field.kind {
        Kind::Number { range, set } => {
            let number = value.as_f64().filter(|&number| range.of(config).contains(number));
            number.map(|number| set(draft, number))
        }
        Kind::Integer { range, set } => {
            let number = integer(value).filter(|&number| range.of(config).contains(number));
            number.map(|number| set(draft, number))
        }
        Kind::Seed { set } => seed(value).map(|seed| set(draft, seed)),
        Kind::Boolean { set } => value.as_bool().map(|flag| set(draft, flag)),
        Kind::Choice { names, set, .. } => {
            let name = names.iter().find(|name| value.as_str() == Some(name));
            name.map(|name| set(draft, name))
        }
        Kind::Text { set } => value.as_str().map(|text| set(draft, text.to_owned())),
        Kind::Image { set } => value.as_str().and_then(image_from_base64).map(|file| set(draft, file)),
        Kind::Class { set } => class(value, config).map(|class| set(draft, class)),
        Kind::Model => None,
        Kind::Custom { read, .. } => return read(draft, config, value),
    };
    stored.ok_or_else(|| allowed(&field.kind, config))
}

/// The allowed values, for error messages.
fn allowed<D>(kind: &Kind<D>, config: &Config) -> String {
    match kind {
        Kind::Number { range, .. } => range.of(config).to_string(),
        Kind::Integer { range, .. } => range.of(config).to_string(),
        Kind::Seed { .. } => seeds(),
        Kind::Boolean { .. } => "true or false".into(),
        Kind::Choice { names, .. } => names.join(", "),
        Kind::Text { .. } => "text".into(),
        Kind::Image { .. } => IMAGES.into(),
        Kind::Class { .. } => {
            let last = config.classes.len().saturating_sub(1);
            let or_prompt = if config.has_words() { "; or a prompt in its place" } else { "" };
            format!("{}, or an index from 0 to {last}{or_prompt}", config.classes.join(", "))
        }
        Kind::Model | Kind::Custom { .. } => String::new(),
    }
}

impl<D> Field<D> {
    /// The allowed values for a model, for messages.
    pub fn allowed(&self, config: &Config) -> String {
        allowed(&self.kind, config)
    }
}

fn class(value: &Value, config: &Config) -> Option<usize> {
    match value {
        Value::String(name) => config.class_index(name),
        value => usize::try_from(integer(value)?).ok().filter(|&index| index < config.classes.len()),
    }
}

/// A non-negative integer, which JSON may also write as `7.0`.
pub fn integer(value: &Value) -> Option<u64> {
    let exact = |number: &f64| number.fract() == 0.0 && (0.0..=SEED_MAX as f64).contains(number);
    value.as_u64().or_else(|| value.as_f64().filter(exact).map(|number| number as u64))
}

/// A seed as a number or as decimal digits; -1 and empty text are random ones: `Some(None)`.
fn seed(value: &Value) -> Option<Option<u64>> {
    let is_seed = |seed: &u64| (0..=SEED_MAX).contains(seed);
    match value {
        Value::String(text) => match text.trim() {
            "" | "-1" => Some(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(is_seed).map(Some)
            }
            _ => None,
        },
        value if value.as_f64() == Some(-1.0) => Some(None),
        value => integer(value).filter(is_seed).map(Some),
    }
}

/// Standard base64, padded or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The file in base64 or in a `data:` URL; `None` where the text is neither. Line breaks, missing padding and the URL-safe
/// alphabet are allowed.
pub fn image_from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_start();
    let is_url = text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let base64 = if is_url {
        let (kind, data) = text.split_once(',')?;
        let (_, encoding) = kind.rsplit_once(';')?;
        encoding.trim().eq_ignore_ascii_case("base64").then_some(data)?
    } else {
        text
    };
    let is_plain = |byte: u8| !byte.is_ascii_whitespace() && byte != b'-' && byte != b'_';
    if base64.bytes().all(is_plain) {
        return BASE64.decode(base64).ok();
    }
    let standard = base64.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(|byte| match byte {
        b'-' => b'+',
        b'_' => b'/',
        byte => byte,
    });
    BASE64.decode(standard.collect::<Vec<u8>>()).ok()
}

/// A value of a form, a query or a command line, as JSON would write it: numbers and booleans where the field is one. What
/// can't be read stays text, for the error message.
pub fn text_value<D>(field: &Field<D>, text: &str) -> Value {
    let trimmed = text.trim();
    let value = match &field.kind {
        Kind::Number { .. } => trimmed.parse().ok().and_then(serde_json::Number::from_f64).map(Value::Number),
        Kind::Integer { .. } => trimmed.parse::<u64>().ok().map(Value::from),
        Kind::Seed { .. } => trimmed.parse::<i64>().ok().map(Value::from),
        Kind::Boolean { .. } => trimmed.parse::<bool>().ok().map(Value::from),
        _ => None,
    };
    value.unwrap_or_else(|| text.into())
}

/// The names of models, for messages.
pub fn model_names(models: &[ModelHandle]) -> String {
    let names: Vec<String> = models.iter().map(|info| format!("{:?}", info.config.name)).collect();
    names.join(", ")
}
