//! The state of one image while it is being sampled.

use rand_chacha::ChaCha8Rng;

use super::code_sampling::sample_code;
use super::device_sampling::SampleSpec;
use super::random;
use super::sampling_settings::SamplingSettings;
use super::step::{Alternatives, Step};

/// The state of one image while it is being sampled: settings, generator, eps and the running latent z_t.
///
/// It is plain host memory, so it may move between batches and threads.
#[derive(Debug, Clone)]
pub struct SamplerState {
    pub(super) settings: SamplingSettings,
    generator: ChaCha8Rng,
    /// eps, n · c numbers.
    pub(super) eps: Vec<f32>,
    /// z_t, n · c numbers.
    pub(super) z: Vec<f32>,
    /// Steps done, 0..=T.
    pub(super) step: usize,
    /// T.
    steps: usize,
    records_alternatives: bool,
}

impl SamplerState {
    /// z_0 = eps: `len` = n · c numbers from the generator of (seed, index). `steps` is T.
    pub(super) fn new(settings: SamplingSettings, seed: u64, index: u32, len: usize, steps: usize) -> Self {
        let mut generator = random::generator(seed, index);
        let eps = random::standard_normal(&mut generator, len);
        Self { settings, generator, z: eps.clone(), eps, step: 0, steps, records_alternatives: false }
    }

    /// Sets whether steps record the most probable codes of each position ([`Step::alternatives`]). Default: false.
    pub fn with_alternatives(self, records_alternatives: bool) -> Self {
        Self { records_alternatives, ..self }
    }

    /// Number of steps done so far, 0..=T.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Whether all T steps are done.
    pub fn is_finished(&self) -> bool {
        self.step >= self.steps
    }

    /// The running latent z_t, n · c numbers.
    pub fn latent(&self) -> &[f32] {
        &self.z
    }

    /// The image's sampling settings.
    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// Fills a slice with the generator's next uniforms, for sampling on a device.
    pub(super) fn fill_uniform(&mut self, uniforms: &mut [f32]) {
        random::fill_uniform(&mut self.generator, uniforms);
    }

    /// How to sample the next step on a device.
    pub(super) fn sample_spec(&self) -> SampleSpec<'_> {
        SampleSpec { settings: &self.settings, step: self.step + 1, alternatives: self.records_alternatives }
    }

    /// Samples C_t on the host from guided logits (n, V), which are overwritten. `codes` is V.
    pub(super) fn sample(&mut self, logits: &mut [f32], codes: usize) -> Step {
        let positions = logits.len() / codes;
        let mut step = Step {
            step: self.step + 1,
            tokens: Vec::with_capacity(positions),
            entropy: Vec::with_capacity(positions),
            probability: Vec::with_capacity(positions),
            alternatives: self.records_alternatives.then(Alternatives::default),
        };
        let mut uniforms = vec![0.0; codes];
        for logits in logits.chunks_exact_mut(codes) {
            self.fill_uniform(&mut uniforms);
            let sampled = sample_code(logits, &self.settings, &uniforms);
            if let Some(alternatives) = &mut step.alternatives {
                alternatives.record(logits, |logit| sampled.probability_of(logit));
            }
            step.tokens.push(sampled.code);
            step.entropy.push(sampled.entropy);
            step.probability.push(sampled.probability);
        }
        step
    }
}
