//! Normalizations, each in one pass with what follows it.

use std::mem::MaybeUninit;

use candle_core::Result;
use candle_nn::VarBuilder;
use rten_simd::{SimdOp, SimdUnaryOp};
use rten_vecmath::{Normalize, NormalizeOptions, Silu, Sum, SumSquareSub};

use super::weight;

/// Layer norm without own parameters, then a scale and a shift for each channel: rows of x (m, d) to rows at the end of
/// y.
pub(super) fn layer_norm(x: &[f32], y: &mut Vec<f32>, scale: &[f32], shift: &[f32], eps: f32) {
    debug_assert!(x.len().is_multiple_of(scale.len()));
    let len = y.len();
    y.reserve(x.len());
    let rows = x.chunks_exact(scale.len());
    let room: &mut [MaybeUninit<f32>] = &mut y.spare_capacity_mut()[..x.len()];
    for (x, y) in rows.zip(room.chunks_exact_mut(scale.len())) {
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
    let whole = x.len() / scale.len() * scale.len();
    // SAFETY: so many numbers have been written behind the old end.
    unsafe { y.set_len(len + whole) };
}

/// Group norm and SiLU of pictures with channels last.
pub(super) struct GroupNormSilu {
    scale: Vec<f32>,
    shift: Vec<f32>,
    groups: usize,
    eps: f64,
}

impl GroupNormSilu {
    pub fn new(groups: usize, channels: usize, eps: f64, vb: &VarBuilder) -> Result<Self> {
        let (scale, shift) = (weight(vb, channels, "weight")?, weight(vb, channels, "bias")?);
        Ok(Self { scale, shift, groups, eps })
    }

    /// x (positions, channels) to y of the same shape.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) {
        let channels = self.scale.len();
        let (scale, shift) = self.affine(x);
        for (x, y) in x.chunks_exact(channels).zip(y.chunks_exact_mut(channels)) {
            for (((x, y), scale), shift) in x.iter().zip(y).zip(&scale).zip(&shift) {
                *y = x * scale + shift;
            }
        }
        Silu {}.map_mut(y);
    }

    /// What this x's normalization comes to for each channel: a scale and a shift.
    fn affine(&self, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let channels = self.scale.len();
        let each = channels / self.groups;
        let count = (x.len() / self.groups) as f64;
        let mean = self.by_group(&sums(x, channels, |x, _| x, &[]), count);
        let means: Vec<f32> = mean.iter().flat_map(|&mean| std::iter::repeat_n(mean as f32, each)).collect();
        let variance = self.by_group(&sums(x, channels, |x, mean| (x - mean) * (x - mean), &means), count);
        let inverse = |channel: usize| (variance[channel / each] + self.eps).sqrt().recip() as f32;
        let scale: Vec<f32> = (0..channels).map(|channel| self.scale[channel] * inverse(channel)).collect();
        let shift =
            (0..channels).map(|channel| self.shift[channel] - means[channel] * scale[channel]).collect();
        (scale, shift)
    }

    /// Sums of channels to means of groups.
    fn by_group(&self, channels: &[f32], count: f64) -> Vec<f64> {
        let each = channels.len() / self.groups;
        channels
            .chunks_exact(each)
            .map(|group| group.iter().map(|&sum| f64::from(sum)).sum::<f64>() / count)
            .collect()
    }
}

/// For each channel the sum of `term(x, mean)` over all positions; zero means where there are none.
fn sums(x: &[f32], channels: usize, term: impl Fn(f32, f32) -> f32, means: &[f32]) -> Vec<f32> {
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
