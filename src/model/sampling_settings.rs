//! The settings of an image, checked once.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::config::Config;
use super::error::ModelError;
use super::range::{IntegerRange, NumberRange};

/// The options of sampling, as requests, answers, picture files and the command line name them. An option of `None` is off.
///
/// An option that is added here, with a range in `SamplingOptions::check`, is recorded in pictures and answers. The
/// request table (`request::GENERATION_FIELDS`) makes it known to clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingOptions {
    /// Guidance scale w: logits become u + w (l − u) of the unconditional u and the class's l (Ho & Salimans, arXiv
    /// 2207.12598). 1 is no guidance, 0 ignores the class.
    pub guidance: f64,
    /// Logits are divided by it; 0 always takes the most probable code.
    pub temperature: f64,
    /// Draw from the k most probable codes only.
    pub top_k: Option<usize>,
    /// Draw from the most probable codes that together have this probability.
    pub top_p: Option<f64>,
}

impl SamplingOptions {
    pub const GUIDANCE: NumberRange = NumberRange::new(0.0, 20.0);
    pub const TEMPERATURE: NumberRange = NumberRange::new(0.0, 5.0);
    pub const TOP_P: NumberRange = NumberRange::above(0.0, 1.0);

    /// 1 to V, the size of the model's codebook.
    pub fn top_k_range(config: &Config) -> IntegerRange {
        IntegerRange::new(1, config.trajectory.codes as u64)
    }

    /// The model's defaults.
    pub fn defaults(config: &Config) -> Self {
        let sampling = &config.sampling;
        Self { guidance: sampling.guidance, temperature: sampling.temperature, top_k: None, top_p: None }
    }

    /// Whether the model can use all of these values.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for the first that is out of range.
    fn check(&self, config: &Config) -> Result<(), ModelError> {
        Self::GUIDANCE.check("guidance", self.guidance)?;
        Self::TEMPERATURE.check("temperature", self.temperature)?;
        self.top_k.map_or(Ok(()), |top_k| Self::top_k_range(config).check("top_k", top_k as u64))?;
        self.top_p.map_or(Ok(()), |top_p| Self::TOP_P.check("top_p", top_p))
    }

    /// Name and value of each option that is on, as the command line writes them, sorted by name.
    pub fn to_texts(&self) -> Vec<(String, String)> {
        use serde_json::Value;
        let Ok(Value::Object(options)) = serde_json::to_value(self) else { return Vec::new() };
        let text = |value: Value| match value {
            Value::Null => None,
            Value::String(text) => Some(text),
            // 2 rather than 2.0.
            Value::Number(number) if number.is_f64() => number.as_f64().map(|number| number.to_string()),
            value => Some(value.to_string()),
        };
        options.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
    }
}

/// Settings of one image. The constructors check, so a value of this type is valid for the model that it names.
#[derive(Debug, Clone, PartialEq)]
pub struct SamplingSettings {
    model: Arc<str>,
    class: usize,
    options: SamplingOptions,
}

impl SamplingSettings {
    /// The model's defaults for a class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the class isn't below the number of classes.
    pub fn new(config: &Config, class: usize) -> Result<Self, ModelError> {
        Self::with_options(config, class, SamplingOptions::defaults(config))
    }

    /// These options for a class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the class isn't below the number of classes, or an option is out of range.
    pub fn with_options(config: &Config, class: usize, options: SamplingOptions) -> Result<Self, ModelError> {
        if class >= config.classes.len() {
            let allowed = format!("0 to {} ({})", config.classes.len() - 1, config.classes.join(", "));
            return Err(ModelError::Setting { field: "class", value: class.to_string(), allowed });
        }
        options.check(config)?;
        Ok(Self { model: config.name.as_str().into(), class, options })
    }

    /// The same with another guidance scale.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is not in [`SamplingOptions::GUIDANCE`].
    pub fn with_guidance(mut self, guidance: f64) -> Result<Self, ModelError> {
        SamplingOptions::GUIDANCE.check("guidance", guidance)?;
        self.options.guidance = guidance;
        Ok(self)
    }

    /// The same with another temperature.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is not in [`SamplingOptions::TEMPERATURE`].
    pub fn with_temperature(mut self, temperature: f64) -> Result<Self, ModelError> {
        SamplingOptions::TEMPERATURE.check("temperature", temperature)?;
        self.options.temperature = temperature;
        Ok(self)
    }

    /// The same, drawing from the k most probable codes only.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is not in [`SamplingOptions::top_k_range`].
    pub fn with_top_k(mut self, config: &Config, top_k: usize) -> Result<Self, ModelError> {
        SamplingOptions::top_k_range(config).check("top_k", top_k as u64)?;
        self.options.top_k = Some(top_k);
        Ok(self)
    }

    /// The same, drawing from the most probable codes that together have this probability.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where it is not in [`SamplingOptions::TOP_P`].
    pub fn with_top_p(mut self, top_p: f64) -> Result<Self, ModelError> {
        SamplingOptions::TOP_P.check("top_p", top_p)?;
        self.options.top_p = Some(top_p);
        Ok(self)
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Index of the class.
    pub fn class(&self) -> usize {
        self.class
    }

    pub fn options(&self) -> &SamplingOptions {
        &self.options
    }

    /// Guidance scale w.
    pub fn guidance(&self) -> f64 {
        self.options.guidance
    }

    pub fn temperature(&self) -> f64 {
        self.options.temperature
    }

    pub fn top_k(&self) -> Option<usize> {
        self.options.top_k
    }

    pub fn top_p(&self) -> Option<f64> {
        self.options.top_p
    }
}
