//! Encoder, decoder and denoiser behind one interface of plain numbers.
//!
//! A CPU runs the networks of `cpu`, a GPU through wgpu those of `gpu`, every other device those that candle computes
//! (`tokenizer`, `denoiser`).

#[cfg(feature = "gpu")]
use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Error, Result, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;

use super::condition::Condition;
use super::config::Config;
use super::cpu::{self, Arithmetic};
use super::denoiser;
use super::device_sampling;
#[cfg(feature = "gpu")]
use super::gpu::{Gpu, GpuNetworks};
use super::guidance::{GuidanceBatch, UnguidedLogits};
use super::pass_count::Denoisers;
use super::sampler_state::SamplerState;
use super::step::Step;
use super::tokenizer;
use super::trajectory::Schedule;

/// The networks. Images are (size, size, channels) in −1..1, latents (n, c), logits (n, V); a batch has b of them.
pub enum Networks {
    Cpu(Box<CpuNetworks>),
    Candle(Box<CandleNetworks>),
    #[cfg(feature = "gpu")]
    Gpu(Box<GpuNetworks>),
}

/// Networks optimized for a CPU.
pub struct CpuNetworks {
    encoder: cpu::Encoder,
    decoder: cpu::Decoder,
    denoisers: Denoisers<cpu::Denoiser>,
    arithmetic: Arithmetic,
    /// A step's logits, reused by the next step: freshly allocated memory costs a page fault every 4 kB.
    logits: Mutex<Vec<f32>>,
    /// V.
    codes: usize,
}

/// Networks that candle computes, on any device.
pub struct CandleNetworks {
    encoder: tokenizer::Encoder,
    decoder: tokenizer::Decoder,
    denoisers: Denoisers<denoiser::Denoiser>,
    /// The transformer's number format.
    transformer: DType,
    device: Device,
    /// (size, size, channels)
    image: (usize, usize, usize),
    /// (n, c)
    latent: (usize, usize),
}

impl Networks {
    /// Builds the networks optimized for a CPU.
    pub fn cpu(config: &Config, schedule: &Schedule, arithmetic: Arithmetic, vb: VarBuilder) -> Result<Self> {
        Ok(Self::Cpu(Box::new(CpuNetworks {
            encoder: cpu::Encoder::new(config, vb.clone())?,
            decoder: cpu::Decoder::new(config, arithmetic, vb.clone())?,
            denoisers: Denoisers::new(cpu::Denoiser::new(
                config,
                schedule,
                arithmetic,
                None,
                vb.pp("denoiser"),
            )?),
            arithmetic,
            logits: Mutex::default(),
            codes: config.trajectory.codes,
        })))
    }

    /// Builds the networks that candle computes, on the device of `vb`, with the transformer in this number format.
    pub fn candle(config: &Config, schedule: &Schedule, vb: VarBuilder, transformer: DType) -> Result<Self> {
        let size = config.image.size;
        Ok(Self::Candle(Box::new(CandleNetworks {
            encoder: tokenizer::Encoder::new(config, vb.clone())?,
            decoder: tokenizer::Decoder::new(config, vb.clone())?,
            denoisers: Denoisers::new(denoiser::Denoiser::new(
                config,
                schedule,
                None,
                vb.pp("denoiser").to_dtype(transformer),
            )?),
            transformer,
            device: vb.device().clone(),
            image: (size, size, config.image.channels),
            latent: (config.positions(), config.latent.channels),
        })))
    }

    /// Builds the networks on a GPU through wgpu. `vb` has the weights in host memory.
    #[cfg(feature = "gpu")]
    pub fn gpu(gpu: &Arc<Gpu>, config: &Config, schedule: &Schedule, vb: &VarBuilder) -> Result<Self> {
        Ok(Self::Gpu(Box::new(GpuNetworks::new(gpu, config, schedule, vb)?)))
    }

