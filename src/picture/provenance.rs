//! What made a picture.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::model::{Config, SamplingSettings};

/// Everything that a picture follows from: the same parameters make the same picture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    pub model: String,
    /// Name of the class.
    pub class: String,
    pub seed: u64,
    /// Number of the image in its request, from 0; of the first one, for a sheet.
    pub index: u32,
    /// Images on the sheet; 1 is a picture of its own.
    pub count: u32,
    pub guidance: f64,
    pub temperature: f64,
    pub top_k: Option<usize>,
    pub top_p: Option<f64>,
    /// Every pixel of the model's is a square of this size.
    pub scale: u32,
    /// The step of another image that it was drawn from; `None` where it was drawn from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<usize>,
    /// Of the program.
    pub version: Cow<'static, str>,
}

impl Provenance {
    /// Image number `index` of a request, at its own size.
    pub fn new(config: &Config, settings: &SamplingSettings, seed: u64, index: u32) -> Self {
        Self {
            model: config.name.clone(),
            class: config.classes.get(settings.class()).cloned().unwrap_or_default(),
            seed,
            index,
            count: 1,
            guidance: settings.guidance(),
            temperature: settings.temperature(),
            top_k: settings.top_k(),
            top_p: settings.top_p(),
            scale: 1,
            from_step: None,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// A sentence for people.
    pub(super) fn description(&self) -> String {
        let Self { class, model, seed, index, .. } = self;
        let what = match self.count {
            1 => format!("{class}, image {index}"),
            count => format!("{class}, {count} images from {index} on,"),
        };
        format!("{what} of seed {seed}, drawn by the model {model} (RDPM, arXiv 2412.18390)")
    }

    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        [self.model.as_str(), &self.class, &self.version].into_iter()
    }

    /// For programs.
    pub(super) fn to_json(&self) -> String {
        // Strings and numbers always are JSON; a number that is none becomes null.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The command that makes the picture again, for a POSIX shell. `None` where it was drawn from another image, which a
    /// picture doesn't have inside.
    pub fn command(&self, output: &str) -> Option<String> {
        if self.from_step.is_some() {
            return None;
        }
        let mut words: Vec<Cow<'_, str>> = vec!["rdpm".into(), "generate".into()];
        let mut flag = |name: &'static str, value: Cow<'static, str>| words.extend([name.into(), value]);
        flag("--model", self.model.clone().into());
        flag("--class", self.class.clone().into());
        flag("--seed", self.seed.to_string().into());
        if self.index > 0 {
            flag("--first", self.index.to_string().into());
        }
        if self.count > 1 {
            flag("--count", self.count.to_string().into());
        }
        flag("--guidance", self.guidance.to_string().into());
        flag("--temperature", self.temperature.to_string().into());
        if let Some(top_k) = self.top_k {
            flag("--top-k", top_k.to_string().into());
        }
        if let Some(top_p) = self.top_p {
            flag("--top-p", top_p.to_string().into());
        }
        if self.scale > 1 {
            flag("--scale", self.scale.to_string().into());
        }
        flag("--output", output.to_owned().into());
        // A word with a NUL can't be given to any program; it is left out of what is shown.
        let quoted = words.iter().filter_map(|word| shlex::try_quote(word).ok());
        Some(quoted.collect::<Vec<_>>().join(" "))
    }
}
