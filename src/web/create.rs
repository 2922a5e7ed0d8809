//! Checking the body of `POST /api/v1/generations`: once, here, and everything wrong with it at once.

use axum::http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::problem::{FieldError, Problem};
use crate::engine::{MAX_COUNT, ModelInfo, Request, SEED_MAX};
use crate::model::{Config, ModelError, Settings};

/// The fields, of any type so that all mistakes can be told at once. `null` is as good as absent.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Body {
    class: Option<Value>,
    model: Option<Value>,
    seed: Option<Value>,
    count: Option<Value>,
    guidance: Option<Value>,
    temperature: Option<Value>,
    top_k: Option<Value>,
    top_p: Option<Value>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

const FIELDS: &str = "the fields class, model, seed, count, guidance, temperature, top_k and top_p";

/// A request from a body. `seed` is drawn at random where it is silent, the rest is the model's defaults.
///
/// # Errors
/// 415 for a content type other than JSON, 400 for a body that isn't JSON, 422 for one that isn't an object or has
/// fields that can't be used.
pub(super) fn parse(headers: &HeaderMap, body: &[u8], info: &ModelInfo) -> Result<Request, Problem> {
    if !is_json(headers) {
        let detail = "Send the settings as JSON, with the header Content-Type: application/json.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let body: Body = serde_json::from_slice(body).map_err(|error| {
        // These messages say what is wrong where in the body, in the words of JSON.
        if error.is_data() {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("The body can't be used: {error}."))
        } else {
            Problem::new(StatusCode::BAD_REQUEST, format!("The body is not JSON: {error}."))
        }
    })?;
    let mut check = Check { config: &info.config, errors: Vec::new() };
    let request = check.request(body);
    match request {
        Some(request) if check.errors.is_empty() => Ok(request),
        _ => Err(Problem::invalid(check.errors)),
    }
}

/// `application/json` with any parameters, or `application/…+json`.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

struct Check<'a> {
    config: &'a Config,
    errors: Vec<FieldError>,
}

impl Check<'_> {
    /// Goes through all fields; `None` or a request that must not be used where it noted errors.
    fn request(&mut self, body: Body) -> Option<Request> {
        let config = self.config;
        for (field, value) in body.unknown {
            self.refuse(&field, value, FIELDS);
        }
        if let Some(value) = body.model
            && value.as_str() != Some(&config.name)
        {
            self.refuse("model", value, &format!("{:?}", config.name));
        }
        // Where the class is wrong, the other fields are checked with the first one.
        let class = self.class(body.class).unwrap_or(0);
        let mut settings = Settings::new(config, class).ok()?;
        let range = |range: &std::ops::RangeInclusive<f64>| {
            format!("numbers from {} to {}", range.start(), range.end())
        };
        self.set(&mut settings, "guidance", body.guidance, &range(&Settings::GUIDANCE), |settings, value| {
            value.as_f64().map(|value| settings.with_guidance(value))
        });
        self.set(
            &mut settings,
            "temperature",
            body.temperature,
            &range(&Settings::TEMPERATURE),
            |settings, value| value.as_f64().map(|value| settings.with_temperature(value)),
        );
        let codes = format!("integers from 1 to {}", config.trajectory.codes);
        self.set(&mut settings, "top_k", body.top_k, &codes, |settings, value| {
            let value = value.as_u64().and_then(|value| usize::try_from(value).ok());
            value.map(|value| settings.with_top_k(config, value))
        });
        self.set(&mut settings, "top_p", body.top_p, "numbers above 0, up to 1", |settings, value| {
            value.as_f64().map(|value| settings.with_top_p(value))
        });
        let mut request = Request::new(settings, rand::random_range(0..=SEED_MAX)).ok()?;
        let seeds = format!("integers from 0 to {SEED_MAX}");
        self.set(&mut request, "seed", body.seed, &seeds, |request, value| {
            value.as_u64().map(|seed| Request::new(request.settings().clone(), seed))
        });
        let counts = format!("integers from 1 to {MAX_COUNT}");
        self.set(&mut request, "count", body.count, &counts, |request, value| {
            value.as_u64().map(|count| request.with_count(count))
        });
        Some(request)
    }

    fn class(&mut self, value: Option<Value>) -> Option<usize> {
        let config = self.config;
        let value = value.unwrap_or_default();
        let class = match &value {
            Value::String(name) => config.class_index(name),
            Value::Number(index) => index
                .as_u64()
                .and_then(|index| usize::try_from(index).ok())
                .filter(|&index| index < config.classes.len()),
            _ => None,
        };
        if class.is_none() {
            let last = config.classes.len().saturating_sub(1);
            self.refuse(
                "class",
                value,
                &format!("{}, or an index from 0 to {last}", config.classes.join(", ")),
            );
        }
        class
    }

    /// Sets one field of `target`, or notes an error and leaves it. `apply` returns `None` for the wrong type.
    fn set<T: Clone>(
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

    fn refuse(&mut self, field: &str, value: Value, allowed: &str) {
        self.errors.push(FieldError { field: field.into(), value, allowed: allowed.into() });
    }
}
