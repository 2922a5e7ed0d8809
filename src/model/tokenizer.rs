//! The tokenizer's networks: the encoder and decoder of a small convolutional VAE that halves the resolution at each of
//! its levels. The decoder may have further levels, which double the size of what the encoder sees. Mirrors
//! `training/rdpm_training/tokenizer.py`.
//!
//! Pixel-unshuffle halves the resolution before the first convolution, so that none runs at full resolution.

use candle_core::{Result, Tensor};
use candle_nn::ops::{pixel_shuffle, pixel_unshuffle};
use candle_nn::{Conv2d, Conv2dConfig, GroupNorm, Module, VarBuilder, conv2d, group_norm};

use super::config::{Config, TokenizerConfig};

pub(super) const GROUPS: usize = 8;
pub(super) const NORM_EPS: f64 = 1e-5;

/// Names of the levels' weights, largest resolution first: of the blocks, and the suffix of `down` and `up`. Resolutions are
/// relative to what the encoder sees.
const LEVELS: [(&str, &str); 4] = [
    ("half_blocks", ""),
    ("quarter_blocks", "_quarter"),
    ("eighth_blocks", "_eighth"),
    ("sixteenth_blocks", "_sixteenth"),
];
/// The same of the levels that only the decoder has.
const UPSAMPLE_LEVELS: [(&str, &str); 2] = [("double_blocks", "_double"), ("full_blocks", "_full")];

/// Sizes and names of one level.
#[derive(Clone, Copy)]
pub(super) struct LevelConfig {
    /// Name of the blocks' weights.
    pub name: &'static str,
    /// Suffix of the names of `down` and `up`.
    pub suffix: &'static str,
    pub width: usize,
    /// Width of the next smaller resolution; the smallest has none.
    pub next_width: Option<usize>,
    /// Number of residual blocks.
    pub blocks: usize,
}

/// The encoder's levels, largest resolution first. A valid configuration has at least one.
pub(super) fn encoder_levels(config: &TokenizerConfig) -> Vec<LevelConfig> {
    level_configs(&LEVELS, &config.widths, &config.blocks)
}

/// The decoder's levels, largest resolution first.
pub(super) fn decoder_levels(config: &TokenizerConfig) -> Vec<LevelConfig> {
    let skipped = UPSAMPLE_LEVELS.len().saturating_sub(config.upsample_widths.len());
    level_configs(
        &[&UPSAMPLE_LEVELS[skipped..], &LEVELS].concat(),
        &[&config.upsample_widths[..], &config.widths].concat(),
        &[&config.upsample_blocks[..], &config.blocks].concat(),
    )
}

fn level_configs(
    names: &[(&'static str, &'static str)],
    widths: &[usize],
    blocks: &[usize],
) -> Vec<LevelConfig> {
    let level = |(at, ((&(name, suffix), &width), &blocks))| LevelConfig {
        name,
        suffix,
        width,
        next_width: widths.get(at + 1).copied(),
        blocks,
    };
    names.iter().zip(widths).zip(blocks).enumerate().map(level).collect()
}

/// A 3 × 3 convolution that preserves the resolution.
fn conv3(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Conv2d> {
    conv2d(inputs, outputs, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb)
}

/// Widths of the largest and the smallest resolution.
pub(super) fn first_and_last(levels: &[LevelConfig]) -> (usize, usize) {
    (levels.first().map_or(0, |level| level.width), levels.last().map_or(0, |level| level.width))
}

/// x + conv(silu(norm(conv(silu(norm(x))))))
struct ResidualBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
}

impl ResidualBlock {
    fn new(width: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self {
            norm1: group_norm(GROUPS, width, NORM_EPS, vb.pp("norm1"))?,
            conv1: conv3(width, width, vb.pp("conv1"))?,
            norm2: group_norm(GROUPS, width, NORM_EPS, vb.pp("norm2"))?,
            conv2: conv3(width, width, vb.pp("conv2"))?,
        })
    }

    fn stack(count: usize, width: usize, vb: VarBuilder) -> Result<Vec<Self>> {
        (0..count).map(|i| Self::new(width, vb.pp(i))).collect()
    }
}

impl Module for ResidualBlock {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let h = self.conv1.forward(&self.norm1.forward(x)?.silu()?)?;
        x + self.conv2.forward(&self.norm2.forward(&h)?.silu()?)?
    }
}

/// One resolution: its residual blocks, and the convolution to the next smaller resolution (encoder) or from it (decoder).
/// The smallest resolution has no such convolution.
struct Level {
    blocks: Vec<ResidualBlock>,
    resample: Option<Conv2d>,
}

