//! What a field is: its name, type, range, default and description.

use serde_json::Value;

use crate::engine::SEED_MAX;
use crate::model::{Config, IntegerRange, NumberRange};

/// A field of a request that is collected in a `D`.
pub struct Field<D: 'static> {
    pub name: &'static str,
    /// What it means, in one sentence, as Markdown.
    pub about: &'static str,
    pub kind: Kind<D>,
    pub required: Required,
    /// The value of an absent field for a model; `None` where there is no single one.
    pub default: fn(&Config) -> Option<Value>,
    /// A valid value for any model.
    pub example: &'static str,
    /// Whether it is one of [`SamplingOptions`](crate::model::SamplingOptions).
    pub is_sampling_option: bool,
    /// The names of its limits in `/api/v1/models`.
    pub limit_names: &'static [LimitName],
    /// The page's input; `None` where the page has none, or one of its own.
    pub input: Option<FormInput>,
}

/// A type, with the range of its values and the place where a valid one is stored.
pub enum Kind<D> {
    Number {
        range: Limit<NumberRange>,
        set: fn(&mut D, f64),
    },
    Integer {
        range: Limit<IntegerRange>,
        set: fn(&mut D, u64),
    },
    /// A seed, from 0 to [`SEED_MAX`]; `None` is a random one.
    Seed {
        set: fn(&mut D, Option<u64>),
    },
    Boolean {
        set: fn(&mut D, bool),
    },
    /// One of several names. `schema` is what the OpenAPI document calls the enumeration, `about` what it says about it.
    Choice {
        schema: &'static str,
        about: &'static str,
        names: &'static [&'static str],
        set: fn(&mut D, &'static str),
    },
    Text {
        set: fn(&mut D, String),
    },
    /// An image file in base64.
    Image {
        set: fn(&mut D, Vec<u8>),
    },
    /// A class of the model, by name or index.
    Class {
        set: fn(&mut D, usize),
    },
    /// The name of a model. It is resolved before the other fields are read.
    Model,
    /// Anything else.
    Custom {
        depends_on_model: bool,
        /// Stores a value, or says what is allowed. Absent values of a required field are `null`.
        read: fn(&mut D, &Config, &Value) -> Result<(), String>,
        /// The OpenAPI schema for these models.
        schema: fn(&[&Config]) -> Value,
    },
}

/// A range that holds for every model, or one for each.
pub enum Limit<T: 'static> {
    Fixed(T),
    OfModel(fn(&Config) -> T),
}

/// Whether a field may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Required {
    No,
    Yes,
    /// Only where the other field is present.
    With(&'static str),
    /// Only where the other field is absent.
    Without(&'static str),
    /// Only where the first field is present and the others are absent.
    WithUnless(&'static str, &'static [&'static str]),
}

/// A limit in the JSON of `/api/v1/models`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitName {
    Min(&'static str),
    Max(&'static str),
}

/// A number with a slider on the page.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FormInput {
    pub label: &'static str,
    pub help: &'static str,
    /// The slider's smallest value, where it isn't the range's.
    pub slider_min: Option<f64>,
    pub slider_step: f64,
    /// The end of the range that means the same as absence. The page shows this value then, and doesn't send it.
    pub off_at: Option<RangeEnd>,
    /// The value that a comparison suggests: one that shows what the option does.
    pub comparison_value: f64,
}

/// An end of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeEnd {
    Min,
    Max,
}

impl<T: Clone> Limit<T> {
    pub fn of(&self, config: &Config) -> T {
        match self {
            Self::Fixed(limit) => limit.clone(),
            Self::OfModel(limit) => limit(config),
        }
    }
}

impl<T> Limit<T> {
    fn depends_on_model(&self) -> bool {
        matches!(self, Self::OfModel(_))
    }
}

impl<D> Field<D> {
    /// An optional field without a default, to be completed.
    pub const fn new(name: &'static str, kind: Kind<D>, about: &'static str) -> Self {
        Self {
            name,
            about,
            kind,
            required: Required::No,
            default: |_| None,
            example: "",
            is_sampling_option: false,
            limit_names: &[],
            input: None,
        }
    }

    /// Whether its values can only be checked for a certain model.
    pub fn depends_on_model(&self) -> bool {
        match &self.kind {
            Kind::Number { range, .. } => range.depends_on_model(),
            Kind::Integer { range, .. } => range.depends_on_model(),
            Kind::Class { .. } => true,
            Kind::Custom { depends_on_model, .. } => *depends_on_model,
            Kind::Boolean { .. }
            | Kind::Seed { .. }
            | Kind::Choice { .. }
            | Kind::Text { .. }
            | Kind::Image { .. }
            | Kind::Model => false,
        }
    }

    /// The smallest and largest number for a model, of fields that are numbers.
    pub fn bounds(&self, config: &Config) -> Option<(f64, f64)> {
        match &self.kind {
            Kind::Number { range, .. } => Some(range.of(config)).map(|range| (range.min, range.max)),
            Kind::Integer { range, .. } => {
                Some(range.of(config)).map(|range| (range.min as f64, range.max as f64))
            }
            Kind::Seed { .. } => Some((0.0, SEED_MAX as f64)),
            _ => None,
        }
    }

    /// The number that means the same as absence on the page.
    pub fn off_value(&self, config: &Config) -> Option<f64> {
        let (min, max) = self.bounds(config)?;
        Some(match self.input?.off_at? {
            RangeEnd::Min => min,
            RangeEnd::Max => max,
        })
    }

    /// The allowed values, where they are the same for every model.
    pub fn allowed_for_all_models(&self) -> Option<String> {
        match &self.kind {
            Kind::Number { range: Limit::Fixed(range), .. } => Some(range.to_string()),
            Kind::Integer { range: Limit::Fixed(range), .. } => Some(range.to_string()),
            Kind::Seed { .. } => Some(seeds()),
            Kind::Choice { names, .. } => Some(names.join(", ")),
            _ => None,
        }
    }

    pub fn is_integer(&self) -> bool {
        matches!(self.kind, Kind::Integer { .. } | Kind::Seed { .. })
    }
}

/// The seeds that are allowed.
pub(super) fn seeds() -> String {
    format!("{}, or -1 for a random one", IntegerRange::new(0, SEED_MAX))
}
