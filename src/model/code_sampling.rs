//! Samples one code from the logits of one position, on the host.
//!
//! Temperature, top-k, top-p, then Gumbel-max: the code with the largest logit + Gumbel noise is a sample of the softmax.
//! `device_sampling` does the same in tensors for a whole batch.

use rten_simd::SimdUnaryOp;
use rten_vecmath::Exp;

use super::sampling_settings::SamplingSettings;

/// Numbers that are compared or added at the same time. It determines the order of sums, so it is the same on all processors.
const BLOCK: usize = 16;

/// One sampled code, with properties of the distribution it came from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SampledCode {
    /// The code, below V.
    pub code: u32,
    /// Entropy of the distribution in bits, 0 to log2 V.
    pub entropy: f32,
    /// Probability of the code, 0 to 1.
    pub probability: f32,
    max_logit: f32,
    /// Σ exp(logit − max_logit); `None` at temperature 0.
    total_weight: Option<f32>,
}

impl SampledCode {
    /// The probability of a code whose logit, as [`sample_code`] left it, is this.
    pub fn probability_of(&self, logit: f32) -> f32 {
        match self.total_weight {
            Some(total) => (logit - self.max_logit).exp() / total,
            None => f32::from(u8::from(logit == self.max_logit)),
        }
    }
}

/// Samples one code by Gumbel-max from V guided logits and V uniforms of (0, 1).
///
/// Temperature 0 takes the most probable code and leaves the logits unchanged. Otherwise the logits are overwritten by
/// those that were sampled from: divided by the temperature, −∞ for codes that top-k or top-p exclude. `weights` is a reusable
/// buffer.
pub fn sample_code(
    logits: &mut [f32],
    settings: &SamplingSettings,
    uniforms: &[f32],
    weights: &mut Vec<f32>,
) -> SampledCode {
    debug_assert_eq!(logits.len(), uniforms.len());
    if settings.is_greedy() {
        let code = argmax(logits.iter().copied());
        let max_logit = logits[code as usize];
        return SampledCode { code, entropy: 0.0, probability: 1.0, max_logit, total_weight: None };
    }
    let inverse = (1.0 / settings.temperature()) as f32;
    logits.iter_mut().for_each(|logit| *logit *= inverse);
    mask_improbable(logits, settings.top_k(), settings.top_p());

    let max_logit = maximum(logits);
    weights.clear();
    weights.extend(logits.iter().map(|logit| logit - max_logit));
    Exp {}.map_mut(weights);
    let (total, weighted) = sums(logits, weights, max_logit);
    let code = first_arrival(weights, uniforms);
    // H = ln Σ w − Σ w ln w / Σ w for unnormalized weights w.
    let entropy = (total.ln() - weighted / total) * std::f32::consts::LOG2_E;
    let mut sampled = SampledCode {
        code,
        entropy: entropy.max(0.0),
        probability: 0.0,
        max_logit,
        total_weight: Some(total),
    };
    sampled.probability = sampled.probability_of(logits[code as usize]);
    sampled
}

/// Samples a code with a probability proportional to its weight: argmax of logit − ln(−ln u) is argmin of −ln u / w, the first
/// arrival of exponential clocks.
fn first_arrival(weights: &[f32], uniforms: &[f32]) -> u32 {
    let (weight_blocks, rest) = weights.as_chunks::<BLOCK>();
    let (uniform_blocks, uniform_rest) = uniforms.as_chunks::<BLOCK>();
    let mut first = Arrival { time: f32::INFINITY, code: 0 };
    for ((weights, uniforms), block) in weight_blocks.iter().zip(uniform_blocks).zip(0u32..) {
        // −ln u ≥ 1 − u, so most codes can't be the first and need no logarithm. The factor covers rounding. A whole block is
        // compared at the same time.
        let can_be_first = |i: usize| (1.0 - uniforms[i]) * 0.9999 < first.time * weights[i];
        let candidates: [bool; BLOCK] = std::array::from_fn(can_be_first);
        if candidates.iter().fold(false, |any, is_candidate| any | is_candidate) {
            first.update(block * BLOCK as u32, weights, uniforms);
        }
    }
    first.update((weights.len() - rest.len()) as u32, rest, uniform_rest);
    first.code
}

/// The earliest arrival so far.
struct Arrival {
    time: f32,
    code: u32,
}

impl Arrival {
    /// Considers codes from number `code` on.
    fn update(&mut self, code: u32, weights: &[f32], uniforms: &[f32]) {
        for (code, (weight, u)) in (code..).zip(weights.iter().zip(uniforms)) {
            let time = -u.ln() / weight;
            if time < self.time {
                *self = Self { time, code };
            }
        }
    }
}

/// The largest number; −∞ if there is none.
fn maximum(values: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (blocks, rest) = values.as_chunks::<BLOCK>();
    let mut largest = [f32::NEG_INFINITY; BLOCK];
    for block in blocks {
        largest = std::array::from_fn(|i| larger(largest[i], block[i]));
    }
    largest.iter().chain(rest).copied().fold(f32::NEG_INFINITY, larger)
}

/// Σ w and Σ w (logit − `max_logit`).
fn sums(logits: &[f32], weights: &[f32], max_logit: f32) -> (f32, f32) {
    // An excluded code's logit is −∞, and 0 · −∞ isn't a number.
    let product = |logit: f32, weight: f32| if weight > 0.0 { weight * (logit - max_logit) } else { 0.0 };
    let (logit_blocks, logits) = logits.as_chunks::<BLOCK>();
    let (weight_blocks, weights) = weights.as_chunks::<BLOCK>();
    let (mut totals, mut weighted) = ([0.0; BLOCK], [0.0; BLOCK]);
    for (logits, weights) in logit_blocks.iter().zip(weight_blocks) {
        totals = std::array::from_fn(|i| totals[i] + weights[i]);
        weighted = std::array::from_fn(|i| weighted[i] + product(logits[i], weights[i]));
    }
    let rest = logits.iter().zip(weights).map(|(&logit, &weight)| product(logit, weight));
    (totals.iter().chain(weights).sum(), weighted.into_iter().chain(rest).sum())
}

/// Sets logits to −∞ outside the k most probable codes, and outside the smallest set of those whose probabilities sum to
/// p.
fn mask_improbable(logits: &mut [f32], top_k: Option<usize>, top_p: Option<f64>) {
    if top_k.is_none() && top_p.is_none() {
        return;
    }
    let mut ranked: Vec<usize> = (0..logits.len()).collect();
    ranked.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    let mut kept = top_k.unwrap_or(ranked.len()).min(ranked.len());
    if let Some(top_p) = top_p {
        let max_logit = logits[ranked[0]];
        let weight = |code: usize| f64::from(logits[code] - max_logit).exp();
        let threshold = top_p * ranked[..kept].iter().map(|&code| weight(code)).sum::<f64>();
        let mut cumulative = 0.0;
        kept = ranked[..kept]
            .iter()
            .position(|&code| {
                cumulative += weight(code);
                cumulative >= threshold
            })
            .map_or(kept, |last| last + 1);
    }
    for &code in &ranked[kept..] {
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
