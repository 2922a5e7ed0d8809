//! Classifier-free guidance (Ho & Salimans, arXiv 2207.12598): the passes that images need, and what becomes of them.
//!
//! Guided logits are u + w (l − u): l with the class, u without. Where w is 1 or 0 only one of them is computed.

use candle_core::{Result, Tensor};

use super::SamplingSettings;

/// The denoiser's passes for a batch of images.
pub(super) struct Passes {
    /// z_{t−1} of each pass, n · c numbers.
    pub z: Vec<f32>,
    /// The step t in 1..=T of each pass.
    pub t: Vec<usize>,
    /// The class of each pass.
    pub y: Vec<u32>,
    /// w of each image and its number of passes, one or two: its class's comes first.
    images: Vec<(f32, usize)>,
}

impl Passes {
    /// For images with these running latents z_{t−1}, steps t and settings. `null` is the class that stands for none.
    pub fn new(images: &[(&[f32], usize, &SamplingSettings)], null: u32) -> Self {
        let mut all = Self { z: Vec::new(), t: Vec::new(), y: Vec::new(), images: Vec::new() };
        for &(latent, step, settings) in images {
            let class = settings.class() as u32;
            let labels: &[u32] = match settings.guidance() {
                0.0 => &[null],
                1.0 => &[class],
                _ => &[class, null],
            };
            for &label in labels {
                all.z.extend_from_slice(latent);
                all.t.push(step);
                all.y.push(label);
            }
            all.images.push((settings.guidance() as f32, labels.len()));
        }
        all
    }

    /// Number of passes.
    pub fn count(&self) -> usize {
        self.t.len()
    }

    /// The logits of all passes, to be guided image by image.
    pub fn by_image<'a>(&self, mut logits: &'a mut [f32]) -> Vec<Unguided<'a>> {
        let len = logits.len() / self.count().max(1);
        let take = |&(guidance, passes): &(f32, usize)| {
            let (own, rest) = std::mem::take(&mut logits).split_at_mut(passes * len);
            logits = rest;
            let (with_class, without) = own.split_at_mut(len);
            Unguided { with_class, without, guidance }
        };
        self.images.iter().map(take).collect()
    }

    /// The same where the logits are a tensor on a device: (passes, n, V) to (b, n, V).
    pub fn guide(&self, logits: &Tensor) -> Result<Tensor> {
        let (mut with_class, mut without, mut next) = (Vec::new(), Vec::new(), 0);
        for &(_, passes) in &self.images {
            with_class.push(next);
            next += passes as u32;
            without.push(next - 1);
        }
        if with_class == without {
            return Ok(logits.clone());
        }
        let (b, device) = (self.images.len(), logits.device());
        let select = |rows: Vec<u32>| logits.index_select(&Tensor::from_vec(rows, b, device)?, 0);
        let (l, u) = (select(with_class)?, select(without)?);
        let w: Vec<f32> = self.images.iter().map(|(guidance, _)| *guidance).collect();
        let w = Tensor::from_vec(w, (b, 1, 1), device)?;
        &u + (l - &u)?.broadcast_mul(&w)?
    }
}

/// One image's logits, n · V numbers of each pass.
pub(super) struct Unguided<'a> {
    with_class: &'a mut [f32],
    /// Empty where there is but one pass.
    without: &'a [f32],
    guidance: f32,
}

impl<'a> Unguided<'a> {
    /// Guided logits, in the place of the first pass's.
    pub fn guide(self) -> &'a mut [f32] {
        for (l, u) in self.with_class.iter_mut().zip(self.without) {
            *l = u + self.guidance * (*l - u);
        }
        self.with_class
    }
}
