//! Sampling: from standard Gaussian noise to an image in T steps.
//!
//! ```text
//! z_0 = eps
//! for t in 1..=T:
//!     logits = u + w (l − u)                 l: with the class, u: without (classifier-free guidance)
//!     C_t ~ softmax(logits / temperature)    drawn by Gumbel-max, after top-k and top-p
//!     z_t = z_{t−1} + e[C_t]
//! ```
//!
//! Because eps is the sampler's own, a clean preview is free at any step: decode((z_t − beta_t eps) / alpha_t).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::rdpm::{Model, Preview};
use super::{ModelError, Settings, trajectory};

/// What one step did to one image. Vectors have n = h·w entries, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// t, 1..=T.
    pub step: usize,
    /// C_t: the codes drawn, each below V.
    pub tokens: Vec<u32>,
    /// Entropy in bits of the distribution that each code was drawn from, 0 to log2 V.
    pub entropy: Vec<f32>,
    /// Probability that this distribution gave to the code drawn, 0 to 1.
    pub probability: Vec<f32>,
}

/// One image being drawn: its settings, generator, noise and running latent. Plain host memory.
#[derive(Debug, Clone)]
pub struct Drawing {
    pub(super) settings: Settings,
    generator: ChaCha8Rng,
    /// eps, n · c numbers.
    pub(super) eps: Vec<f32>,
    /// z_t, n · c numbers.
    pub(super) z: Vec<f32>,
    pub(super) step: usize,
    steps: usize,
}

impl Drawing {
    /// z_0 = eps, `len` = n · c numbers drawn from the generator of (seed, index).
    pub(super) fn new(settings: Settings, seed: u64, index: u32, len: usize, steps: usize) -> Self {
        let mut generator = trajectory::generator(seed, index);
        let eps = trajectory::noise(&mut generator, len);
        Self { settings, generator, z: eps.clone(), eps, step: 0, steps }
    }

    /// Steps done so far, 0..=T.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Whether all T steps are done.
    pub fn is_finished(&self) -> bool {
        self.step >= self.steps
    }

    /// The settings it is drawn with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Draws C_t from guided logits (n · V numbers, overwritten).
    pub(super) fn draw(&mut self, logits: &mut [f32], codes: usize) -> Step {
        let positions = logits.len() / codes;
        let mut step = Step {
            step: self.step + 1,
            tokens: Vec::with_capacity(positions),
            entropy: Vec::with_capacity(positions),
            probability: Vec::with_capacity(positions),
        };
        let mut uniforms = vec![0.0; codes];
        for logits in logits.chunks_exact_mut(codes) {
            uniforms.fill_with(|| uniform(&mut self.generator));
            let drawn = draw_code(logits, &self.settings, &uniforms);
            step.tokens.push(drawn.code);
            step.entropy.push(drawn.entropy);
            step.probability.push(drawn.probability);
        }
        step
    }
}

/// A number of the open interval (0, 1): odd multiples of 2⁻²⁴, which f32 holds exactly, so neither end is ever met and
/// the Gumbel noise is finite.
fn uniform(generator: &mut ChaCha8Rng) -> f32 {
    let bits: u32 = generator.random();
    ((bits >> 9) as f32 + 0.5) * (-23f32).exp2()
}

/// One code, and what the distribution it was drawn from thought of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Below V.
    pub code: u32,
    /// Bits.
    pub entropy: f32,
    /// 0 to 1.
    pub probability: f32,
}

/// Draws one code by Gumbel-max from V guided logits (overwritten) and V uniforms of (0, 1).
///
/// Codes that top-k or top-p exclude get probability 0. Temperature 0 takes the most probable code.
pub fn draw_code(logits: &mut [f32], settings: &Settings, uniforms: &[f32]) -> Drawn {
    if settings.temperature() == 0.0 {
        return Drawn { code: argmax(logits.iter().copied()), entropy: 0.0, probability: 1.0 };
    }
    let inverse = (1.0 / settings.temperature()) as f32;
    logits.iter_mut().for_each(|logit| *logit *= inverse);
    keep_most_probable(logits, settings.top_k(), settings.top_p());

    let code = argmax(logits.iter().zip(uniforms).map(|(logit, u)| logit - (-u.ln()).ln()));
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    for &logit in logits.iter().filter(|logit| logit.is_finite()) {
        let weight = (logit - highest).exp();
        total += weight;
        weighted += weight * (logit - highest);
    }
    // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w.
    let entropy = (total.ln() - weighted / total) * std::f32::consts::LOG2_E;
    Drawn { code, entropy: entropy.max(0.0), probability: (logits[code as usize] - highest).exp() / total }
}

/// Sets the logits outside the k most probable, and outside the smallest set that holds the share p, to −∞.
fn keep_most_probable(logits: &mut [f32], top_k: Option<usize>, top_p: Option<f64>) {
    if top_k.is_none() && top_p.is_none() {
        return;
    }
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let mut kept = top_k.unwrap_or(order.len()).min(order.len());
    if let Some(share) = top_p {
        let highest = logits[order[0]];
        let weight = |code: usize| f64::from(logits[code] - highest).exp();
        let wanted = share * order[..kept].iter().map(|&code| weight(code)).sum::<f64>();
        let mut held = 0.0;
        kept = order[..kept]
            .iter()
            .position(|&code| {
                held += weight(code);
                held >= wanted
            })
            .map_or(kept, |last| last + 1);
    }
    for &code in &order[kept..] {
        logits[code] = f32::NEG_INFINITY;
    }
}

/// Index of the largest number; of equal ones the first.
fn argmax(values: impl Iterator<Item = f32>) -> u32 {
    let mut best = (f32::NEG_INFINITY, 0);
    for (index, value) in (0u32..).zip(values) {
        if value > best.0 {
            best = (value, index);
        }
    }
    best.1
}

/// Images drawn together from their first step to their last: an iterator that yields every step.
///
/// Dropping it is cancellation. Previews cost a pass through the decoder, so they are made when asked for.
pub struct Sampler<'m> {
    model: &'m Model,
    drawings: Vec<Drawing>,
}

impl<'m> Sampler<'m> {
    /// The images of one request whose indices are in the range.
    pub fn new(model: &'m Model, settings: &Settings, seed: u64, indices: std::ops::Range<u32>) -> Self {
        Self { model, drawings: indices.map(|index| model.start(settings, seed, index)).collect() }
    }

    /// Both previews of every image, after at least one step.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self) -> Result<Vec<Preview>, ModelError> {
        self.model.previews(&self.drawings.iter().collect::<Vec<_>>())
    }

    /// The running latent of every image, decoded: after the last step, the images.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self) -> Result<Vec<image::DynamicImage>, ModelError> {
        self.model.images(&self.drawings.iter().collect::<Vec<_>>())
    }
}

impl Iterator for Sampler<'_> {
    type Item = Result<Vec<Step>, ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.drawings.first().is_none_or(Drawing::is_finished) {
            return None;
        }
        Some(self.model.step(&mut self.drawings.iter_mut().collect::<Vec<_>>()))
    }
}
