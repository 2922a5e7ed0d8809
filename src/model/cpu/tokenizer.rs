//! The encoder and decoder of [`crate::model::tokenizer`], optimized for a CPU. Each image is decoded by one thread, or by
//! several if there are fewer images than threads.

use candle_core::Result;
use candle_nn::VarBuilder;
use rayon::prelude::*;
use rten_gemm::GemmExecutor;

use super::buffers::{BufferPool, scratch};
use super::conv::{Conv3, ConvBuffers, OutputLayout, encoder_input, pixel_shuffle};
use super::f32_linear::F32Linear;
use super::linear::Arithmetic;
use super::norm::GroupNormSilu;
use crate::model::config::Config;
use crate::model::tokenizer::{
    GROUPS, LevelConfig, NORM_EPS, decoder_levels, encoder_levels, first_and_last,
};
use crate::model::weights::load_values;

/// x + conv(silu(norm(conv(silu(norm(x))))))
struct ResidualBlock {
    norm1: GroupNormSilu,
    conv1: Conv3,
    norm2: GroupNormSilu,
    conv2: Conv3,
}

impl ResidualBlock {
    fn new(arithmetic: Arithmetic, gemm: &GemmExecutor, width: usize, vb: &VarBuilder) -> Result<Self> {
        let norm = |name: &str| GroupNormSilu::new(GROUPS, width, NORM_EPS, &vb.pp(name));
        let conv = |name: &str| {
            Conv3::new(arithmetic, gemm, width, width, 1, OutputLayout::ChannelMajor, &vb.pp(name))
        };
        Ok(Self {
            norm1: norm("norm1")?,
            conv1: conv("conv1")?,
            norm2: norm("norm2")?,
            conv2: conv("conv2")?,
        })
    }

    fn stack(
        arithmetic: Arithmetic,
        gemm: &GemmExecutor,
        count: usize,
        width: usize,
        vb: &VarBuilder,
    ) -> Result<Vec<Self>> {
        (0..count).map(|number| Self::new(arithmetic, gemm, width, &vb.pp(number))).collect()
    }

    /// x (size, size, width), in place.
    fn forward(
        &self,
        gemm: &GemmExecutor,
        x: &mut [f32],
        size: usize,
        buffers: &mut BlockBuffers,
    ) -> Result<()> {
        let BlockBuffers { normalized, result, conv } = buffers;
        let (normalized, result) = (scratch(normalized, x.len()), scratch(result, x.len()));
        self.norm1.forward(x, normalized, conv.threads);
        self.conv1.forward(gemm, normalized, size, result, conv)?;
        self.norm2.forward(result, normalized, conv.threads);
        self.conv2.forward(gemm, normalized, size, result, conv)?;
        for (x, added) in x.iter_mut().zip(result) {
            *x += *added;
        }
        Ok(())
    }
}

/// Reusable memory for one image's activations.
#[derive(Default)]
struct Buffers {
    x: Vec<f32>,
    next: Vec<f32>,
    block: BlockBuffers,
}

/// Reusable memory of a residual block.
#[derive(Default)]
struct BlockBuffers {
    normalized: Vec<f32>,
    result: Vec<f32>,
    conv: ConvBuffers,
}

/// One resolution: its residual blocks, and the convolution to the next smaller resolution (encoder) or from it (decoder).
struct Level {
    width: usize,
    blocks: Vec<ResidualBlock>,
    resample: Option<Conv3>,
}

/// Builds all levels, largest resolution first.
fn levels(
    arithmetic: Arithmetic,
    gemm: &GemmExecutor,
    levels: &[LevelConfig],
    vb: &VarBuilder,
    resample: impl Fn(usize, usize, &str) -> Result<Conv3>,
) -> Result<Vec<Level>> {
    let build = |level: &LevelConfig| {
        Ok(Level {
            width: level.width,
            blocks: ResidualBlock::stack(arithmetic, gemm, level.blocks, level.width, &vb.pp(level.name))?,
            resample: level.next_width.map(|next| resample(level.width, next, level.suffix)).transpose()?,
        })
    };
    levels.iter().map(build).collect()
}

