//! The tokenizer's networks: a small VAE that shrinks an image by four. Mirrors `training/rdpm_training/tokenizer.py`.
//!
//! Pixel-unshuffle brings the image to half resolution before the first convolution: none runs at full resolution.

use candle_core::{Result, Tensor};
use candle_nn::ops::{pixel_shuffle, pixel_unshuffle};
use candle_nn::{Conv2d, Conv2dConfig, GroupNorm, Module, VarBuilder, conv2d, group_norm};

use super::config::Config;

const GROUPS: usize = 8;
const NORM_EPS: f64 = 1e-5;

/// A 3 × 3 convolution that keeps the size.
fn conv3(inputs: usize, outputs: usize, vb: VarBuilder) -> Result<Conv2d> {
    conv2d(inputs, outputs, 3, Conv2dConfig { padding: 1, ..Default::default() }, vb)
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

/// Images in −1..1 to standardized latents.
pub struct Encoder {
    stem: Conv2d,
    half_blocks: Vec<ResidualBlock>,
    down: Conv2d,
    quarter_blocks: Vec<ResidualBlock>,
    norm: GroupNorm,
    out: Conv2d,
    statistics: Statistics,
    channels: usize,
}

impl Encoder {
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        let ([half, quarter], blocks) = (config.tokenizer.widths, config.tokenizer.blocks);
        let channels = config.latent.channels;
        let statistics = Statistics::new(channels, &vb)?;
        let vb = vb.pp("encoder");
        let stride2 = Conv2dConfig { padding: 1, stride: 2, ..Default::default() };
        Ok(Self {
            stem: conv3(4 * config.image.channels, half, vb.pp("stem"))?,
            half_blocks: ResidualBlock::stack(blocks[0], half, vb.pp("half_blocks"))?,
            down: conv2d(half, quarter, 3, stride2, vb.pp("down"))?,
            quarter_blocks: ResidualBlock::stack(blocks[1], quarter, vb.pp("quarter_blocks"))?,
            norm: group_norm(GROUPS, quarter, NORM_EPS, vb.pp("norm"))?,
            out: conv2d(quarter, 2 * channels, 1, Conv2dConfig::default(), vb.pp("out"))?,
            statistics,
            channels,
        })
    }

    /// (b, channels, size, size) to v (b, n, c): the posterior's mean, standardized.
    pub fn forward(&self, image: &Tensor) -> Result<Tensor> {
        let mut x = self.stem.forward(&pixel_unshuffle(image, 2)?)?; // (b, half, size/2, size/2)
        for block in &self.half_blocks {
            x = block.forward(&x)?;
        }
        x = self.down.forward(&x)?; // (b, quarter, h, w)
        for block in &self.quarter_blocks {
            x = block.forward(&x)?;
        }
        let moments = self.out.forward(&self.norm.forward(&x)?.silu()?)?; // (b, 2c, h, w)
        let mean = moments.narrow(1, 0, self.channels)?.flatten_from(2)?.transpose(1, 2)?; // (b, n, c)
        mean.broadcast_sub(&self.statistics.mean)?.broadcast_div(&self.statistics.std)
    }
}

/// Standardized latents to images.
pub struct Decoder {
    stem: Conv2d,
    quarter_blocks: Vec<ResidualBlock>,
    up: Conv2d,
    half_blocks: Vec<ResidualBlock>,
    norm: GroupNorm,
    out: Conv2d,
    statistics: Statistics,
    grid: usize,
}

impl Decoder {
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        let ([half, quarter], blocks) = (config.tokenizer.widths, config.tokenizer.blocks);
        let channels = config.latent.channels;
        let statistics = Statistics::new(channels, &vb)?;
        let vb = vb.pp("decoder");
        Ok(Self {
            stem: conv3(channels, quarter, vb.pp("stem"))?,
            quarter_blocks: ResidualBlock::stack(blocks[1], quarter, vb.pp("quarter_blocks"))?,
            up: conv3(quarter, 4 * half, vb.pp("up"))?,
            half_blocks: ResidualBlock::stack(blocks[0], half, vb.pp("half_blocks"))?,
            norm: group_norm(GROUPS, half, NORM_EPS, vb.pp("norm"))?,
            out: conv3(half, 4 * config.image.channels, vb.pp("out"))?,
            statistics,
            grid: config.latent.grid,
        })
    }

    /// v (b, n, c) to (b, channels, size, size), about −1..1 (not clamped).
    pub fn forward(&self, v: &Tensor) -> Result<Tensor> {
        let (b, _, c) = v.dims3()?;
        let latent = v.broadcast_mul(&self.statistics.std)?.broadcast_add(&self.statistics.mean)?;
        let latent = latent.transpose(1, 2)?.contiguous()?.reshape((b, c, self.grid, self.grid))?;
        let mut x = self.stem.forward(&latent)?; // (b, quarter, h, w)
        for block in &self.quarter_blocks {
            x = block.forward(&x)?;
        }
        x = pixel_shuffle(&self.up.forward(&x)?, 2)?; // (b, half, 2h, 2w)
        for block in &self.half_blocks {
            x = block.forward(&x)?;
        }
        pixel_shuffle(&self.out.forward(&self.norm.forward(&x)?.silu()?)?, 2) // (b, channels, 4h, 4w)
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
