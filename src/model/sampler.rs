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

use super::gumbel::Wish;
use super::rdpm::{Model, Preview};
use super::{ModelError, SamplingSettings, trajectory};

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
    /// The most probable codes, where the drawing is to note them.
    pub alternatives: Option<Alternatives>,
}

/// The most probable codes of each position, the drawn one among them or not: n · [`Alternatives::COUNT`] entries,
/// position by position, by falling probability.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Alternatives {
    /// Each below V.
    pub codes: Vec<u32>,
    /// 0 to 1; 0 where top-k, top-p or temperature 0 exclude a code.
    pub probabilities: Vec<f32>,
}

impl Alternatives {
    /// Codes that are noted for a position.
    pub const COUNT: usize = 4;

    /// Notes the most probable codes of one position from its logits, after top-k and top-p; `probability` is theirs.
    fn note(&mut self, logits: &[f32], probability: impl Fn(f32) -> f32) {
        // By falling logit; of equal ones the first code first. Fewer than V where V is smaller.
        let mut best: Vec<u32> = Vec::with_capacity(Self::COUNT + 1);
        for code in 0..logits.len() as u32 {
            let logit = logits[code as usize];
            let at = best.partition_point(|&other| logits[other as usize] >= logit);
            if at < Self::COUNT {
                best.insert(at, code);
                best.truncate(Self::COUNT);
            }
        }
        self.probabilities.extend(best.iter().map(|&code| probability(logits[code as usize])));
        self.codes.extend(best);
    }
}

/// One image being drawn: its settings, generator, noise and running latent. Plain host memory.
#[derive(Debug, Clone)]
pub struct SamplerState {
    pub(super) settings: SamplingSettings,
    generator: ChaCha8Rng,
    /// eps, n · c numbers.
    pub(super) eps: Vec<f32>,
    /// z_t, n · c numbers.
    pub(super) z: Vec<f32>,
    pub(super) step: usize,
    steps: usize,
    notes_alternatives: bool,
}

impl SamplerState {
    /// z_0 = eps, `len` = n · c numbers drawn from the generator of (seed, index).
    pub(super) fn new(settings: SamplingSettings, seed: u64, index: u32, len: usize, steps: usize) -> Self {
        let mut generator = trajectory::generator(seed, index);
        let eps = trajectory::noise(&mut generator, len);
        Self { settings, generator, z: eps.clone(), eps, step: 0, steps, notes_alternatives: false }
    }

    /// Whether its steps note the most probable codes of each position beside the drawn one. They don't unless told to.
    pub fn with_alternatives(self, notes_alternatives: bool) -> Self {
        Self { notes_alternatives, ..self }
    }

    /// Steps done so far, 0..=T.
    pub fn step(&self) -> usize {
        self.step
    }

    /// Whether all T steps are done.
    pub fn is_finished(&self) -> bool {
        self.step >= self.steps
    }

    /// z_t, n · c numbers.
    pub fn latent(&self) -> &[f32] {
        &self.z
    }

    /// The settings it is drawn with.
    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// The next n · V of its uniforms, for those who draw elsewhere.
    pub(super) fn fill_uniform(&mut self, uniforms: &mut [f32]) {
        fill_uniform(&mut self.generator, uniforms);
    }

    /// What its next step is to draw.
    pub(super) fn wish(&self) -> Wish<'_> {
        Wish { settings: &self.settings, step: self.step + 1, alternatives: self.notes_alternatives }
    }

    /// Draws C_t from guided logits (n · V numbers, overwritten).
    pub(super) fn draw(&mut self, logits: &mut [f32], codes: usize) -> Step {
        let positions = logits.len() / codes;
        let mut step = Step {
            step: self.step + 1,
            tokens: Vec::with_capacity(positions),
            entropy: Vec::with_capacity(positions),
            probability: Vec::with_capacity(positions),
            alternatives: self.notes_alternatives.then(Alternatives::default),
        };
        let mut uniforms = vec![0.0; codes];
        for logits in logits.chunks_exact_mut(codes) {
            fill_uniform(&mut self.generator, &mut uniforms);
            let drawn = sample_code(logits, &self.settings, &uniforms);
            if let Some(alternatives) = &mut step.alternatives {
                alternatives.note(logits, |logit| drawn.probability_of(logit));
            }
            step.tokens.push(drawn.code);
            step.entropy.push(drawn.entropy);
            step.probability.push(drawn.probability);
        }
        step
    }
}

