//! What a model's files say of it before any network is built.

use std::path::Path;

use candle_core::Device;

use super::trajectory::Codebook;
use super::weights::Weights;
use super::{Config, ModelError, palette};

/// What is being served, for people and programs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub config: Config,
    /// CSS colours `#rrggbb` of the V codes: near codes, near colours.
    pub palette: Vec<String>,
    /// Number of learned numbers.
    pub weight_count: usize,
}

impl ModelInfo {
    /// Reads a weights folder. What it accepts may still turn out bad when the networks are built: of the tensors only
    /// the codebook's shape is checked.
    ///
    /// # Errors
    /// As in [`Model::load`](super::Model::load).
    pub fn read(folder: &Path) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let weights = Weights::open(folder, &Device::Cpu)?;
        let (codes, channels) = (config.trajectory.codes, config.latent.channels);
        let vectors = weights.var_builder().get((codes, channels), "codebook");
        let vectors = vectors.and_then(|vectors| vectors.flatten_all()?.to_vec1());
        let vectors = vectors.map_err(|error| weights.fault(error))?;
        let colors = palette::colors(&Codebook::new(vectors, channels));
        let palette = colors.into_iter().map(palette::hex).collect();
        Ok(Self { config, palette, weight_count: weights.weight_count() })
    }
}
