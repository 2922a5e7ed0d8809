//! Encoder, decoder and denoiser on one GPU.

use std::sync::Arc;

use candle_nn::VarBuilder;

use super::adapters::Gpu;
use super::context::Result;
use super::denoiser::{Denoiser, MAX_CODES, MAX_POSITIONS};
use super::tokenizer::{Decoder, Encoder};
use crate::model::condition::Condition;
use crate::model::config::Config;
use crate::model::guidance::GuidanceBatch;
use crate::model::pass_count::Denoisers;
use crate::model::sampler_state::SamplerState;
use crate::model::step::Step;
use crate::model::trajectory::Schedule;

/// Networks on a GPU. Shapes are those of the networks on the CPU.
pub struct GpuNetworks {
    gpu: Arc<Gpu>,
    encoder: Encoder,
    decoder: Decoder,
    denoisers: Denoisers<Denoiser>,
}

impl GpuNetworks {
    /// Builds the networks; `vb` has the weights in host memory.
    pub fn new(
        gpu: &Arc<Gpu>,
        config: &Config,
        schedule: &Schedule,
        vb: &VarBuilder,
    ) -> candle_core::Result<Self> {
        check(config)?;
        Ok(Self {
            encoder: Encoder::new(gpu, config, vb)?,
            decoder: Decoder::new(gpu, config, vb)?,
            denoisers: Denoisers::new(Denoiser::new(gpu, config, schedule, None, &vb.pp("denoiser"))?),
            gpu: Arc::clone(gpu),
        })
    }

    /// Adds a denoiser that computes guided logits in one pass, with this number of embeddings of the guidance scale.
    pub fn add_one_pass(
        &mut self,
        config: &Config,
        schedule: &Schedule,
        guidance_rows: usize,
        vb: &VarBuilder,
    ) -> candle_core::Result<()> {
        self.denoisers.one_pass = Some(Denoiser::new(&self.gpu, config, schedule, Some(guidance_rows), vb)?);
        Ok(())
    }

    /// Logits (rows, n, V) of the batch, before guidance.
    pub(in crate::model) fn logits(&self, batch: &GuidanceBatch) -> Result<Vec<f32>> {
        self.denoisers.of(batch.passes).logits(&self.gpu, batch)
    }

    pub fn residual_streams(
        &self,
        z: &[f32],
        t: usize,
        y: &Condition,
        blocks: &[usize],
    ) -> Result<Vec<Vec<f32>>> {
        self.denoisers.two_passes.residual_streams(&self.gpu, z, t, y, blocks)
    }

    /// Samples C_t for each image. After an error the states are unchanged.
    pub(in crate::model) fn sample(
        &self,
        batch: &GuidanceBatch,
        states: &mut [&mut SamplerState],
    ) -> Result<Vec<Step>> {
        self.denoisers.of(batch.passes).sample(&self.gpu, batch, states)
    }

    pub fn encode(&self, image: &[f32]) -> Result<Vec<f32>> {
        self.encoder.forward(&self.gpu, image)
    }

    pub fn decode(&self, latents: &[f32]) -> Result<Vec<f32>> {
        self.decoder.forward(&self.gpu, latents)
    }
}

/// # Errors
/// If the kernels don't fit a model.
fn check(config: &Config) -> candle_core::Result<()> {
    let (positions, codes, width) = (config.positions(), config.trajectory.codes, config.denoiser.width);
    let error = |text: String| Err(candle_core::Error::Msg(format!("{text}; use --device cpu or cuda")));
    if positions > MAX_POSITIONS {
        return error(format!("{positions} positions; --device gpu draws at most {MAX_POSITIONS}"));
    }
    if codes > MAX_CODES || !codes.is_multiple_of(4) {
        return error(format!("{codes} codes; --device gpu needs a multiple of 4 up to {MAX_CODES}"));
    }
    if !width.is_multiple_of(4 * config.denoiser.heads) {
        return error(format!("width {width}; --device gpu needs a multiple of 4 for each head"));
    }
    Ok(())
}