/// The encoder: images in −1..1 to standardized latents.
pub struct Encoder {
    gemm: GemmExecutor,
    stem: Conv3,
    levels: Vec<Level>,
    norm: GroupNormSilu,
    out: F32Linear,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Width and height of the images.
    size: usize,
    /// Side of the squares of pixels whose means the network sees.
    reduction: usize,
    image_channels: usize,
    buffers: BufferPool<Buffers>,
}

impl Encoder {
    pub fn new(config: &Config, vb: VarBuilder) -> Result<Self> {
        let gemm = GemmExecutor::new();
        let level_configs = encoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&level_configs);
        let channels = config.latent.channels;
        let (mean, std) =
            (load_values(&vb, channels, "latent_mean")?, load_values(&vb, channels, "latent_std")?);
        let vb = vb.pp("encoder");
        let out = vb.pp("out");
        // A 1 × 1 convolution is a matrix product. Only the posterior's mean, the first half of the outputs, is needed.
        let weights = load_values(&out, (2 * channels, last, 1, 1), "weight")?;
        let bias = load_values(&out, 2 * channels, "bias")?[..channels].to_vec();
        Ok(Self {
            stem: Conv3::new(
                Arithmetic::F32,
                &gemm,
                4 * config.image.channels,
                first,
                1,
                OutputLayout::ChannelMajor,
                &vb.pp("stem"),
            )?,
            levels: levels(Arithmetic::F32, &gemm, &level_configs, &vb, |width, next, suffix| {
                let vb = vb.pp(format!("down{suffix}"));
                Conv3::new(Arithmetic::F32, &gemm, width, next, 2, OutputLayout::ChannelMajor, &vb)
            })?,
            norm: GroupNormSilu::new(GROUPS, last, NORM_EPS, &vb.pp("norm"))?,
            out: F32Linear::from_values(&gemm, &weights[..channels * last], bias),
            mean,
            std,
            size: config.image.size,
            reduction: config.tokenizer.reduction(),
            image_channels: config.image.channels,
            buffers: BufferPool::new(),
            gemm,
        })
    }

    /// An image (size, size, channels) to v (n, c): the posterior's mean, standardized.
    pub fn forward(&self, image: &[f32]) -> Result<Vec<f32>> {
        self.buffers.with(|buffers| {
            buffers.block.conv.threads = rayon::current_num_threads();
            self.encode(image, buffers)
        })
    }

    fn encode(&self, image: &[f32], buffers: &mut Buffers) -> Result<Vec<f32>> {
        let gemm = &self.gemm;
        let Buffers { x, next, block: block_buffers } = buffers;
        let mut size = self.size / self.reduction / 2;
        let halved = encoder_input(image, self.size, self.image_channels, self.reduction);
        let mut len = size * size * self.levels.first().map_or(0, |level| level.width);
        self.stem.forward(gemm, &halved, size, scratch(x, len), &mut block_buffers.conv)?;
        for (number, level) in self.levels.iter().enumerate() {
            for block in &level.blocks {
                block.forward(gemm, &mut x[..len], size, block_buffers)?;
            }
            if let (Some(down), Some(next_level)) = (&level.resample, self.levels.get(number + 1)) {
                let half = size.div_ceil(2);
                let smaller = scratch(next, half * half * next_level.width);
                down.forward(gemm, &x[..len], size, smaller, &mut block_buffers.conv)?;
                (size, len) = (half, smaller.len());
                std::mem::swap(x, next);
            }
        }
        let normalized = scratch(&mut block_buffers.normalized, len);
        self.norm.forward(&x[..len], normalized, block_buffers.conv.threads);
        let mut v = vec![0.0; size * size * self.mean.len()];
        self.out.forward(gemm, normalized, &mut v)?;
        for v in v.chunks_exact_mut(self.mean.len()) {
            for ((v, mean), std) in v.iter_mut().zip(&self.mean).zip(&self.std) {
                *v = (*v - mean) / std;
            }
        }
        Ok(v)
    }
}

