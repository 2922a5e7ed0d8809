//! What can be said about a model from its files, before any network is built.

use std::path::Path;

use candle_core::Device;

use super::config::Config;
use super::error::ModelError;
use super::palette;
use super::precision::Precision;
use super::trajectory::Codebook;
use super::version::version;
use super::weights::{Weights, load_values};

/// A model's description, readable without loading its networks.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub config: Config,
    /// CSS colours `#rrggbb` of the V codes; codes with near vectors have near colours.
    pub palette: Vec<String>,
    /// Number of weights in `model.safetensors`.
    pub weight_count: usize,
    /// Hash of everything that determines the model's pictures beside a request: the configuration, the vocabulary, the
    /// weights, their number format and the program's way to draw.
    pub version: String,
    /// The transformer's precision, in which the model is to be loaded.
    pub precision: Precision,
}

impl ModelInfo {
    /// Reads a weights folder, for f32.
    ///
    /// Only the codebook's shape is checked. Other tensors may still not fit when [`Model::load`](super::Model::load)
    /// builds the networks.
    ///
    /// # Errors
    /// As in [`Model::load`](super::Model::load).
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        Self::read_with_precision(folder, Precision::F32)
    }

    /// Reads a weights folder, for a transformer in this precision.
    ///
    /// # Errors
    /// As in [`Model::load`](super::Model::load).
    pub fn read_with_precision(folder: &Path, precision: Precision) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let weights = Weights::open(folder, &Device::Cpu)?;
        let (codes, channels) = (config.trajectory.codes, config.latent.channels);
        let vectors = load_values(&weights.var_builder(), (codes, channels), "codebook");
        let vectors = vectors.map_err(|error| weights.error(error))?;
        let colors = palette::colors(&Codebook::new(vectors, channels));
        let palette = colors.into_iter().map(palette::hex).collect();
        let version = version(folder, precision)?;
        Ok(Self { config, palette, weight_count: weights.weight_count(), version, precision })
    }
}
