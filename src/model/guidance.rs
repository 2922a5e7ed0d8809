//! Classifier-free guidance (Ho & Salimans, arXiv 2207.12598): the batch of denoiser inputs that images need, and the
//! combination of the outputs.
//!
//! Guided logits are u + w (l − u): l with the condition, u without. Where w is 1 or 0 only one of them is computed: also in
//! steps outside of an image's `guidance_steps`, where w is 1. A denoiser that is told w computes guided logits at once.

use candle_core::{Result, Tensor};

use super::condition::Condition;
use super::pass_count::PassCount;
use super::sampling_settings::SamplingSettings;

/// A batch of denoiser inputs: one or two rows for each image, depending on its guidance scale.
pub(super) struct GuidanceBatch {
    /// z_{t−1} of each row, (rows, n, c).
    pub z: Vec<f32>,
    /// The timestep t in 1..=T of each row.
    pub t: Vec<usize>,
    /// The condition of each row.
    pub y: Vec<Condition>,
    /// Which denoiser is to compute it.
    pub passes: PassCount,
    images: Vec<ImageRows>,
}

/// The rows of one image; the one with its condition comes first.
struct ImageRows {
    /// Guidance scale w.
    guidance: f32,
    /// 1 or 2.
    count: usize,
}

impl GuidanceBatch {
    /// Makes the batch for images with these running latents z_{t−1} (n · c numbers), timesteps t and settings.
    pub fn new(images: &[(&[f32], usize, &SamplingSettings)], passes: PassCount, null: &Condition) -> Self {
        let mut batch = Self { z: Vec::new(), t: Vec::new(), y: Vec::new(), passes, images: Vec::new() };
        for &(z, t, settings) in images {
            let (condition, guidance) = (settings.condition(), settings.guidance_at(t));
            let first = batch.rows();
            let mut add = |y: Condition| {
                batch.z.extend_from_slice(z);
                batch.t.push(t);
                batch.y.push(y);
            };
            match (passes, guidance) {
                (PassCount::One, _) => {
                    add(Condition { guidance: Some(guidance as f32), ..condition.clone() });
                }
                (PassCount::Two, 0.0) => add(null.clone()),
                (PassCount::Two, 1.0) => add(condition.clone()),
                (PassCount::Two, _) => {
                    add(condition.clone());
                    add(null.clone());
                }
            }
            let count = batch.rows() - first;
            batch.images.push(ImageRows { guidance: guidance as f32, count });
        }
        batch
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.t.len()
    }

    /// The rows of each image.
    #[cfg(feature = "gpu")]
    pub fn images(&self) -> impl Iterator<Item = RowsOfImage> {
        let rows = |next: &mut usize, rows: &ImageRows| {
            let conditional = *next;
            *next += rows.count;
            Some(RowsOfImage { conditional, unconditional: *next - 1, guidance: rows.guidance })
        };
        self.images.iter().scan(0, rows)
    }

    /// Splits logits (rows, n, V) by image, on the host.
    pub fn split<'a>(&self, mut logits: &'a mut [f32]) -> Vec<UnguidedLogits<'a>> {
        let len = logits.len() / self.rows().max(1);
        let take = |rows: &ImageRows| {
            let (own, rest) = std::mem::take(&mut logits).split_at_mut(rows.count * len);
            logits = rest;
            let (conditional, unconditional) = own.split_at_mut(len);
            UnguidedLogits { conditional, unconditional, guidance: rows.guidance }
        };
        self.images.iter().map(take).collect()
    }

    /// Guides logits on a device: (rows, n, V) to (b, n, V).
    pub fn guide(&self, logits: &Tensor) -> Result<Tensor> {
        let (mut conditional, mut unconditional, mut next) = (Vec::new(), Vec::new(), 0);
        for rows in &self.images {
            conditional.push(next);
            next += rows.count as u32;
            unconditional.push(next - 1);
        }
        if conditional == unconditional {
            return Ok(logits.clone());
        }
        let (b, device) = (self.images.len(), logits.device());
        let select = |rows: Vec<u32>| logits.index_select(&Tensor::from_vec(rows, b, device)?, 0);
        let (l, u) = (select(conditional)?, select(unconditional)?); // (b, n, V)
        let w: Vec<f32> = self.images.iter().map(|rows| rows.guidance).collect();
        let w = Tensor::from_vec(w, (b, 1, 1), device)?;
        &u + (l - &u)?.broadcast_mul(&w)?
    }
}

/// The numbers of an image's rows: with its condition and without, or twice the only one.
#[cfg(feature = "gpu")]
pub(super) struct RowsOfImage {
    pub conditional: usize,
    pub unconditional: usize,
    /// Guidance scale w.
    pub guidance: f32,
}

/// One image's logits before guidance, (n, V) each.
pub(super) struct UnguidedLogits<'a> {
    conditional: &'a mut [f32],
    /// Empty where the image has one row only.
    unconditional: &'a [f32],
    guidance: f32,
}

impl<'a> UnguidedLogits<'a> {
    /// Guided logits (n, V), in place of the conditional ones.
    pub fn guide(self) -> &'a mut [f32] {
        for (l, u) in self.conditional.iter_mut().zip(self.unconditional) {
            *l = u + self.guidance * (*l - u);
        }
        self.conditional
    }
}
