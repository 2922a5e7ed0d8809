//! Normalizations, each fused with the operation that follows it.

use std::mem::MaybeUninit;

use candle_core::Result;
use candle_nn::VarBuilder;
use rayon::prelude::*;
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{Normalize, NormalizeOptions, Silu, Sum, SumSquareSub};

use crate::model::weights::load_values;

/// Layer norm without weights of its own, then a scale and a shift for each channel. Appends the result of x (m, d) to y.
pub(super) fn layer_norm(x: &[f32], y: &mut Vec<f32>, scale: &[f32], shift: &[f32], eps: f32) {
    debug_assert!(x.len().is_multiple_of(scale.len()));
    let len = y.len();
    y.reserve(x.len());
    let rows = x.chunks_exact(scale.len());
    let out: &mut [MaybeUninit<f32>] = &mut y.spare_capacity_mut()[..x.len()];
    for (x, y) in rows.zip(out.chunks_exact_mut(scale.len())) {
        let mean = Sum::new(x).dispatch() / x.len() as f32;
        let variance = SumSquareSub::new(x, mean).dispatch() / x.len() as f32;
        let options = NormalizeOptions {
            pre_scale_bias: mean,
            scale: (variance + eps).sqrt().recip(),
            element_scale: Some(scale),
            element_bias: Some(shift),
            ..Default::default()
        };
        Normalize::new(x, y, options).dispatch();
    }
    let written = x.len() / scale.len() * scale.len();
    // SAFETY: the loop has initialized this many numbers after the old end.
    unsafe { y.set_len(len + written) };
}

/// Group norm, then SiLU, of images with channels last.
pub(super) struct GroupNormSilu {
    scale: Vec<f32>,
    shift: Vec<f32>,
    groups: usize,
    eps: f64,
}

impl GroupNormSilu {
    pub fn new(groups: usize, channels: usize, eps: f64, vb: &VarBuilder) -> Result<Self> {
        let (scale, shift) = (load_values(vb, channels, "weight")?, load_values(vb, channels, "bias")?);
        Ok(Self { scale, shift, groups, eps })
    }

    /// x (positions, channels) to y of the same shape. Up to this many threads share the image.
    pub fn forward(&self, x: &[f32], y: &mut [f32], threads: usize) {
        let channels = self.scale.len();
        let (scale, shift) = self.affine(x);
        let normalize = |x: &[f32], y: &mut [f32]| {
            for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
                for (((x, y), scale), shift) in x.iter().zip(y).zip(&scale).zip(&shift) {
                    *y = x * scale + shift;
                }
            }
            Silu {}.map_mut(y);
        };
        let part = (x.len() / channels).div_ceil(threads.max(1)) * channels;
        x.par_chunks(part).zip(y.par_chunks_mut(part)).for_each(|(x, y)| normalize(x, y));
    }

    /// The scale and shift of each channel that normalize x (positions, channels).
    fn affine(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = self.scale.len();
        let group_size = channels / self.groups;
        let count = (x.len() / self.groups) as f64;
        let mean = self.group_means(&channel_sums(x, channels, |x, _| x, &[]), count);
        let means: Vec<f32> =
            mean.iter().flat_map(|&mean| std::iter::repeat_n(mean as f32, group_size)).collect();
        let variance =
            self.group_means(&channel_sums(x, channels, |x, mean| (x - mean) * (x - mean), &means), count);
        let inverse = |channel: usize| (variance[channel / group_size] + self.eps).sqrt().recip() as f32;
        let scale: Vec<f32> = (0..channels).map(|channel| self.scale[channel] * inverse(channel)).collect();
        let shift =
            (0..channels).map(|channel| self.shift[channel] - means[channel] * scale[channel]).collect();
        (scale, shift)
    }

    /// The mean of each group from the sums of its channels; `count` is the numbers in a group.
    fn group_means(&self, channels: &[f32], count: f64) -> Vec<f64> {
        let group_size = channels.len() / self.groups;
        channels
            .chunks_exact(group_size)
            .map(|group| group.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count)
            .collect()
    }
}

/// For each channel the sum of `term(x, mean)` over all positions. If `means` is empty, they are zero.
fn channel_sums(x: &[f32], channels: usize, term: impl Fn(f32, f32) -> f32, means: &[f32]) -> Vec<f32> {
    let zeros = vec![0.0; channels];
    let means = if means.is_empty() { &zeros } else { means };
    let mut sums = vec![0.0; channels];
    for x in x.chunks_exact(channels) {
        for ((sum, x), mean) in sums.iter_mut().zip(x).zip(means) {
            *sum += term(*x, *mean);
        }
    }
    sums
}