/// The decoder: standardized latents to images.
pub struct Decoder {
    gemm: GemmExecutor,
    stem: Conv3,
    levels: Vec<Level>,
    norm: GroupNormSilu,
    out: Conv3,
    mean: Vec<f32>,
    std: Vec<f32>,
    grid: usize,
    image: usize,
    buffers: BufferPool<Buffers>,
}

impl Decoder {
    pub fn new(config: &Config, arithmetic: Arithmetic, vb: VarBuilder) -> Result<Self> {
        let gemm = GemmExecutor::new();
        let level_configs = decoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&level_configs);
        let channels = config.latent.channels;
        let (mean, std) =
            (load_values(&vb, channels, "latent_mean")?, load_values(&vb, channels, "latent_std")?);
        let vb = vb.pp("decoder");
        let conv = |inputs, outputs, layout, name: &str| {
            Conv3::new(arithmetic, &gemm, inputs, outputs, 1, layout, &vb.pp(name))
        };
        Ok(Self {
            stem: conv(channels, last, OutputLayout::ChannelMajor, "stem")?,
            levels: levels(arithmetic, &gemm, &level_configs, &vb, |width, next, suffix| {
                conv(next, 4 * width, OutputLayout::PixelMajor, &format!("up{suffix}"))
            })?,
            norm: GroupNormSilu::new(GROUPS, first, NORM_EPS, &vb.pp("norm"))?,
            out: conv(first, 4 * config.image.channels, OutputLayout::PixelMajor, "out")?,
            mean,
            std,
            grid: config.latent.grid,
            image: config.image.size * config.image.size * config.image.channels,
            buffers: BufferPool::new(),
            gemm,
        })
    }

    /// v of b images (b, n, c) to images (b, size, size, channels), about −1..1 (not clamped).
    pub fn forward(&self, v: &[f32]) -> Result<Vec<f32>> {
        let latent = self.grid * self.grid * self.mean.len();
        let count = v.len() / latent;
        let threads = rayon::current_num_threads() / count.max(1);
        let mut images = vec![0.0; count * self.image];
        let decode = |(image, v): (&mut [f32], &[f32])| {
            self.buffers.with(|buffers| {
                buffers.block.conv.threads = threads;
                self.decode(v, image, buffers)
            })
        };
        images.par_chunks_mut(self.image).zip(v.par_chunks(latent)).try_for_each(decode)?;
        Ok(images)
    }

    fn decode(&self, v: &[f32], image: &mut [f32], buffers: &mut Buffers) -> Result<()> {
        let gemm = &self.gemm;
        let Buffers { x, next, block: block_buffers } = buffers;
        let mut size = self.grid;
        let scale =
            |(at, v): (usize, &f32)| v * self.std[at % self.std.len()] + self.mean[at % self.mean.len()];
        let latent: Vec<f32> = v.iter().enumerate().map(scale).collect();
        let mut len = size * size * self.levels.last().map_or(0, |level| level.width);
        self.stem.forward(gemm, &latent, size, scratch(x, len), &mut block_buffers.conv)?;
        for level in self.levels.iter().rev() {
            if let Some(up) = &level.resample {
                let upsampled = scratch(&mut block_buffers.result, size * size * 4 * level.width);
                up.forward(gemm, &x[..len], size, upsampled, &mut block_buffers.conv)?;
                pixel_shuffle(upsampled, size, scratch(next, upsampled.len()));
                (size, len) = (2 * size, upsampled.len());
                std::mem::swap(x, next);
            }
            for block in &level.blocks {
                block.forward(gemm, &mut x[..len], size, block_buffers)?;
            }
        }
        let normalized = scratch(&mut block_buffers.normalized, len);
        self.norm.forward(&x[..len], normalized, block_buffers.conv.threads);
        let upsampled = scratch(&mut block_buffers.result, image.len());
        self.out.forward(gemm, normalized, size, upsampled, &mut block_buffers.conv)?;
        pixel_shuffle(upsampled, size, image);
        Ok(())
    }
}
