//! The settings of an image, checked once.

use std::collections::HashSet;
use std::sync::Arc;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::condition::Condition;
use super::config::Config;
use super::error::ModelError;
use super::guidance_steps::GuidanceSteps;
use super::random;
use super::range::{IntegerRange, NumberRange};
use super::text::is_printable;
use super::vocabulary::Subject;

/// The options of sampling, as requests, answers, picture files and the command line name them. An option of `None` is off.
///
/// An option that is added here, with a range in `SamplingOptions::check`, is recorded in pictures and answers. The
/// request table (`request::GENERATION_FIELDS`) makes it known to clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplingOptions {
    /// Guidance scale w: logits become u + w (l − u) of the unconditional u and the class's l (Ho & Salimans, arXiv
    /// 2207.12598). 1 is no guidance, 0 ignores the class.
    pub guidance: f64,
    /// The steps that are guided: in the others the scale is 1. All if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_steps: Option<GuidanceSteps>,
    /// Logits are divided by it; 0 always takes the most probable code.
    pub temperature: f64,
    /// Draw from the k most probable codes only.
    pub top_k: Option<usize>,
    /// Draw from the most probable codes that together have this probability.
    pub top_p: Option<f64>,
    /// Words that say what the image shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Name of the drawing style.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<String>,
}

/// Words that an error message suggests for an unknown one.
const SUGGESTIONS: usize = 3;

impl SamplingOptions {
    /// The longest prompt in bytes.
    pub const MAX_PROMPT: usize = 2000;
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
        Self {
            guidance: sampling.guidance,
            guidance_steps: sampling.guidance_steps,
            temperature: sampling.temperature,
            top_k: None,
            top_p: None,
            prompt: None,
            style: None,
        }
    }

    /// Whether the model can use all of these values.
    ///
    /// # Errors
    /// [`ModelError::Setting`] for the first that is out of range.
    fn check(&self, config: &Config) -> Result<(), ModelError> {
        Self::GUIDANCE.check("guidance", self.guidance)?;
        Self::TEMPERATURE.check("temperature", self.temperature)?;
        self.top_k.map_or(Ok(()), |top_k| Self::top_k_range(config).check("top_k", top_k as u64))?;
        self.top_p.map_or(Ok(()), |top_p| Self::TOP_P.check("top_p", top_p))?;
        let invalid = |field, value: &String| {
            let value = value.clone();
            move |allowed| ModelError::Setting { field, value, allowed }
        };
        if let Some(range) = self.guidance_steps.filter(|range| range.last() > config.steps()) {
            let allowed = GuidanceSteps::allowed(config.steps());
            return Err(ModelError::Setting { field: "guidance_steps", value: range.to_string(), allowed });
        }
        if let Some(prompt) = &self.prompt {
            Self::parse_prompt(config, prompt).map_err(invalid("prompt", prompt))?;
        }
        if let Some(style) = &self.style {
            Self::parse_style(config, style).map_err(invalid("style", style))?;
        }
        Ok(())
    }

    /// A prompt with single spaces between its words, in place of white space and control characters. `None` if it is blank.
    ///
    /// # Errors
    /// What is allowed, if the model is told no words, or knows none of these.
    pub fn parse_prompt(config: &Config, prompt: &str) -> Result<Option<String>, String> {
        if prompt.len() > Self::MAX_PROMPT {
            return Err(format!("up to {} bytes", Self::MAX_PROMPT));
        }
        let is_space = |c: char| c.is_whitespace() || !is_printable(c);
        let parts: Vec<&str> = prompt.split(is_space).filter(|part| !part.is_empty()).collect();
        let prompt = parts.join(" ");
        if prompt.is_empty() {
            return Ok(None);
        }
        if !config.has_words() {
            return Err(format!("null: the model {} knows classes, not words", config.name));
        }
        let encoded = config.vocabulary.encode(&prompt);
        if encoded.words.is_empty() {
            Err(Self::near_words(config, &encoded.unknown))
        } else {
            Ok(Some(prompt))
        }
    }

    /// What is allowed in the place of unknown words: words that resemble them.
    pub fn near_words(config: &Config, unknown: &[String]) -> String {
        let mut near: Vec<&str> = Vec::new();
        for word in unknown.iter().take(SUGGESTIONS) {
            near.extend(config.vocabulary.similar(word, SUGGESTIONS));
        }
        let mut seen = HashSet::new();
        near.retain(|word| seen.insert(*word));
        let such_as = match &near[..] {
            [] => "red heart or cat face".to_owned(),
            near => near.join(", "),
        };
        format!("English words that the model {} knows, such as {such_as}", config.name)
    }

    /// The name of a style as the model spells it.
    ///
    /// # Errors
    /// What is allowed, if the model has no such style.
    pub fn parse_style(config: &Config, style: &str) -> Result<String, String> {
        match config.style_index(style) {
            Some(index) => Ok(config.styles[index].clone()),
            None if config.styles.is_empty() => Err(format!("null: the model {} has no styles", config.name)),
            None => Err(config.styles.join(", ")),
        }
    }

    /// The class of what the prompt names; `None` without a prompt.
    pub fn class(&self, config: &Config) -> Option<usize> {
        config.vocabulary.class_of(self.prompt.as_ref()?)
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
    condition: Condition,
}

impl SamplingSettings {
    /// The model's defaults for a class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the class isn't below the number of classes.
    pub fn new(config: &Config, class: usize) -> Result<Self, ModelError> {
        Self::with_options(config, class, SamplingOptions::defaults(config))
    }

