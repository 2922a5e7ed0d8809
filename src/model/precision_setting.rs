//! The precision that a user asks for, and the choice of the fastest that is accurate enough.

use std::path::Path;

use serde::Serialize;

use super::device::ComputeDevice;
use super::error::ModelError;
use super::precision::Precision;
use super::rdpm::Model;
use super::sampler_state::SamplerState;
use super::sampling_settings::SamplingSettings;

/// The precision that a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PrecisionSetting {
    /// The fastest on a CPU whose logits are nearly those of f32; f32 on a GPU.
    Auto,
    #[serde(untagged)]
    Fixed(Precision),
}

impl PrecisionSetting {
    /// Parses `auto` or the name of a precision.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "auto" { Some(Self::Auto) } else { Precision::from_name(name).map(Self::Fixed) }
    }

    /// The precision for the model in a weights folder on a device. For `auto` it depends on the processor and the weights
    /// only, so that a server that starts again chooses the same.
    ///
    /// # Errors
    /// As in [`Model::load`], for `auto`.
    pub fn resolve(self, folder: &Path, device: impl Into<ComputeDevice>) -> Result<Precision, ModelError> {
        let device = &device.into();
        match self {
            Self::Fixed(precision) => Ok(precision),
            Self::Auto if !device.is_cpu() => Ok(Precision::F32),
            Self::Auto => {
                for &precision in Precision::available(device).iter().rev() {
                    if precision == Precision::F32 {
                        break;
                    }
                    let distance = distance_from_f32(folder, device, precision)?;
                    // False if it is NaN.
                    let accepted = distance <= MAX_DISTANCE;
                    let (precision_name, limit) = (precision.name(), MAX_DISTANCE);
                    tracing::info!(path = %folder.display(), precision = precision_name, distance, limit, accepted, "precision compared with f32");
                    if accepted {
                        return Ok(precision);
                    }
                }
                Ok(Precision::F32)
            }
        }
    }
}

/// The largest [`distance_from_f32`] of a precision that `auto` accepts.
const MAX_DISTANCE: f64 = 0.03;
/// Images whose steps are compared.
const COMPARED_IMAGES: u32 = 2;

/// The mean distance (total variation: half the sum of absolute differences) between the probabilities of codes in a precision
/// and in f32, over all steps and positions of some images with the model's default settings. It is the least share of codes
/// that must be drawn differently.
///
/// # Errors
/// As in [`Model::load`].
pub(super) fn distance_from_f32(
    folder: &Path,
    device: &ComputeDevice,
    precision: Precision,
) -> Result<f64, ModelError> {
    let exact = Model::load(folder, device)?;
    let other = Model::load_with(folder, device, precision)?;
    let config = exact.config();
    let start = |index: u32| {
        let class = index as usize * (config.classes.len() - 1) / COMPARED_IMAGES as usize;
        Ok::<_, ModelError>(exact.start(&SamplingSettings::new(config, class)?, 0, index))
    };
    let mut states = (0..COMPARED_IMAGES).map(start).collect::<Result<Vec<_>, _>>()?;
    let (mut sum, mut count) = (0.0, 0);
    for t in 1..=config.steps() {
        let rows: Vec<_> = states.iter().map(|state| (state.latent(), t, state.settings())).collect();
        let temperature = config.sampling.temperature.max(0.1) as f32;
        for (exact, other) in exact.logits(&rows)?.iter().zip(other.logits(&rows)?) {
            let codes = config.trajectory.codes;
            for (exact, other) in exact.chunks_exact(codes).zip(other.chunks_exact(codes)) {
                sum += total_variation(&softmax(exact, temperature), &softmax(other, temperature));
                count += 1;
            }
        }
        exact.step(&mut states.iter_mut().collect::<Vec<&mut SamplerState>>())?;
    }
    Ok(sum / f64::from(count))
}

fn softmax(logits: &[f32], temperature: f32) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f64> =
        logits.iter().map(|logit| f64::from((logit - largest) / temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / total).collect()
}

fn total_variation(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum::<f64>() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_variation_is_half_the_sum_of_differences() {
        assert_eq!(total_variation(&[1.0, 0.0], &[0.0, 1.0]), 1.0);
        assert_eq!(total_variation(&[0.5, 0.5], &[0.75, 0.25]), 0.25);
        assert_eq!(softmax(&[3.0, 3.0], 0.5), [0.5, 0.5]);
        // NaN is no small distance.
        assert!(total_variation(&softmax(&[f32::NAN, 1.0], 1.0), &[0.5, 0.5]).is_nan());
    }
}
