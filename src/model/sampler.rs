//! Sampling: from standard Gaussian noise to an image in T steps.
//!
//! ```text
//! z_0 = eps
//! for t in 1..=T:
//!     logits = u + w (l − u)                 l: with the class, u: without (classifier-free guidance)
//!     C_t ~ softmax(logits / temperature)    sampled by Gumbel-max, after top-k and top-p
//!     z_t = z_{t−1} + e[C_t]
//! ```
//!
//! The sampler knows eps, so it can show a clean preview at any step: decode((z_t − beta_t eps) / alpha_t).

use image::DynamicImage;

use super::error::ModelError;
use super::rdpm::{Model, Preview};
use super::sampler_state::SamplerState;
use super::sampling_settings::SamplingSettings;
use super::step::Step;

/// Samples images together from the first step to the last: an iterator that yields one [`Step`] per image at a time.
///
/// Drop it to cancel. Previews cost a pass through the decoder, so they are made on request.
pub struct Sampler<'m> {
    model: &'m Model,
    states: Vec<SamplerState>,
}

impl<'m> Sampler<'m> {
    /// Starts those images of a request whose indices are in the range.
    pub fn new(
        model: &'m Model,
        settings: &SamplingSettings,
        seed: u64,
        indices: std::ops::Range<u32>,
    ) -> Self {
        Self { model, states: indices.map(|index| model.start(settings, seed, index)).collect() }
    }

    /// Decodes both previews of every image. At least one step must have been done.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self) -> Result<Vec<Preview>, ModelError> {
        self.model.previews(&self.states.iter().collect::<Vec<_>>())
    }

    /// C_1 … C_t of every image.
    pub fn tokens(&self) -> Vec<Vec<Vec<u32>>> {
        self.states.iter().filter_map(SamplerState::tokens).collect()
    }

    /// Decodes the running latent of every image. After the last step these are the images.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self) -> Result<Vec<DynamicImage>, ModelError> {
        self.model.images(&self.states.iter().collect::<Vec<_>>())
    }
}

impl Iterator for Sampler<'_> {
    type Item = Result<Vec<Step>, ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.states.first().is_none_or(SamplerState::is_finished) {
            return None;
        }
        Some(self.model.step(&mut self.states.iter_mut().collect::<Vec<_>>()))
    }
}