    /// Adds a denoiser that computes guided logits in one pass, with this number of embeddings of the guidance scale.
    pub fn add_one_pass(
        &mut self,
        config: &Config,
        schedule: &Schedule,
        guidance_rows: usize,
        vb: &VarBuilder,
    ) -> Result<()> {
        let (vb, rows) = (vb.pp("denoiser"), Some(guidance_rows));
        match self {
            Self::Cpu(cpu) => {
                cpu.denoisers.one_pass =
                    Some(cpu::Denoiser::new(config, schedule, cpu.arithmetic, rows, vb)?);
            }
            Self::Candle(candle) => {
                let vb = vb.to_dtype(candle.transformer);
                candle.denoisers.one_pass = Some(denoiser::Denoiser::new(config, schedule, rows, vb)?);
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.add_one_pass(config, schedule, guidance_rows, &vb)?,
        }
        Ok(())
    }

    /// Guided logits for C_t: (n, V) for each image.
    pub fn logits(&self, batch: &GuidanceBatch) -> Result<Vec<Vec<f32>>> {
        let mut logits = match self {
            Self::Cpu(cpu) => {
                let mut logits = Vec::new();
                cpu.denoisers.of(batch.passes).forward(&batch.z, &batch.t, &batch.y, &mut logits)?;
                logits
            }
            Self::Candle(candle) => candle.logits(batch)?.flatten_all()?.to_vec1()?,
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.logits(batch).map_err(Error::wrap)?,
        };
        Ok(batch.split(&mut logits).into_iter().map(|image| image.guide().to_vec()).collect())
    }

    /// The denoiser's residual stream (n, d) after each of these blocks, numbered from 1 and sorted, for one image with the
    /// running latent z_{t−1} (n, c), at timestep t in 1..=T and condition y.
    pub fn residual_streams(
        &self,
        z: &[f32],
        t: usize,
        y: &Condition,
        blocks: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::Cpu(cpu) => cpu.denoisers.two_passes.residual_streams(z, t, y, blocks),
            Self::Candle(candle) => {
                let (n, c) = candle.latent;
                let z = Tensor::from_slice(z, (1, n, c), &candle.device)?;
                let streams =
                    candle.denoisers.two_passes.residual_streams(&z, &[t], std::slice::from_ref(y))?;
                let of_block =
                    |&number: &usize| streams[number - 1].to_dtype(DType::F32)?.flatten_all()?.to_vec1();
                blocks.iter().map(of_block).collect()
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.residual_streams(z, t, y, blocks).map_err(Error::wrap),
        }
    }

    /// Samples C_t for each image. `batch` must have been made from these states, in this order.
    pub fn sample(&self, batch: &GuidanceBatch, states: &mut [&mut SamplerState]) -> Result<Vec<Step>> {
        match self {
            Self::Cpu(cpu) => {
                let mut logits = cpu.logits.lock().unwrap_or_else(PoisonError::into_inner);
                let denoiser = cpu.denoisers.of(batch.passes);
                let logits = denoiser.forward(&batch.z, &batch.t, &batch.y, &mut logits)?;
                // With fewer images than threads, threads share an image.
                let parts = rayon::current_num_threads().div_ceil(states.len().max(1));
                let images = states.par_iter_mut().zip(batch.split(logits));
                let sample = |(state, image): (&mut &mut SamplerState, UnguidedLogits)| {
                    let logits = image.guide();
                    check_finite(logits)?;
                    Ok(state.sample(logits, cpu.codes, parts))
                };
                images.map(sample).collect()
            }
            Self::Candle(candle) => candle.sample(batch, states),
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.sample(batch, states).map_err(Error::wrap),
        }
    }

    /// Encodes an image (size, size, channels) to its standardized latent v, (n, c).
    pub fn encode(&self, image: Vec<f32>) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(cpu) => cpu.encoder.forward(&image),
            Self::Candle(candle) => {
                let image = Tensor::from_vec(image, candle.image, &candle.device)?;
                let image = image.permute((2, 0, 1))?.unsqueeze(0)?.contiguous()?; // (1, channels, size, size)
                candle.encoder.forward(&image)?.flatten_all()?.to_vec1()
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.encode(&image).map_err(Error::wrap),
        }
    }

    /// Decodes latents (b, n, c) to images (b, size, size, channels), about −1..1 (not clamped).
    pub fn decode(&self, latents: Vec<f32>) -> Result<Vec<f32>> {
        match self {
            Self::Cpu(cpu) => cpu.decoder.forward(&latents),
            Self::Candle(candle) => {
                let (n, c) = candle.latent;
                let shape = (latents.len() / (n * c), n, c);
                let latents = Tensor::from_vec(latents, shape, &candle.device)?;
                let images = candle.decoder.forward(&latents)?; // (b, channels, size, size)
                images.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1() // (b, size, size, channels)
            }
            #[cfg(feature = "gpu")]
            Self::Gpu(gpu) => gpu.decode(&latents).map_err(Error::wrap),
        }
    }
}

impl CandleNetworks {
    /// Logits (rows, n, V) in f32.
    fn logits(&self, batch: &GuidanceBatch) -> Result<Tensor> {
        let (n, c) = self.latent;
        let z = Tensor::from_slice(&batch.z, (batch.rows(), n, c), &self.device)?;
        self.denoisers.of(batch.passes).forward(&z, &batch.t, &batch.y)?.to_dtype(DType::F32)
    }

    /// Samples on the device: only the samples are copied to the host.
    fn sample(&self, batch: &GuidanceBatch, states: &mut [&mut SamplerState]) -> Result<Vec<Step>> {
        let logits = batch.guide(&self.logits(batch)?)?;
        check_finite(&[logits.sum_all()?.to_scalar()?])?;
        let (b, n, codes) = logits.dims3()?;
        let mut uniforms = vec![0.0; b * n * codes];
        uniforms
            .par_chunks_mut(n * codes)
            .zip(states.par_iter_mut())
            .for_each(|(uniforms, state)| state.fill_uniform(uniforms));
        let uniforms = Tensor::from_vec(uniforms, (b, n, codes), &self.device)?;
        let specs: Vec<_> = states.iter().map(|state| state.sample_spec()).collect();
        device_sampling::sample(&logits, &uniforms, &specs)
    }
}

/// # Errors
/// An error if a logit is infinite or NaN. Every comparison with NaN is false, so that the sampler would pick code 0.
fn check_finite(logits: &[f32]) -> Result<()> {
    // x · 0 is NaN where x isn't finite. The sum needs no branch, so the compiler can vectorize it.
    let zero: f32 = logits.iter().map(|logit| logit * 0.0).sum();
    if zero.is_nan() { Err(Error::msg("the denoiser's logits aren't finite")) } else { Ok(()) }
}
