//! Sampling settings of an image, validated once.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::config::{Config, SamplingDefaults};
use super::error::ModelError;

/// Sampling settings of one image. The constructor and the `with_…` methods validate, so every value of this type is valid
/// for the model that it names.
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
    /// Allowed guidance scales.
    pub const GUIDANCE: RangeInclusive<f64> = 0.0..=20.0;
    /// Allowed temperatures.
    pub const TEMPERATURE: RangeInclusive<f64> = 0.0..=5.0;

    /// The model's default settings for a class, given by its index.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the class isn't below the number of classes.
    pub fn new(config: &Config, class: usize) -> Result<Self, ModelError> {
        if class >= config.classes.len() {
            let allowed = format!("0 to {} ({})", config.classes.len() - 1, config.classes.join(", "));
            return Err(ModelError::Setting { field: "class", value: class.to_string(), allowed });
        }
        let SamplingDefaults { guidance, temperature } = config.sampling;
        let model = config.name.as_str().into();
        Ok(Self { model, class, guidance, temperature, top_k: None, top_p: None })
    }

    /// Sets the guidance scale w, within [`Self::GUIDANCE`]: logits become u + w (l − u), where l are those with the class
    /// and u those without (Ho & Salimans, arXiv 2207.12598). 1 is no guidance; 0 ignores the class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if it is out of range or NaN.
    pub fn with_guidance(self, guidance: f64) -> Result<Self, ModelError> {
        check_range("guidance", guidance, &Self::GUIDANCE)?;
        Ok(Self { guidance, ..self })
    }

    /// Sets the temperature, within [`Self::TEMPERATURE`]: logits are divided by it; 0 always takes the most probable code.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if it is out of range or NaN.
    pub fn with_temperature(self, temperature: f64) -> Result<Self, ModelError> {
        check_range("temperature", temperature, &Self::TEMPERATURE)?;
        Ok(Self { temperature, ..self })
    }

    /// Samples from the k most probable codes only, 1 to V.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if it is out of range.
    pub fn with_top_k(self, config: &Config, top_k: usize) -> Result<Self, ModelError> {
        let codes = config.trajectory.codes;
        check("top_k", top_k, (1..=codes).contains(&top_k), || format!("1 to {codes}"))?;
        Ok(Self { top_k: Some(top_k), ..self })
    }

    /// Samples from the smallest set of most probable codes whose probabilities sum to this, above 0 and up to 1.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if it is out of range or NaN.
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

    /// The number of most probable codes to sample from; `None` is all.
    pub fn top_k(&self) -> Option<usize> {
        self.top_k
    }

    /// The share of probability to sample from; `None` is all.
    pub fn top_p(&self) -> Option<f64> {
        self.top_p
    }
}

fn check_range(field: &'static str, value: f64, range: &RangeInclusive<f64>) -> Result<(), ModelError> {
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
