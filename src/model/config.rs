//! `config.json`: all that rebuilds a model, beside its tensors.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::ModelError;

/// The format this version reads and `training/` writes.
pub const FORMAT_VERSION: u32 = 1;
/// The file's name in a weights folder.
pub const CONFIG_FILE: &str = "config.json";

/// A model, described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub format_version: u32,
    /// Short name, also the folder's and the API's (`fashion-mnist`).
    pub name: String,
    /// Name for people (`Fashion-MNIST`).
    pub title: String,
    pub image: Image,
    pub latent: Latent,
    pub trajectory: Trajectory,
    pub tokenizer: Tokenizer,
    pub denoiser: Denoiser,
    /// Class names; a class's index is its place here.
    pub classes: Vec<String>,
    /// Settings used where a request is silent.
    pub sampling: Sampling,
}

/// The pictures the model makes: `size` × `size` pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    pub size: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
}

/// The latent: a `grid` × `grid` square of positions with `channels` numbers each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Latent {
    pub grid: usize,
    pub channels: usize,
}

/// The discrete diffusion: its codebook's size V and its schedule `s_0 … s_T` (T + 1 numbers).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trajectory {
    pub codes: usize,
    pub schedule: Vec<f64>,
}

/// Sizes of the convolutional VAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tokenizer {
    /// Channels at half, quarter, … resolution: one to four levels.
    pub widths: Vec<usize>,
    /// Residual blocks at each level.
    pub blocks: Vec<usize>,
}

impl Tokenizer {
    /// By how much an image shrinks: by two for each level.
    pub fn shrink(&self) -> usize {
        1 << self.widths.len()
    }
}

/// Sizes of the transformer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoiser {
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
}

/// Default sampling settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    pub guidance: f64,
    pub temperature: f64,
}

impl Config {
    /// Reads and checks `FOLDER/config.json`.
    ///
    /// # Errors
    /// [`ModelError::Read`] where the file can't be read, [`ModelError::Config`] with the key at fault otherwise.
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let path = folder.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| ModelError::Read { path: path.clone(), source })?;
        let config: Self = serde_json::from_str(&text)
            .map_err(|error| ModelError::Config { path: path.clone(), reason: error.to_string() })?;
        config.check().map_err(|reason| ModelError::Config { path, reason })?;
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

    /// Index of a class by its name, whatever the case.
    pub fn class_index(&self, name: &str) -> Option<usize> {
        let name = name.trim();
        self.classes.iter().position(|class| class.eq_ignore_ascii_case(name))
    }

    fn check(&self) -> Result<(), String> {
        let Self { name, image, latent, trajectory, tokenizer, denoiser, classes, sampling, .. } = self;
        let ensure = |holds: bool, reason: String| if holds { Ok(()) } else { Err(reason) };
        ensure(
            self.format_version == FORMAT_VERSION,
            format!("format_version is {}; this program reads {FORMAT_VERSION}", self.format_version),
        )?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        ensure(
            !name.is_empty() && name.chars().all(is_plain),
            format!(
                "name is {name:?}; allowed are letters, digits, -, _ and . (it becomes part of addresses)"
            ),
        )?;
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
        let shrink = tokenizer.shrink();
        ensure(
            (1..=256).contains(&latent.grid) && image.size == shrink * latent.grid,
            format!(
                "image.size is {} and latent.grid {}; size must be {shrink} × grid",
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
        let rises = schedule.windows(2).all(|pair| pair[0] < pair[1]);
        ensure(
            schedule.len() >= 2 && schedule.first() == Some(&0.0) && schedule.last() == Some(&1.0) && rises,
            "trajectory.schedule must rise from 0 to 1".into(),
        )?;
        ensure(
            tokenizer.widths.iter().all(|width| (8..=4096).contains(width) && width.is_multiple_of(8)),
            format!("tokenizer.widths are {:?}; each must be a multiple of 8 up to 4096", tokenizer.widths),
        )?;
        ensure(
            tokenizer.blocks.iter().all(|&blocks| blocks <= 64),
            format!("tokenizer.blocks are {:?}; at most 64 each", tokenizer.blocks),
        )?;
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
            (0.0..=20.0).contains(&sampling.guidance) && (0.0..=5.0).contains(&sampling.temperature),
            "sampling.guidance must be in 0..=20 and sampling.temperature in 0..=5".into(),
        )
    }
}
