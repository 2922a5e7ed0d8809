//! The encoder and decoder of [`crate::model::tokenizer`], on a GPU. Images have channels last.

use std::sync::{Mutex, PoisonError};

use candle_nn::VarBuilder;

use super::adapters::Gpu;
use super::context::Result;
use super::kernels::{Convolution, Matrix, Norm, Output, Program, Recorder};
use crate::model::config::Config;
use crate::model::cpu::encoder_input;
use crate::model::tokenizer::{GROUPS, LevelConfig, decoder_levels, encoder_levels, first_and_last};
use crate::model::weights::load_values;

/// The most images of a submission.
const MAX_IMAGES: usize = 64;

/// x + conv(silu(norm(conv(silu(norm(x))))))
struct ResidualBlock {
    norm1: Norm,
    conv1: Matrix,
    norm2: Norm,
    conv2: Matrix,
}

impl ResidualBlock {
    fn new(gpu: &Gpu, width: usize, vb: &VarBuilder) -> candle_core::Result<Self> {
        let norm = |name: &str| Norm::new(&gpu.context, width, &vb.pp(name));
        let conv = |name: &str| Matrix::convolution(&gpu.context, width, width, &vb.pp(name));
        Ok(Self {
            norm1: norm("norm1")?,
            conv1: conv("conv1")?,
            norm2: norm("norm2")?,
            conv2: conv("conv2")?,
        })
    }

    /// x (side, side, width), in place.
    fn record(
        &self,
        recorder: &mut Recorder,
        buffers: &Buffers,
        x: &wgpu::Buffer,
        side: usize,
    ) -> Result<()> {
        let Buffers { normalized, result, .. } = buffers;
        let (pixels, convolution) = (side * side, Some(Convolution { side, stride: 1 }));
        recorder.group_norm(&self.norm1, [x, normalized], pixels, GROUPS)?;
        recorder.product(&self.conv1, normalized, result, pixels, convolution, Output::Set)?;
        recorder.group_norm(&self.norm2, [result, normalized], pixels, GROUPS)?;
        recorder.product(&self.conv2, normalized, x, pixels, convolution, Output::Add)
    }
}

/// One resolution: its residual blocks, and the convolution to the next smaller resolution (encoder) or from it (decoder).
struct Level {
    blocks: Vec<ResidualBlock>,
    resample: Option<Matrix>,
}

/// Builds all levels, largest resolution first.
fn levels(
    gpu: &Gpu,
    levels: &[LevelConfig],
    vb: &VarBuilder,
    resample: impl Fn(usize, usize, &str) -> candle_core::Result<Matrix>,
) -> candle_core::Result<Vec<Level>> {
    let build = |level: &LevelConfig| {
        let vb = vb.pp(level.name);
        let blocks = (0..level.blocks).map(|block| ResidualBlock::new(gpu, level.width, &vb.pp(block)));
        Ok(Level {
            blocks: blocks.collect::<candle_core::Result<_>>()?,
            resample: level.next_width.map(|next| resample(level.width, next, level.suffix)).transpose()?,
        })
    };
    levels.iter().map(build).collect()
}

/// Activations of images. Each is large enough for all resolutions.
struct Buffers {
    x: wgpu::Buffer,
    next: wgpu::Buffer,
    normalized: wgpu::Buffer,
    result: wgpu::Buffer,
}

impl Buffers {
    fn allocate(gpu: &Gpu, len: usize) -> Result<Self> {
        let buffer = |label: &str| gpu.context.buffer(label, len);
        Ok(Self {
            x: buffer("x")?,
            next: buffer("next")?,
            normalized: buffer("normalized")?,
            result: buffer("result")?,
        })
    }
}

/// Numbers of one image at the resolution that needs the most: `side` is that of the smallest one.
fn largest_activation(side: usize, levels: &[LevelConfig]) -> usize {
    let of_level = |(number, level): (usize, &LevelConfig)| (side << number).pow(2) * level.width;
    levels.iter().rev().enumerate().map(of_level).max().unwrap_or_default()
}

/// A network that was recorded for a number of images.
struct Workspace {
    capacity: usize,
    input: wgpu::Buffer,
    output: wgpu::Buffer,
    output_host: wgpu::Buffer,
    program: Program,
}

impl Workspace {
    /// Runs the network on images of `input_len` numbers each and returns `output_len` numbers for each.
    fn run(&self, gpu: &Gpu, input: &[f32], input_len: usize, output_len: usize) -> Result<Vec<f32>> {
        let images = input.len() / input_len;
        self.program.set_rows(&gpu.context, images);
        gpu.context.write(&self.input, input);
        let calls = self.program.dispatches(&gpu.kernels, images, None, None);
        let read = gpu.context.run(calls, &[(&self.output, &self.output_host, images * output_len)])?;
        Ok(read.into_iter().flatten().map(f32::from_bits).collect())
    }
}

