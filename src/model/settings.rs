//! What a person may set about an image, checked once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::ModelError;
use super::config::{self, Config};

/// Settings of one image. [`SamplingSettings::new`] and the `with_…` functions check, so a value of this type is right, for the
/// model that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingSettings {
    model: Arc<str>,
    class: usize,
    guidance: f64,
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
}

impl SamplingSettings {
    /// Guidance scales.
    pub const GUIDANCE: RangeInclusive<f64> = 0.0..=20.0;
    /// Temperatures.
    pub const TEMPERATURE: RangeInclusive<f64> = 0.0..=5.0;

    /// The model's defaults for a class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the class isn't below the number of classes.
    pub fn new(config: &Config, class: usize) -> Result<Self, ModelError> {
        if class >= config.classes.len() {
            let allowed = format!("0 to {} ({})", config.classes.len() - 1, config.classes.join(", "));
            return Err(ModelError::Setting { field: "class", value: class.to_string(), allowed });
        }
        let config::Sampling { guidance, temperature } = config.sampling;
        let model = config.name.as_str().into();
        Ok(Self { model, class, guidance, temperature, top_k: None, top_p: None })
    }

    /// Guidance scale w, of [`Self::GUIDANCE`]: logits become u + w (l − u) of the unconditional u and the
    /// class's l (Ho & Salimans, arXiv 2207.12598). 1 is no guidance, 0 ignores the class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is out of range or no number.
    pub fn with_guidance(self, guidance: f64) -> Result<Self, ModelError> {
        within("guidance", guidance, &Self::GUIDANCE)?;
        Ok(Self { guidance, ..self })
    }

    /// Temperature of [`Self::TEMPERATURE`], 0 being always the most probable code; logits are divided by it.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is out of range or no number.
    pub fn with_temperature(self, temperature: f64) -> Result<Self, ModelError> {
        within("temperature", temperature, &Self::TEMPERATURE)?;
        Ok(Self { temperature, ..self })
    }

    /// Draw from the k most probable codes only, 1 to V.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is out of range.
    pub fn with_top_k(self, config: &Config, top_k: usize) -> Result<Self, ModelError> {
        let codes = config.trajectory.codes;
        check("top_k", top_k, (1..=codes).contains(&top_k), || format!("1 to {codes}"))?;
        Ok(Self { top_k: Some(top_k), ..self })
    }

    /// Draw from the most probable codes that together hold this share of the probability, above 0 to 1.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is out of range or no number.
    pub fn with_top_p(self, top_p: f64) -> Result<Self, ModelError> {
        check("top_p", top_p, top_p > 0.0 && top_p <= 1.0, || "above 0, up to 1".into())?;
        Ok(Self { top_p: Some(top_p), ..self })
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Index of the class.
    pub fn class(&self) -> usize {
        self.class
    }

    /// Guidance scale w.
    pub fn guidance(&self) -> f64 {
        self.guidance
    }

    /// Temperature.
    pub fn temperature(&self) -> f64 {
        self.temperature
    }

    /// How many of the most probable codes are drawn from; all where `None`.
    pub fn top_k(&self) -> Option<usize> {
        self.top_k
    }

    /// Which share of the probability is drawn from; all where `None`.
    pub fn top_p(&self) -> Option<f64> {
        self.top_p
    }
}

fn within(field: &'static str, value: f64, range: &RangeInclusive<f64>) -> Result<(), ModelError> {
    check(field, value, range.contains(&value), || format!("{} to {}", range.start(), range.end()))
}

fn check<T: std::fmt::Display>(
    field: &'static str,
    value: T,
    holds: bool,
    allowed: impl FnOnce() -> String,
) -> Result<(), ModelError> {
    if holds {
        Ok(())
    } else {
        Err(ModelError::Setting { field, value: value.to_string(), allowed: allowed() })
    }
}
