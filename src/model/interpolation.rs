//! Images between two others.

use std::sync::Arc;

use super::error::ModelError;
use super::given::Given;
use super::random::ImageSeed;
use super::rdpm::Model;
use super::sampler_state::SamplerState;
use super::sampling_settings::SamplingSettings;
use super::trajectory;

/// An image at an end of an interpolation.
#[derive(Debug, Clone, PartialEq)]
pub struct InterpolationEnd {
    /// How the codes near this end are drawn.
    pub settings: SamplingSettings,
    /// Its noise.
    pub noise: ImageSeed,
    /// Its codes C_1 … C_k, n each, as far as they are known: all T, or at least as many as the interpolation needs.
    pub grids: Vec<Vec<u32>>,
}

/// What is interpolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The running latent after k steps, spherically; 0 is the noise. The codes of the steps after it are drawn.
    Step(usize),
    /// The last latent, linearly: nothing is drawn.
    Latent,
}

impl Interpolation {
    /// The grids that each end must have, of a model with T `steps`.
    pub fn needed_grids(self, steps: usize) -> usize {
        match self {
            Self::Step(k) => k,
            Self::Latent => steps,
        }
    }
}

impl Model {
    /// Starts an image between two others, at `weight` from 0 (the first) to 1. Settings, and the generator of the codes that
    /// are drawn, are those of the nearer one.
    ///
    /// At the ends it is that image itself: where all codes of that are known, no other is drawn.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if an end has too few grids, or grids of another shape.
    pub fn start_between(
        &self,
        ends: &[InterpolationEnd; 2],
        kind: Interpolation,
        weight: f64,
    ) -> Result<SamplerState, ModelError> {
        let steps = self.config().steps();
        let needed = kind.needed_grids(steps);
        if let Some(end) = ends.iter().find(|end| end.grids.len() < needed) {
            return Err(ModelError::Setting {
                field: "tokens",
                value: format!("{} grids", end.grids.len()),
                allowed: format!("at least {needed} grids"),
            });
        }
        let nearer = if weight < 0.5 { &ends[0] } else { &ends[1] };
        let is_end = weight <= 0.0 || weight >= 1.0;
        match kind {
            Interpolation::Step(k) => {
                let [first, second] = ends.each_ref().map(|end| {
                    let mut state = self.start_with(&end.settings, end.noise, end.noise);
                    state.take_given(&end.grids[..k], self.codebook());
                    state
                });
                let state = SamplerState::between(first, second, weight);
                match is_end && nearer.grids.len() == steps {
                    true => Ok(state.with_given(Given::kept(self.config(), &nearer.grids, steps, None)?)),
                    false => Ok(state),
                }
            }
            Interpolation::Latent => {
                let grids = match is_end {
                    true => nearer.grids.clone(),
                    // From the noise of a seed, so that the image has tokens.
                    false => {
                        let latent = self.latent_between(ends, weight);
                        let eps = self.noise(nearer.noise);
                        trajectory::tokenize(self.codebook(), self.schedule(), &latent, &eps).0
                    }
                };
                let given = Given::kept(self.config(), &grids, steps, None)?;
                Ok(self.start_given(&nearer.settings, nearer.noise, nearer.noise, &Arc::new(given)))
            }
        }
    }

    /// The linear interpolation of the last latents of two images, n · c numbers.
    fn latent_between(&self, ends: &[InterpolationEnd; 2], weight: f64) -> Vec<f32> {
        let [first, second] = ends.each_ref().map(|end| {
            let mut z = self.noise(end.noise);
            end.grids.iter().for_each(|grid| self.codebook().advance(&mut z, grid));
            z
        });
        let mix = |(a, b): (&f32, &f32)| ((1.0 - weight) * f64::from(*a) + weight * f64::from(*b)) as f32;
        first.iter().zip(&second).map(mix).collect()
    }
}
