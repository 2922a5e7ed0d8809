//! The provenance of a picture: everything that determines its pixels.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::token_file::TokenFile;
use crate::model::{Computation, Config, PassCount, Precision, SamplingOptions, SamplingSettings};

/// Everything that determines a picture: the same provenance gives the same pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Name of the model.
    pub model: String,
    /// Name of the class.
    pub class: String,
    /// Seed of the request.
    pub seed: u64,
    /// Index of the image in its request, from 0; for a sheet, of the first image.
    pub index: u32,
    /// Number of images on the sheet; 1 is a single picture.
    pub count: u32,
    #[serde(flatten)]
    pub options: SamplingOptions,
    /// What a single picture shows, where it follows from the class and the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Width in pixels of the square that each of the model's pixels became.
    pub scale: u32,
    /// For a variation of another image, the step k that it started from; `None` if it started from noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_step: Option<usize>,
    /// The transformer's precision; omitted if it is f32.
    #[serde(default, skip_serializing_if = "is_f32")]
    pub precision: Precision,
    /// Passes through the denoiser of a step with guidance; omitted if they are two.
    #[serde(default, skip_serializing_if = "is_two")]
    pub passes: PassCount,
    /// Its token file, binary, in base64. A picture that doesn't follow from the other parameters has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<String>,
    /// Whether it was made from other pictures or tokens, so that the other parameters don't make it again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_derived: bool,
    /// Version of the program.
    pub version: Cow<'static, str>,
}

impl Provenance {
    /// The provenance of image number `index` of a request, at scale 1.
    pub fn new(config: &Config, settings: &SamplingSettings, seed: u64, index: u32) -> Self {
        Self {
            model: config.name.clone(),
            class: config.classes.get(settings.class()).cloned().unwrap_or_default(),
            seed,
            index,
            count: 1,
            options: settings.options().clone(),
            subject: settings.subject(config, seed, index).map(str::to_owned),
            scale: 1,
            from_step: None,
            precision: Precision::F32,
            passes: PassCount::Two,
            tokens: None,
            is_derived: false,
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Sets how the model computes. Default: f32, two passes.
    pub fn with_computation(self, Computation { precision, passes }: Computation) -> Self {
        Self { precision, passes, ..self }
    }

    /// The provenance of a sheet of `count` images, of which this one is the first, at this scale.
    pub fn of_sheet(self, count: u32, scale: u32) -> Self {
        let (subject, tokens) = if count == 1 { (self.subject, self.tokens) } else { (None, None) };
        Self { count, scale, subject, tokens, ..self }
    }

    /// The provenance of a picture that was decoded from a token file: nothing else determines it.
    pub fn of_tokens(self, file: &TokenFile) -> Self {
        Self { class: String::new(), subject: None, tokens: Some(file.to_base64()), is_derived: true, ..self }
    }

    /// A sentence to read.
    pub(super) fn description(&self) -> String {
        let Self { class, model, seed, index, .. } = self;
        let class = if class.is_empty() { "Given tokens" } else { class };
        let shown = self.options.prompt.as_deref().or(self.subject.as_deref()).unwrap_or(class);
        let what = match self.count {
            1 => format!("{shown}, image {index}"),
            count => format!("{shown}, {count} images from {index} on,"),
        };
        format!("{what} of seed {seed}, drawn by the model {model} (RDPM, arXiv 2412.18390)")
    }

    /// All texts that a file may contain.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let words = [&self.options.prompt, &self.options.style, &self.subject, &self.tokens];
        [self.model.as_str(), &self.class, &self.version]
            .into_iter()
            .chain(words.into_iter().flatten().map(String::as_str))
    }

    /// As JSON.
    pub(super) fn to_json(&self) -> String {
        // Can't fail: strings and numbers are valid JSON, and NaN becomes null.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The command that generates the picture again and writes it to `output`, quoted for a POSIX shell. `None` for a
    /// picture that was made from others, as the file doesn't contain them.
    pub fn command(&self, output: &str) -> Option<String> {
        if self.from_step.is_some() || self.is_derived {
            return None;
        }
        let mut words = vec!["rdpm".to_owned(), "generate".to_owned()];
        let mut flag = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        flag("model", self.model.clone());
        flag("class", self.class.clone());
        flag("seed", self.seed.to_string());
        if self.index > 0 {
            flag("first", self.index.to_string());
        }
        if self.count > 1 {
            flag("count", self.count.to_string());
        }
        for (name, value) in self.options.to_texts() {
            flag(&name.replace('_', "-"), value);
        }
        if !is_f32(&self.precision) {
            flag("precision", self.precision.name().to_owned());
        }
        if !is_two(&self.passes) {
            flag("passes", self.passes.number().to_string());
        }
        if self.scale > 1 {
            flag("scale", self.scale.to_string());
        }
        flag("output", output.to_owned());
        // A word with a NUL can't be an argument of any program, so it is omitted.
        let quoted = words.iter().filter_map(|word| shlex::try_quote(word).ok());
        Some(quoted.collect::<Vec<_>>().join(" "))
    }
}

fn is_f32(precision: &Precision) -> bool {
    *precision == Precision::F32
}

fn is_two(passes: &PassCount) -> bool {
    *passes == PassCount::Two
}