/// Numbers of the open interval (0, 1): odd multiples of 2⁻²⁴, which f32 holds exactly, so neither end is ever met and
/// the Gumbel noise is finite. A step draws V of them for each position, position by position.
pub fn fill_uniform(generator: &mut ChaCha8Rng, uniforms: &mut [f32]) {
    uniforms.fill_with(|| {
        let bits: u32 = generator.random();
        ((bits >> 9) as f32 + 0.5) * (-23f32).exp2()
    });
}

/// One code, and the distribution it was drawn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drawn {
    /// Below V.
    pub code: u32,
    /// Bits.
    pub entropy: f32,
    /// 0 to 1.
    pub probability: f32,
    /// The highest logit, and Σ exp(logit − highest); no sum where the most probable code was simply taken.
    highest: f32,
    total: Option<f32>,
}

impl Drawn {
    /// The probability of a code with this logit, of those that [`sample_code`] left behind.
    pub fn probability_of(&self, logit: f32) -> f32 {
        match self.total {
            Some(total) => (logit - self.highest).exp() / total,
            None => f32::from(u8::from(logit == self.highest)),
        }
    }
}

/// Draws one code by Gumbel-max from V guided logits and V uniforms of (0, 1). The logits are overwritten by those that
/// the code was drawn from: divided by the temperature, −∞ for codes that top-k or top-p exclude.
///
/// Temperature 0 takes the most probable code.
pub fn sample_code(logits: &mut [f32], settings: &SamplingSettings, uniforms: &[f32]) -> Drawn {
    if settings.temperature() == 0.0 {
        let code = argmax(logits.iter().copied());
        let highest = logits[code as usize];
        return Drawn { code, entropy: 0.0, probability: 1.0, highest, total: None };
    }
    let inverse = (1.0 / settings.temperature()) as f32;
    logits.iter_mut().for_each(|logit| *logit *= inverse);
    keep_most_probable(logits, settings.top_k(), settings.top_p());

    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    let mut first = (f32::INFINITY, 0);
    for ((code, &logit), u) in (0u32..).zip(logits.iter()).zip(uniforms) {
        if logit == f32::NEG_INFINITY {
            continue;
        }
        let weight = (logit - highest).exp();
        total += weight;
        weighted += weight * (logit - highest);
        // argmax of logit − ln(−ln u) is argmin of −ln u / exp(logit): the first arrival of exponential clocks.
        let arrival = -u.ln() / weight;
        if arrival < first.0 {
            first = (arrival, code);
        }
    }
    let code = first.1;
    // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w.
    let entropy = (total.ln() - weighted / total) * std::f32::consts::LOG2_E;
    let mut drawn = Drawn { code, entropy: entropy.max(0.0), probability: 0.0, highest, total: Some(total) };
    drawn.probability = drawn.probability_of(logits[code as usize]);
    drawn
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
    states: Vec<SamplerState>,
}

impl<'m> Sampler<'m> {
    /// The images of one request whose indices are in the range.
    pub fn new(
        model: &'m Model,
        settings: &SamplingSettings,
        seed: u64,
        indices: std::ops::Range<u32>,
    ) -> Self {
        Self { model, states: indices.map(|index| model.start(settings, seed, index)).collect() }
    }

    /// Both previews of every image, after at least one step.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self) -> Result<Vec<Preview>, ModelError> {
        self.model.previews(&self.states.iter().collect::<Vec<_>>())
    }

    /// The running latent of every image, decoded: after the last step, the images.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self) -> Result<Vec<image::DynamicImage>, ModelError> {
        self.model.images(&self.states.iter().collect::<Vec<_>>())
    }
}

impl Iterator for Sampler<'_> {
    type Item = Result<Vec<Step>, ModelError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.states.first().is_none_or(SamplerState::is_finished) {
            return None;
        }
        Some(self.model.step(&mut self.states.iter_mut().collect::<Vec<_>>()))
    }
}