    /// These options for a class, or for the class of what their prompt names.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where there is neither a class nor a prompt, the class isn't below the number of classes, or an
    /// option is out of range.
    pub fn resolve(
        config: &Config,
        class: Option<usize>,
        options: SamplingOptions,
    ) -> Result<Self, ModelError> {
        match class.or_else(|| options.class(config)) {
            Some(class) => Self::with_options(config, class, options),
            None => {
                options.check(config)?;
                let or_prompt = if config.has_words() { ", or a prompt" } else { "" };
                let allowed = format!("{}{or_prompt}", config.classes.join(", "));
                Err(ModelError::Setting { field: "class", value: String::new(), allowed })
            }
        }
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
        let style = options.style.as_ref().and_then(|style| config.style_index(style));
        let words = options.prompt.as_ref().map(|prompt| config.vocabulary.encode(prompt).words);
        let condition = Condition {
            class: class as u32,
            style: style.unwrap_or(config.styles.len()) as u32,
            words: words.unwrap_or_default().into(),
            guidance: None,
        };
        Ok(Self { model: config.name.as_str().into(), class, options, condition })
    }

    /// The settings of image number `index` of a request with this seed: its [subject](Self::subject) and
    /// [style](Self::drawn_style) are drawn where they are not named.
    pub(super) fn for_image(&self, config: &Config, seed: u64, index: u32) -> Self {
        let mut settings = self.clone();
        let style = self.drawn_style(config, seed, index).and_then(|style| config.style_index(style));
        if let Some(style) = style {
            settings.condition.style = style as u32;
        }
        if let Some(subject) = self.drawn_subject(config, seed, index) {
            settings.condition.words = subject.words.clone();
        }
        settings
    }

    /// What image number `index` of a request with this seed shows, where no prompt says it: one of the subjects of its
    /// class, another one for each image until all have been shown. `None` if there is a prompt, or the model is told no
    /// words.
    pub fn subject<'c>(&self, config: &'c Config, seed: u64, index: u32) -> Option<&'c str> {
        Some(&self.drawn_subject(config, seed, index)?.name)
    }

    fn drawn_subject<'c>(&self, config: &'c Config, seed: u64, index: u32) -> Option<&'c Subject> {
        let subjects = config.vocabulary.subjects(self.class);
        let draws = self.options.prompt.is_none() && !subjects.is_empty();
        draws.then(|| &subjects[shuffled(subjects.len(), seed, index)])
    }

    /// The drawing style of image number `index` of a request with this seed, where none is named: one in which training shows
    /// the image's subject, another one for each image of that subject until all have been used; any style for a prompt that
    /// contains no subject's name. `None` if one is named, or the model has no styles.
    pub fn drawn_style<'c>(&self, config: &'c Config, seed: u64, index: u32) -> Option<&'c str> {
        if self.options.style.is_some() || config.styles.is_empty() {
            return None;
        }
        let named = || config.vocabulary.subject_in(&self.condition.words);
        let subject = self.drawn_subject(config, seed, index).or_else(named);
        // Its own order, so that style and subject are independent.
        let style = match subject {
            Some(subject) => subject.styles[shuffled(subject.styles.len(), !seed, index)] as usize,
            None => shuffled(config.styles.len(), !seed, index),
        };
        Some(&config.styles[style])
    }

    /// Says what image number `index` of a request with this seed shows: the known words of the prompt, or the subject that was
    /// drawn, and the style. The class, if the model is told classes only.
    pub fn describe(&self, config: &Config, seed: u64, index: u32) -> String {
        if !config.has_words() {
            return config.classes.get(self.class).cloned().unwrap_or_default();
        }
        let words = config.vocabulary.words();
        let subject = self.subject(config, seed, index).map(str::to_owned).unwrap_or_else(|| {
            let told = self.condition.words.iter().filter_map(|&word| words.get(word as usize));
            told.map(String::as_str).collect::<Vec<_>>().join(" ")
        });
        let named = self.options.style.as_deref();
        match named.or_else(|| self.drawn_style(config, seed, index)) {
            Some(style) => format!("{subject}, {style} style"),
            None => subject,
        }
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

    /// The same, guided in these steps only.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the last is after the model's last.
    pub fn with_guidance_steps(
        mut self,
        config: &Config,
        range: Option<GuidanceSteps>,
    ) -> Result<Self, ModelError> {
        self.options.guidance_steps = range;
        self.options.check(config)?;
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

    /// What the denoiser is told.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    pub fn options(&self) -> &SamplingOptions {
        &self.options
    }

    /// Guidance scale w of step t, 1..=T.
    pub fn guidance_at(&self, t: usize) -> f64 {
        let is_guided = self.options.guidance_steps.is_none_or(|range| range.contains(t));
        if is_guided { self.options.guidance } else { 1.0 }
    }

    pub fn temperature(&self) -> f64 {
        self.options.temperature
    }

    /// Whether the most probable code is taken: at temperature 0, and at temperatures so low that logits which are divided by
    /// them would exceed f32. All other codes have probability 0 there.
    pub(super) fn is_greedy(&self) -> bool {
        self.options.temperature < 1e-30
    }

    pub fn top_k(&self) -> Option<usize> {
        self.options.top_k
    }

    pub fn top_p(&self) -> Option<f64> {
        self.options.top_p
    }
}

/// Entry number `index` of a random order of 0..count, again and again.
fn shuffled(count: usize, seed: u64, index: u32) -> usize {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut random::request_generator(seed));
    order[index as usize % count]
}
