//! Sampling: from standard Gaussian noise to an image in T steps.

use std::path::Path;

use candle_core::Device;
use image::DynamicImage;

use super::{Config, ModelError};

/// What a person may set about one image. Make it with [`Settings::new`], which checks; then it can't be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    class: usize,
    guidance: f64,
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
}

impl Settings {
    /// The model's defaults for a class.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the class isn't below the number of classes.
    pub fn new(config: &Config, class: usize) -> Result<Self, ModelError> {
        let _ = (config, class);
        todo!()
    }
    /// Guidance scale w, 0 to 20: logits u + w (l − u). 1 is no guidance, 0 ignores the class.
    pub fn with_guidance(self, _guidance: f64) -> Result<Self, ModelError> {
        todo!()
    }
    /// Temperature, 0 (always the most probable code) to 5.
    pub fn with_temperature(self, _temperature: f64) -> Result<Self, ModelError> {
        todo!()
    }
    /// Draw from the k most probable codes only, 1 to V.
    pub fn with_top_k(self, _config: &Config, _top_k: usize) -> Result<Self, ModelError> {
        todo!()
    }
    /// Draw from the most probable codes that together hold this share, above 0 to 1.
    pub fn with_top_p(self, _top_p: f64) -> Result<Self, ModelError> {
        todo!()
    }
    pub fn class(&self) -> usize {
        self.class
    }
    pub fn guidance(&self) -> f64 {
        self.guidance
    }
    pub fn temperature(&self) -> f64 {
        self.temperature
    }
    pub fn top_k(&self) -> Option<usize> {
        self.top_k
    }
    pub fn top_p(&self) -> Option<f64> {
        self.top_p
    }
}

/// One image being drawn: its settings, generator, noise and running latent. Plain host memory; `Send`.
#[derive(Debug, Clone)]
pub struct Drawing {
    _private: (),
}

impl Drawing {
    /// Steps done so far, 0..=T.
    pub fn step(&self) -> usize {
        todo!()
    }
    /// Whether all T steps are done.
    pub fn is_finished(&self) -> bool {
        todo!()
    }
}

/// What one step did to one image. Vectors have n = h·w entries, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// 1..=T.
    pub step: usize,
    /// The codes drawn, each below V.
    pub tokens: Vec<u32>,
    /// Entropy in bits of the distribution that each code was drawn from.
    pub entropy: Vec<f32>,
    /// Probability of the code that was drawn.
    pub probability: Vec<f32>,
}

/// Two looks at a drawing in the making.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The running latent z_t, decoded.
    pub noisy: DynamicImage,
    /// The image it points at: (z_t − beta_t · eps) / alpha_t, decoded.
    pub clean: DynamicImage,
}

/// A loaded model on its device. Make and use it on one thread (CUDA streams are per thread).
pub struct Model {
    config: Config,
}

impl Model {
    /// Loads a weights folder (`config.json`, `model.safetensors`) onto a device.
    pub fn load(_folder: &Path, _device: &Device) -> Result<Self, ModelError> {
        todo!()
    }
    pub fn config(&self) -> &Config {
        &self.config
    }
    /// Number of learned numbers in the tensors.
    pub fn parameters(&self) -> usize {
        todo!()
    }
    /// CSS colours `#rrggbb` of the V codes: near codes, near colours.
    pub fn palette(&self) -> Vec<String> {
        todo!()
    }
    /// Starts image number `index` of the request with this seed. Every image owns its generator, seeded by
    /// (seed, index), so what else is in a batch changes nothing.
    pub fn start(&self, _settings: &Settings, _seed: u64, _index: u32) -> Drawing {
        todo!()
    }
    /// One step for each drawing, whatever their timesteps, classes and settings. None may be finished.
    pub fn step(&self, _drawings: &mut [&mut Drawing]) -> Result<Vec<Step>, ModelError> {
        todo!()
    }
    /// Decodes both previews of each drawing (at least one step done).
    pub fn previews(&self, _drawings: &[&Drawing]) -> Result<Vec<Preview>, ModelError> {
        todo!()
    }
    /// Decodes the running latent of each drawing: of a finished one, the image.
    pub fn images(&self, _drawings: &[&Drawing]) -> Result<Vec<DynamicImage>, ModelError> {
        todo!()
    }
}
