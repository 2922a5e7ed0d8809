//! The state of one image while it is being sampled.

use std::borrow::Cow;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use super::code_sampling::{SampledCode, sample_code};
use super::config::Config;
use super::device_sampling::SampleSpec;
use super::given::Given;
use super::random::{self, ImageSeed};
use super::sampling_settings::SamplingSettings;
use super::step::{Alternatives, Step};
use super::trajectory::{self, Codebook};

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
    /// C_1 … C_t, n codes each; `None` where z_t isn't their sum with the noise of a seed.
    codes: Option<Vec<u32>>,
    /// n
    positions: usize,
    given: Option<Arc<Given>>,
    records_alternatives: bool,
}

impl SamplerState {
    /// z_0 = eps: numbers from the generator of `noise`. The uniforms come from the generator of `draws`, after its own eps.
    pub(super) fn new(
        settings: SamplingSettings,
        noise: ImageSeed,
        draws: ImageSeed,
        config: &Config,
    ) -> Self {
        let (positions, steps) = (config.positions(), config.steps());
        let len = positions * config.latent.channels;
        let mut generator = noise.generator();
        let eps = random::standard_normal(&mut generator, len);
        if draws != noise {
            generator = draws.generator();
            random::standard_normal(&mut generator, len);
        }
        Self {
            settings,
            generator,
            z: eps.clone(),
            eps,
            step: 0,
            steps,
            // So that steps allocate nothing that stays.
            codes: Some(Vec::with_capacity(positions * steps)),
            positions,
            given: None,
            records_alternatives: false,
        }
    }

    /// The state between two others that have done the same steps: at `weight` from 0 (the first) to 1, with the settings and
    /// the generator of the nearer one. At its ends it is that one.
    pub(super) fn between(first: Self, second: Self, weight: f64) -> Self {
        if weight <= 0.0 {
            return first;
        }
        if weight >= 1.0 {
            return second;
        }
        let eps = trajectory::interpolate(&first.eps, &second.eps, weight);
        let z = trajectory::interpolate(&first.z, &second.z, weight);
        let nearer = if weight < 0.5 { first } else { second };
        Self { eps, z, codes: None, ..nearer }
    }

    /// Sets whether steps record the most probable codes of each position ([`Step::alternatives`]). Default: false.
    pub fn with_alternatives(self, records_alternatives: bool) -> Self {
        Self { records_alternatives, ..self }
    }

    /// Sets the codes that are given instead of drawn. Default: none.
    ///
    /// The uniforms of a position don't depend on what is given elsewhere. A step whose codes are all given isn't
    /// computed by the denoiser.
    pub fn with_given(self, given: impl Into<Arc<Given>>) -> Self {
        Self { given: Some(given.into()), ..self }
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

    /// C_1 … C_t, n codes each; also those that an image was started with. `None` where it was started between others.
    pub fn tokens(&self) -> Option<Vec<Vec<u32>>> {
        Some(self.codes.as_ref()?.chunks(self.positions).map(<[u32]>::to_vec).collect())
    }

    /// Advances to z_t by the codes C_t.
    pub(super) fn take(&mut self, grid: &[u32], codebook: &Codebook) {
        codebook.advance(&mut self.z, grid);
        self.step += 1;
        if let Some(codes) = &mut self.codes {
            codes.extend_from_slice(grid);
        }
    }

    /// Advances by the codes of whole steps, as if they had been drawn: the uniforms of these steps are skipped.
    pub(super) fn take_given(&mut self, grids: &[Vec<u32>], codebook: &Codebook) {
        self.skip_uniform(grids.len() * self.positions * codebook.codes());
        grids.iter().for_each(|grid| self.take(grid, codebook));
    }

    /// The image's sampling settings.
    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// Fills a slice with the generator's next uniforms, for sampling on a device.
    pub(super) fn fill_uniform(&mut self, uniforms: &mut [f32]) {
        random::fill_uniform(&mut self.generator, uniforms);
    }

    /// Fills a slice with the generator's next uniforms, which it yields again.
    #[cfg(feature = "gpu")]
    pub(super) fn peek_uniform(&self, uniforms: &mut [f32]) {
        random::fill_uniform(&mut self.generator.clone(), uniforms);
    }

    /// Skips this number of the generator's uniforms.
    pub(super) fn skip_uniform(&mut self, count: usize) {
        random::skip_uniform(&mut self.generator, count);
    }

    /// What the denoiser sees for the next step: z_t, with the next codes added where they are given and shown.
    pub(super) fn input(&self, codebook: &Codebook) -> Cow<'_, [f32]> {
        let given = self.given.as_ref().filter(|given| given.is_shown());
        let Some(given) = given.map(|given| given.step(self.step + 1)).filter(|given| has_code(given)) else {
            return Cow::Borrowed(&self.z);
        };
        let mut z = self.z.clone();
        for (z, code) in z.chunks_exact_mut(codebook.channels()).zip(given) {
            if let Some(code) = code {
                codebook.advance(z, &[*code]);
            }
        }
        Cow::Owned(z)
    }

