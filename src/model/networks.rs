//! Encoder, decoder and denoiser on the device at hand, behind one interface of plain numbers.
//!
//! A CPU runs `cpu`'s, every other device candle's.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::config::Config;
use super::device::Precision;
use super::guidance::Passes;
use super::sampler::{SamplerState, Step};
use super::trajectory::Schedule;
use super::{cpu, denoiser, gumbel, tokenizer};

/// The networks. Pictures are (size, size, channels) in −1..1, latents (n, c), logits (n, V), each b times.
pub enum Networks {
    Cpu(Box<Cpu>),
    Candle(Box<Candle>),
}

/// What runs on a CPU.
pub struct Cpu {
    encoder: cpu::Encoder,
    decoder: cpu::Decoder,
    denoiser: cpu::Denoiser,
    /// Room for a step's logits, kept from step to step: fresh memory costs a page fault every 4 kB.
    logits: Mutex<Vec<f32>>,
    codes: usize,
}

/// What candle runs.
pub struct Candle {
    encoder: tokenizer::Encoder,
    decoder: tokenizer::Decoder,
    denoiser: denoiser::Denoiser,
    device: Device,
    image: (usize, usize, usize),
    latent: (usize, usize),
}

impl Networks {
    /// The fastest there are for a CPU.
    pub fn cpu(config: &Config, schedule: &Schedule, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Cpu(Box::new(Cpu {
            encoder: cpu::Encoder::new(config, vb.clone())?,
            decoder: cpu::Decoder::new(config, vb.clone())?,
            denoiser: cpu::Denoiser::new(config, schedule, vb.pp("denoiser"))?,
            logits: Mutex::default(),
            codes: config.trajectory.codes,
        })))
    }

    /// candle's, which run on any device.
    pub fn candle(
        config: &Config,
        schedule: &Schedule,
        vb: VarBuilder,
        precision: Precision,
    ) -> Result<Self> {
        let size = config.image.size;
        Ok(Self::Candle(Box::new(Candle {
            encoder: tokenizer::Encoder::new(config, vb.clone())?,
            decoder: tokenizer::Decoder::new(config, vb.clone())?,
            denoiser: denoiser::Denoiser::new(
                config,
                schedule,
                vb.pp("denoiser").to_dtype(precision.dtype()),
            )?,
            device: vb.device().clone(),
            image: (size, size, config.image.channels),
            latent: (config.positions(), config.latent.channels),
        })))
    }

    /// The class index that stands for "any class": what classifier-free guidance starts from.
    pub fn null_class(&self) -> u32 {
        match self {
            Self::Cpu(cpu) => cpu.denoiser.null_class(),
            Self::Candle(candle) => candle.denoiser.null_class(),
        }
    }

    /// Guided logits for C_t, n · V numbers for each image.
    pub fn logits(&self, passes: &Passes) -> Result<Vec<Vec<f32>>> {
        let mut logits = match self {
            Self::Cpu(cpu) => {
                let mut logits = Vec::new();
                cpu.denoiser.forward(&passes.z, &passes.t, &passes.y, &mut logits)?;
                logits
            }
            Self::Candle(candle) => candle.logits(passes)?.flatten_all()?.to_vec1()?,
        };
        Ok(passes.by_image(&mut logits).into_iter().map(|image| image.guide().to_vec()).collect())
    }

    /// Draws C_t for each image. `passes` are these states'.
    pub fn draw(&self, passes: &Passes, states: &mut [&mut SamplerState]) -> Result<Vec<Step>> {
        match self {
            Self::Cpu(cpu) => {
                let mut logits = cpu.logits.lock().unwrap_or_else(PoisonError::into_inner);
                let logits = cpu.denoiser.forward(&passes.z, &passes.t, &passes.y, &mut logits)?;
                let images = states.par_iter_mut().zip(passes.by_image(logits));
                Ok(images.map(|(state, image)| state.draw(image.guide(), cpu.codes)).collect())
            }
            Self::Candle(candle) => candle.draw(passes, states),
        }
    }

    /// The standardized latent v of a picture.
    pub fn encode(&self, picture: Vec<f32>) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(cpu) => cpu.encoder.forward(&picture),
            Self::Candle(candle) => {
                let picture = Tensor::from_vec(picture, candle.image, &candle.device)?;
                let picture = picture.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?; // (1, channels, size, size)
                candle.encoder.forward(&picture)?.flatten_all()?.to_vec1()
            }
        }
    }

    /// Pictures of b latents, about −1..1 (not clamped).
    pub fn decode(&self, latents: Vec<f32>) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(cpu) => cpu.decoder.forward(&latents),
            Self::Candle(candle) => {
                let (n, c) = candle.latent;
                let shape = (latents.len() / (n * c), n, c);
                let latents = Tensor::from_vec(latents, shape, &candle.device)?;
                candle.decoder.forward(&latents)?.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1()
            }
        }
    }
}

impl Candle {
    /// (passes, n, V)
    fn logits(&self, passes: &Passes) -> Result<Tensor> {
        let (n, c) = self.latent;
        let z = Tensor::from_slice(&passes.z, (passes.count(), n, c), &self.device)?;
        self.denoiser.forward(&z, &passes.t, &passes.y)?.to_dtype(DType::F32)
    }

    /// Only what was drawn leaves the device.
    fn draw(&self, passes: &Passes, states: &mut [&mut SamplerState]) -> Result<Vec<Step>> {
        let logits = passes.guide(&self.logits(passes)?)?;
        let (b, n, codes) = logits.dims3()?;
        let mut uniforms = vec![0.0; b * n * codes];
        uniforms
            .par_chunks_mut(n * codes)
            .zip(states.par_iter_mut())
            .for_each(|(uniforms, state)| state.fill_uniform(uniforms));
        let uniforms = Tensor::from_vec(uniforms, (b, n, codes), &self.device)?;
        let wishes: Vec<_> = states.iter().map(|state| state.wish()).collect();
        gumbel::draw(&logits, &uniforms, &wishes)
    }
}
