//! `config.json`: the description of a model, from which its networks are built.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::ModelError;
use super::guidance_steps::GuidanceSteps;
use super::text;
use super::vocabulary::Vocabulary;

/// The format version of a model that is told classes only.
pub const FORMAT_VERSION: u32 = 1;
/// The format version of a model that is told styles and words, too; such a folder has a `vocabulary.json`.
pub const WORDS_FORMAT_VERSION: u32 = 2;
/// The name of the captioner's file in a weights folder.
pub const CAPTIONER_FILE: &str = "captioner.safetensors";
/// The file's name in a weights folder.
pub const CONFIG_FILE: &str = "config.json";

/// A model's configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub format_version: u32,
    /// Name in the API and of the folder (`fashion-mnist`).
    pub name: String,
    /// Title to display (`Fashion-MNIST`).
    pub title: String,
    pub image: ImageConfig,
    pub latent: LatentConfig,
    pub trajectory: TrajectoryConfig,
    pub tokenizer: TokenizerConfig,
    pub denoiser: DenoiserConfig,
    /// Class names, in order of their indices.
    pub classes: Vec<String>,
    /// Names of the drawing styles, in order of their indices; empty in format 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub styles: Vec<String>,
    /// Defaults of requests.
    pub sampling: SamplingDefaults,
    /// The words that the model knows, from `vocabulary.json`; empty in format 1.
    #[serde(skip)]
    pub vocabulary: Arc<Vocabulary>,
    /// Whether the folder has a captioner, so that the model can name what an image shows.
    #[serde(skip)]
    pub captions: bool,
}

/// The images that the model generates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageConfig {
    /// Width and height in pixels.
    pub size: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
}

/// The latent: `grid` × `grid` positions of `channels` numbers each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentConfig {
    /// h = w, 1 to 256.
    pub grid: usize,
    /// c, 1 to 64.
    pub channels: usize,
}

/// The discrete diffusion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrajectoryConfig {
    /// V, the size of the codebook, 2 to 65,536.
    pub codes: usize,
    /// s_0 … s_T: T + 1 numbers that rise from 0 to 1.
    pub schedule: Vec<f64>,
}

/// Sizes of the convolutional VAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// Channels at half, quarter, … resolution: one to four levels, each a multiple of 8 up to 4,096.
    pub widths: Vec<usize>,
    /// Number of residual blocks at each level, up to 64.
    pub blocks: Vec<usize>,
    /// Channels of further levels of the decoder, largest resolution first: up to two, each a multiple of 8 up to 4,096.
    /// Each doubles the size of the images. The encoder sees them at the size that they would have without these levels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upsample_widths: Vec<usize>,
    /// Number of residual blocks at each of these levels, up to 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub upsample_blocks: Vec<usize>,
}

impl TokenizerConfig {
    /// The factor between image size and latent grid: two for each level.
    pub fn downsampling(&self) -> usize {
        self.reduction() << self.widths.len()
    }

    /// The factor between image size and the size that the encoder sees: two for each level of the decoder alone.
    pub fn reduction(&self) -> usize {
        1 << self.upsample_widths.len()
    }
}

/// Sizes of the transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenoiserConfig {
    /// d, 1 to 8,192; a multiple of `heads`.
    pub width: usize,
    /// 1 to 256.
    pub layers: usize,
    /// Attention heads, at least 1.
    pub heads: usize,
}

/// Defaults of sampling settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingDefaults {
    /// Guidance scale w, 0 to 20.
    pub guidance: f64,
    /// 0 to 5.
    pub temperature: f64,
    /// The steps that are guided; all if omitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidance_steps: Option<GuidanceSteps>,
}