/// Calls `run` with a workspace that has room for this many images, allocating a larger one if necessary.
fn with_workspace<T>(
    workspace: &Mutex<Option<Workspace>>,
    images: usize,
    allocate: impl FnOnce(usize) -> Result<Workspace>,
    run: impl FnOnce(&Workspace) -> Result<T>,
) -> Result<T> {
    let mut workspace = workspace.lock().unwrap_or_else(PoisonError::into_inner);
    let present = match workspace.take() {
        Some(present) if present.capacity >= images => present,
        _ => allocate(images.next_power_of_two())?,
    };
    run(workspace.insert(present))
}

/// The encoder: images in −1..1 to standardized latents.
pub struct Encoder {
    stem: Matrix,
    levels: Vec<Level>,
    norm: Norm,
    /// With the standardization of the latent.
    out: Matrix,
    /// Numbers of an image at the resolution that needs the most.
    activation_len: usize,
    /// Width and height of the images.
    size: usize,
    /// Side of the squares of pixels whose means the network sees.
    reduction: usize,
    image_channels: usize,
    grid: usize,
    /// c
    channels: usize,
    workspace: Mutex<Option<Workspace>>,
}

impl Encoder {
    pub fn new(gpu: &Gpu, config: &Config, vb: &VarBuilder) -> candle_core::Result<Self> {
        let context = &gpu.context;
        let level_configs = encoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&level_configs);
        let channels = config.latent.channels;
        let (mean, std) =
            (load_values(vb, channels, "latent_mean")?, load_values(vb, channels, "latent_std")?);
        let vb = vb.pp("encoder");
        let out = vb.pp("out");
        // A 1 × 1 convolution is a matrix product. Only the posterior's mean, the first half of the outputs, is needed.
        let weights = load_values(&out, (2 * channels, last, 1, 1), "weight")?;
        let weight = |i: usize| weights[i % channels * last + i / channels] / std[i % channels];
        let rows: Vec<f32> = (0..last * channels).map(weight).collect();
        let bias = load_values(&out, 2 * channels, "bias")?;
        let bias: Vec<f32> = (0..channels).map(|i| (bias[i] - mean[i]) / std[i]).collect();
        let convolution =
            |inputs, outputs, name: &str| Matrix::convolution(context, inputs, outputs, &vb.pp(name));
        Ok(Self {
            stem: convolution(4 * config.image.channels, first, "stem")?,
            levels: levels(gpu, &level_configs, &vb, |width, next, suffix| {
                convolution(width, next, &format!("down{suffix}"))
            })?,
            norm: Norm::new(context, last, &vb.pp("norm"))?,
            out: Matrix::upload(context, &rows, &bias).map_err(candle_core::Error::wrap)?,
            activation_len: largest_activation(config.latent.grid, &level_configs),
            size: config.image.size,
            reduction: config.tokenizer.reduction(),
            image_channels: config.image.channels,
            grid: config.latent.grid,
            channels,
            workspace: Mutex::default(),
        })
    }

    /// An image (size, size, channels) to v (n, c): the posterior's mean, standardized.
    pub fn forward(&self, gpu: &Gpu, image: &[f32]) -> Result<Vec<f32>> {
        let halved = encoder_input(image, self.size, self.image_channels, self.reduction);
        let columns = self.out.columns();
        let v = with_workspace(
            &self.workspace,
            1,
            |images| self.allocate(gpu, images),
            |workspace| workspace.run(gpu, &halved, halved.len(), self.grid * self.grid * columns),
        )?;
        Ok(v.chunks_exact(columns).flat_map(|row| &row[..self.channels]).copied().collect())
    }

    fn allocate(&self, gpu: &Gpu, capacity: usize) -> Result<Workspace> {
        let context = &gpu.context;
        let size = self.size / self.reduction;
        let input = context.buffer("image", capacity * size * size * self.image_channels)?;
        let output_len = capacity * self.grid * self.grid * self.out.columns();
        let buffers = Buffers::allocate(gpu, capacity * self.activation_len)?;
        let (output, output_host) =
            (context.buffer("latent", output_len)?, context.readback("latent", output_len)?);
        let Buffers { x, next, normalized, .. } = &buffers;
        let (mut x, mut next, mut side) = (x, next, size / 2);
        let mut recorder = Recorder::new(context, &gpu.kernels)?;
        let same = |side| Some(Convolution { side, stride: 1 });
        recorder.product(&self.stem, &input, x, side * side, same(side), Output::Set)?;
        for level in &self.levels {
            for block in &level.blocks {
                block.record(&mut recorder, &buffers, x, side)?;
            }
            if let Some(down) = &level.resample {
                let half = side.div_ceil(2);
                let convolution = Some(Convolution { side, stride: 2 });
                recorder.product(down, x, next, half * half, convolution, Output::Set)?;
                side = half;
                std::mem::swap(&mut x, &mut next);
            }
        }
        recorder.group_norm(&self.norm, [x, normalized], side * side, GROUPS)?;
        recorder.product(&self.out, normalized, &output, side * side, None, Output::Set)?;
        Ok(Workspace { capacity, input, output, output_host, program: recorder.finish() })
    }
}