impl Level {
    /// Builds all levels, largest resolution first. `resample` builds the convolution between a level and the next smaller
    /// one from their widths and the suffix of its name.
    fn all(
        levels: &[LevelConfig],
        vb: &VarBuilder,
        resample: impl Fn(usize, usize, &str) -> Result<Conv2d>,
    ) -> Result<Vec<Self>> {
        let build = |level: &LevelConfig| {
            Ok(Self {
                blocks: ResidualBlock::stack(level.blocks, level.width, vb.pp(level.name))?,
                resample: level
                    .next_width
                    .map(|next| resample(level.width, next, level.suffix))
                    .transpose()?,
            })
        };
        levels.iter().map(build).collect()
    }

    fn apply_blocks(&self, mut x: Tensor) -> Result<Tensor> {
        for block in &self.blocks {
            x = block.forward(&x)?;
        }
        Ok(x)
    }
}

/// The encoder: images in −1..1 to standardized latents.
pub struct Encoder {
    stem: Conv2d,
    levels: Vec<Level>,
    norm: GroupNorm,
    out: Conv2d,
    statistics: Statistics,
    channels: usize,
    /// Side of the squares of pixels whose means the network sees.
    reduction: usize,
}

impl Encoder {
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        let levels = encoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&levels);
        let channels = config.latent.channels;
        let statistics = Statistics::new(channels, &vb)?;
        let vb = vb.pp("encoder");
        let stride2 = Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
        Ok(Self {
            stem: conv3(4 * config.image.channels, first, vb.pp("stem"))?,
            levels: Level::all(&levels, &vb, |width, next, suffix| {
                conv2d(width, next, 3, stride2, vb.pp(format!("down{suffix}")))
            })?,
            norm: group_norm(GROUPS, last, NORM_EPS, vb.pp("norm"))?,
            out: conv2d(last, 2 * channels, 1, Conv2dConfig::default(), vb.pp("out"))?,
            statistics,
            channels,
            reduction: config.tokenizer.reduction(),
        })
    }

    /// Images (b, channels, size, size) to v (b, n, c): the posterior's mean, standardized.
    pub fn forward(&self, image: &Tensor) -> Result<Tensor> {
        let reduced = if self.reduction > 1 { &image.avg_pool2d(self.reduction)? } else { image };
        let mut x = self.stem.forward(&pixel_unshuffle(reduced, 2)?)?; // (b, first, size/2, size/2)
        for level in &self.levels {
            x = level.apply_blocks(x)?;
            if let Some(down) = &level.resample {
                x = down.forward(&x)?;
            }
        } // (b, last, h, w)
        let moments = self.out.forward(&self.norm.forward(&x)?.silu()?)?; // (b, 2c, h, w)
        let mean = moments.narrow(1, 0, self.channels)?.flatten_from(2)?.transpose(1, 2)?; // (b, n, c)
        mean.broadcast_sub(&self.statistics.mean)?.broadcast_div(&self.statistics.std)
    }
}

/// The decoder: standardized latents to images.
pub struct Decoder {
    stem: Conv2d,
    levels: Vec<Level>,
    norm: GroupNorm,
    out: Conv2d,
    statistics: Statistics,
    grid: usize,
}

impl Decoder {
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        let levels = decoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&levels);
        let channels = config.latent.channels;
        let statistics = Statistics::new(channels, &vb)?;
        let vb = vb.pp("decoder");
        Ok(Self {
            stem: conv3(channels, last, vb.pp("stem"))?,
            levels: Level::all(&levels, &vb, |width, next, suffix| {
                conv3(next, 4 * width, vb.pp(format!("up{suffix}")))
            })?,
            norm: group_norm(GROUPS, first, NORM_EPS, vb.pp("norm"))?,
            out: conv3(first, 4 * config.image.channels, vb.pp("out"))?,
            statistics,
            grid: config.latent.grid,
        })
    }

    /// v (b, n, c) to images (b, channels, size, size), about −1..1 (not clamped).
    pub fn forward(&self, v: &Tensor) -> Result<Tensor> {
        let (b, _, c) = v.dims3()?;
        let latent = v.broadcast_mul(&self.statistics.std)?.broadcast_add(&self.statistics.mean)?;
        let latent = latent.transpose(1, 2)?.contiguous()?.reshape((b, c, self.grid, self.grid))?; // (b, c, h, w)
        let mut x = self.stem.forward(&latent)?; // (b, last, h, w)
        for level in self.levels.iter().rev() {
            if let Some(up) = &level.resample {
                x = pixel_shuffle(&up.forward(&x)?, 2)?;
            }
            x = level.apply_blocks(x)?;
        } // (b, first, size/2, size/2)
        pixel_shuffle(&self.out.forward(&self.norm.forward(&x)?.silu()?)?, 2) // (b, channels, size, size)
    }
}

/// The training set's mean and standard deviation of each latent channel, (c,) each.
struct Statistics {
    mean: Tensor,
    std: Tensor,
}

impl Statistics {
    fn new(channels: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self { mean: vb.get(channels, "latent_mean")?, std: vb.get(channels, "latent_std")? })
    }
}