impl Config {
    /// Reads and validates `FOLDER/config.json` and, in format 2, `FOLDER/vocabulary.json`.
    ///
    /// # Errors
    /// [`ModelError::Read`] if the file can't be read; [`ModelError::Config`], which names the key, if it is invalid.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let mut config: Self = serde_json::from_str(&text)
            .map_err(|error| ModelError::Config { path: path.clone(), reason: error.to_string() })?;
        config.validate().map_err(|reason| ModelError::Config { path, reason })?;
        if config.has_words() {
            config.vocabulary = Vocabulary::read(folder, &config.classes, config.styles.len())?.into();
            config.captions = folder.join(CAPTIONER_FILE).is_file();
        }
        Ok(config)
    }

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        self.trajectory.schedule.len() - 1
    }

    /// n = h · w, the number of positions of a token grid.
    pub fn positions(&self) -> usize {
        self.latent.grid * self.latent.grid
    }

    /// Index of a class by its name. ASCII case and surrounding white space are ignored.
    pub fn class_index(&self, name: &str) -> Option<usize> {
        index_of(&self.classes, name)
    }

    /// Whether the model is told styles and words besides classes.
    pub fn has_words(&self) -> bool {
        self.format_version == WORDS_FORMAT_VERSION
    }

    /// Index of a style by its name. ASCII case and surrounding white space are ignored.
    pub fn style_index(&self, name: &str) -> Option<usize> {
        index_of(&self.styles, name)
    }

    fn validate(&self) -> Result<(), String> {
        let Self { name, title, image, latent, trajectory, tokenizer, denoiser, .. } = self;
        let Self { classes, styles, sampling, .. } = self;
        let ensure = |holds: bool, reason: String| if holds { Ok(()) } else { Err(reason) };
        ensure(
            [FORMAT_VERSION, WORDS_FORMAT_VERSION].contains(&self.format_version),
            format!(
                "format_version is {}; this program reads {FORMAT_VERSION} and {WORDS_FORMAT_VERSION}",
                self.format_version
            ),
        )?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        ensure(
            name.chars().all(is_plain) && !name.trim_matches('.').is_empty(),
            format!(
                "name is {name:?}; allowed are letters, digits, -, _ and . (it becomes part of addresses), but not dots only"
            ),
        )?;
        ensure(is_printable(title), format!("title is {title:?}; it must be printable text"))?;
        ensure(
            image.channels == 1 || image.channels == 3,
            format!("image.channels is {}; allowed are 1 and 3", image.channels),
        )?;
        ensure(
            (1..=4).contains(&tokenizer.widths.len()) && tokenizer.widths.len() == tokenizer.blocks.len(),
            format!(
                "tokenizer.widths are {:?} and blocks {:?}; both must have the same one to four levels",
                tokenizer.widths, tokenizer.blocks
            ),
        )?;
        ensure(
            tokenizer.upsample_widths.len() <= 2
                && tokenizer.upsample_widths.len() == tokenizer.upsample_blocks.len(),
            format!(
                "tokenizer.upsample_widths are {:?} and upsample_blocks {:?}; both must have the same number of levels, at most two",
                tokenizer.upsample_widths, tokenizer.upsample_blocks
            ),
        )?;
        let downsampling = tokenizer.downsampling();
        ensure(
            (1..=256).contains(&latent.grid) && image.size == downsampling * latent.grid,
            format!(
                "image.size is {} and latent.grid {}; size must be {downsampling} × grid",
                image.size, latent.grid
            ),
        )?;
        ensure(
            (1..=64).contains(&latent.channels),
            format!("latent.channels is {}; allowed are 1 to 64", latent.channels),
        )?;
        ensure(
            (2..=65_536).contains(&trajectory.codes),
            format!("trajectory.codes is {}; allowed are 2 to 65536", trajectory.codes),
        )?;
        let schedule = &trajectory.schedule;
        // The sampler divides by alpha_t in f32.
        let rises = schedule.windows(2).all(|pair| (pair[0] as f32) < pair[1] as f32);
        ensure(
            schedule.len() >= 2 && schedule.first() == Some(&0.0) && schedule.last() == Some(&1.0) && rises,
            "trajectory.schedule must rise from 0 to 1 in every step, in 32-bit precision too".into(),
        )?;
        let levels = [
            ("", &tokenizer.widths, &tokenizer.blocks),
            ("upsample_", &tokenizer.upsample_widths, &tokenizer.upsample_blocks),
        ];
        for (prefix, widths, blocks) in levels {
            ensure(
                widths.iter().all(|width| (8..=4096).contains(width) && width.is_multiple_of(8)),
                format!("tokenizer.{prefix}widths are {widths:?}; each must be a multiple of 8 up to 4096"),
            )?;
            ensure(
                blocks.iter().all(|&blocks| blocks <= 64),
                format!("tokenizer.{prefix}blocks are {blocks:?}; at most 64 each"),
            )?;
        }
        ensure(
            (1..=8192).contains(&denoiser.width)
                && denoiser.heads > 0
                && denoiser.width.is_multiple_of(denoiser.heads),
            format!("denoiser.width {} is no multiple of heads {}", denoiser.width, denoiser.heads),
        )?;
        ensure(
            (1..=256).contains(&denoiser.layers),
            format!("denoiser.layers is {}; allowed are 1 to 256", denoiser.layers),
        )?;
        ensure(!classes.is_empty(), "classes is empty".into())?;
        ensure(
            styles.is_empty() != self.has_words(),
            format!("styles has {} names; format 2 has some, format 1 none", styles.len()),
        )?;
        check_names("classes", classes)?;
        check_names("styles", styles)?;
        ensure(
            (0.0..=20.0).contains(&sampling.guidance) && (0.0..=5.0).contains(&sampling.temperature),
            "sampling.guidance must be in 0..=20 and sampling.temperature in 0..=5".into(),
        )?;
        ensure(
            sampling.guidance_steps.is_none_or(|range| range.last() <= self.steps()),
            format!("sampling.guidance_steps has steps after the last, {}", self.steps()),
        )
    }
}

/// Index of a name. ASCII case and the surrounding white space of `name` are ignored.
fn index_of(names: &[String], name: &str) -> Option<usize> {
    let name = name.trim();
    names.iter().position(|other| other.eq_ignore_ascii_case(name))
}

/// Checks that names are printable and differ in more than case.
fn check_names(key: &str, names: &[String]) -> Result<(), String> {
    for (index, name) in names.iter().enumerate() {
        if !is_printable(name) {
            return Err(format!("{key}[{index}] is {name:?}; it must be printable text"));
        }
        if index_of(names, name) != Some(index) {
            return Err(format!(
                "{key}[{index}] is {name:?}, as an earlier one; names must differ in more than case"
            ));
        }
    }
    Ok(())
}

/// Whether a text can be displayed as it is: something besides white space, only printable characters.
fn is_printable(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().all(text::is_printable)
}