    /// The next step, as the networks sampled it.
    pub(super) fn correct(&self, mut step: Step) -> Step {
        if self.given.as_ref().is_some_and(|given| given.is_shown()) {
            for (probability, given) in step.probability.iter_mut().zip(&step.given) {
                if *given {
                    *probability = 1.0;
                }
            }
        }
        step
    }

    /// Whether all codes of the next step are given.
    pub(super) fn is_next_step_given(&self) -> bool {
        self.given.as_ref().is_some_and(|given| given.step(self.step + 1).iter().all(Option::is_some))
    }

    /// The next step, if all of its codes are given. `codes` is V.
    pub(super) fn given_step(&mut self, codes: usize) -> Option<Step> {
        let given = self.given.as_ref()?.step(self.step + 1);
        let tokens: Vec<u32> = given.iter().copied().collect::<Option<_>>()?;
        let positions = tokens.len();
        self.skip_uniform(positions * codes);
        Some(Step {
            step: self.step + 1,
            tokens,
            entropy: vec![0.0; positions],
            probability: vec![1.0; positions],
            alternatives: None,
            given: vec![true; positions],
        })
    }

    /// How to sample the next step on a device.
    pub(super) fn sample_spec(&self) -> SampleSpec<'_> {
        let step = self.step + 1;
        let given = self.given.as_ref().map(|given| given.step(step)).filter(|given| has_code(given));
        SampleSpec { settings: &self.settings, step, alternatives: self.records_alternatives, given }
    }

    /// Samples C_t on the host from guided logits (n, V), which are overwritten. `codes` is V.
    ///
    /// The positions are divided into `parts`, which threads sample at the same time. Their number doesn't affect the result.
    pub(super) fn sample(&mut self, logits: &mut [f32], codes: usize, parts: usize) -> Step {
        let positions = logits.len() / codes;
        let given = self.given.clone();
        let given = given.as_ref().map(|given| given.step(self.step + 1)).filter(|given| has_code(given));
        let mut step = Step {
            step: self.step + 1,
            tokens: Vec::with_capacity(positions),
            entropy: Vec::with_capacity(positions),
            probability: Vec::with_capacity(positions),
            alternatives: self.records_alternatives.then(Alternatives::default),
            given: given.map(|given| given.iter().map(Option::is_some).collect()).unwrap_or_default(),
        };
        let part_len = positions.div_ceil(parts.max(1)).max(1);
        let sample = |(part, logits): (usize, &mut [f32])| {
            let first = part * part_len;
            self.sample_part(first, logits, codes, given.map(|given| &given[first..]))
        };
        let sampled: Vec<_> = match parts {
            0 | 1 => logits.chunks_mut(part_len * codes).enumerate().map(sample).collect(),
            _ => logits.par_chunks_mut(part_len * codes).enumerate().map(sample).collect(),
        };
        self.skip_uniform(positions * codes);
        for (sampled, alternatives) in sampled {
            step.tokens.extend(sampled.iter().map(|sampled| sampled.code));
            step.entropy.extend(sampled.iter().map(|sampled| sampled.entropy));
            step.probability.extend(sampled.iter().map(|sampled| sampled.probability));
            if let Some(all) = &mut step.alternatives {
                all.codes.extend(alternatives.codes);
                all.probabilities.extend(alternatives.probabilities);
                all.ranks.extend(alternatives.ranks);
            }
        }
        step
    }

    /// Samples the codes of successive positions, from number `first` on, with the numbers that the generator has for them.
    fn sample_part(
        &self,
        first: usize,
        logits: &mut [f32],
        codes: usize,
        given: Option<&[Option<u32>]>,
    ) -> (Vec<SampledCode>, Alternatives) {
        let mut generator = self.generator.clone();
        random::skip_uniform(&mut generator, first * codes);
        let mut alternatives = Alternatives::default();
        // Where the code is given, any uniform serves.
        let (mut uniforms, mut weights) = (vec![0.5; codes], Vec::with_capacity(codes));
        let mut sample = |(position, logits): (usize, &mut [f32])| {
            let given = given.and_then(|given| given[position]);
            match given {
                Some(_) => random::skip_uniform(&mut generator, codes),
                None => random::fill_uniform(&mut generator, &mut uniforms),
            }
            let mut sampled = sample_code(logits, &self.settings, &uniforms, &mut weights);
            if let Some(code) = given {
                sampled.code = code;
                sampled.probability = sampled.probability_of(logits[code as usize]);
            }
            if self.records_alternatives {
                alternatives.record(logits, sampled.code, |logit| sampled.probability_of(logit));
            }
            sampled
        };
        let sampled = logits.chunks_exact_mut(codes).enumerate().map(&mut sample).collect();
        (sampled, alternatives)
    }
}

fn has_code(given: &[Option<u32>]) -> bool {
    given.iter().any(Option::is_some)
}