/// The decoder: standardized latents to images.
pub struct Decoder {
    stem: Matrix,
    levels: Vec<Level>,
    norm: Norm,
    out: Matrix,
    mean: Vec<f32>,
    std: Vec<f32>,
    /// Numbers of an image at the resolution that needs the most.
    activation_len: usize,
    grid: usize,
    /// Numbers of an image.
    image: usize,
    max_images: usize,
    workspace: Mutex<Option<Workspace>>,
}

impl Decoder {
    pub fn new(gpu: &Gpu, config: &Config, vb: &VarBuilder) -> candle_core::Result<Self> {
        let context = &gpu.context;
        let level_configs = decoder_levels(&config.tokenizer);
        let (first, last) = first_and_last(&level_configs);
        let channels = config.latent.channels;
        let (mean, std) =
            (load_values(vb, channels, "latent_mean")?, load_values(vb, channels, "latent_std")?);
        let vb = vb.pp("decoder");
        let convolution =
            |inputs, outputs, name: &str| Matrix::convolution(context, inputs, outputs, &vb.pp(name));
        let activation_len = largest_activation(config.latent.grid, &level_configs);
        let largest = activation_len * size_of::<f32>();
        Ok(Self {
            stem: convolution(channels, last, "stem")?,
            levels: levels(gpu, &level_configs, &vb, |width, next, suffix| {
                convolution(next, 4 * width, &format!("up{suffix}"))
            })?,
            norm: Norm::new(context, first, &vb.pp("norm"))?,
            out: convolution(first, 4 * config.image.channels, "out")?,
            mean,
            std,
            grid: config.latent.grid,
            image: config.image.size * config.image.size * config.image.channels,
            max_images: (context.max_buffer_bytes() as usize / largest).clamp(1, MAX_IMAGES),
            activation_len,
            workspace: Mutex::default(),
        })
    }

    /// v of b images (b, n, c) to images (b, size, size, channels), about −1..1 (not clamped).
    pub fn forward(&self, gpu: &Gpu, v: &[f32]) -> Result<Vec<f32>> {
        let channels = self.mean.len();
        let padding = channels.next_multiple_of(4) - channels;
        let scaled: Vec<f32> = v
            .chunks_exact(channels)
            .flat_map(|v| {
                let scaled = v.iter().zip(&self.std).zip(&self.mean).map(|((v, std), mean)| v * std + mean);
                scaled.chain(std::iter::repeat_n(0.0, padding))
            })
            .collect();
        let latent = self.grid * self.grid * (channels + padding);
        let mut images = Vec::with_capacity(v.len() / (self.grid * self.grid * channels) * self.image);
        for part in scaled.chunks(latent * self.max_images) {
            images.extend(with_workspace(
                &self.workspace,
                part.len() / latent,
                |images| self.allocate(gpu, images.min(self.max_images)),
                |workspace| workspace.run(gpu, part, latent, self.image),
            )?);
        }
        Ok(images)
    }

    fn allocate(&self, gpu: &Gpu, capacity: usize) -> Result<Workspace> {
        let context = &gpu.context;
        let channels = self.mean.len().next_multiple_of(4);
        let input = context.buffer("latent", capacity * self.grid * self.grid * channels)?;
        let buffers = Buffers::allocate(gpu, capacity * self.activation_len)?;
        let output_len = capacity * self.image;
        let (output, output_host) =
            (context.buffer("image", output_len)?, context.readback("image", output_len)?);
        let Buffers { x, next, normalized, .. } = &buffers;
        let (mut x, mut next, mut side) = (x, next, self.grid);
        let mut recorder = Recorder::new(context, &gpu.kernels)?;
        let same = |side| Some(Convolution { side, stride: 1 });
        recorder.product(&self.stem, &input, x, side * side, same(side), Output::Set)?;
        for level in self.levels.iter().rev() {
            if let Some(up) = &level.resample {
                recorder.product(up, x, next, side * side, same(side), Output::Shuffle)?;
                side *= 2;
                std::mem::swap(&mut x, &mut next);
            }
            for block in &level.blocks {
                block.record(&mut recorder, &buffers, x, side)?;
            }
        }
        recorder.group_norm(&self.norm, [x, normalized], side * side, GROUPS)?;
        recorder.product(&self.out, normalized, &output, side * side, same(side), Output::Shuffle)?;
        Ok(Workspace { capacity, input, output, output_host, program: recorder.finish() })
    }
}
