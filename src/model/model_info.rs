//! What can be said about a model from its files, before any network is built.

use std::path::Path;

use candle_core::Device;

use super::computation::Computation;
use super::config::Config;
use super::error::ModelError;
use super::palette;
use super::trajectory::Codebook;
use super::version::version;
use super::weights::{WEIGHTS_FILE, Weights, load_values};

/// A model's description, readable without loading its networks.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub config: Config,
    /// CSS colours `#rrggbb` of the V codes; codes with near vectors have near colours.
    pub palette: Vec<String>,
    /// Number of weights in `model.safetensors`.
    pub weight_count: usize,
    /// Hash of everything that determines the model's pictures beside a request: the configuration, the vocabulary, the
    /// weights, and the program's way to compute.
    pub version: String,
    /// How the model is to be loaded.
    pub computation: Computation,
}

impl ModelInfo {
    /// Reads a weights folder, for f32 and two passes.
    ///
    /// Only the codebook's shape is checked. Other tensors may still not fit when [`Model::load`](super::Model::load)
    /// builds the networks.
    ///
    /// # Errors
    /// As in [`Model::load`](super::Model::load).
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        Self::read_with(folder, Computation::default())
    }

    /// Reads a weights folder, for a model that computes in this way.
    ///
    /// # Errors
    /// As in [`Model::load`](super::Model::load).
    pub fn read_with(folder: &Path, computation: impl Into<Computation>) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let weights = Weights::open(folder, WEIGHTS_FILE, &Device::Cpu)?;
        let (codes, channels) = (config.trajectory.codes, config.latent.channels);
        let vectors = load_values(&weights.var_builder(), (codes, channels), "codebook");
        let vectors = vectors.map_err(|error| weights.error(error))?;
        let colors = palette::colors(&Codebook::new(vectors, channels));
        let palette = colors.into_iter().map(palette::hex).collect();
        let computation = computation.into();
        let version = version(folder, computation)?;
        Ok(Self { config, palette, weight_count: weights.weight_count(), version, computation })
    }
}
