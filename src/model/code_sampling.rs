//! Samples one code from the logits of one position, on the host.
//!
//! Temperature, top-k, top-p, then Gumbel-max: the code with the largest logit + Gumbel noise is a sample of the softmax.
//! `device_sampling` does the same in tensors for a whole batch.

use super::sampling_settings::SamplingSettings;

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
/// those that were sampled from: divided by the temperature, −∞ for codes that top-k or top-p exclude.
pub fn sample_code(logits: &mut [f32], settings: &SamplingSettings, uniforms: &[f32]) -> SampledCode {
    debug_assert_eq!(logits.len(), uniforms.len());
    if settings.is_greedy() {
        let code = argmax(logits.iter().copied());
        let max_logit = logits[code as usize];
        return SampledCode { code, entropy: 0.0, probability: 1.0, max_logit, total_weight: None };
    }
    let inverse = (1.0 / settings.temperature()) as f32;
    logits.iter_mut().for_each(|logit| *logit *= inverse);
    mask_improbable(logits, settings.top_k(), settings.top_p());

    let max_logit = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let (mut total, mut weighted) = (0.0, 0.0);
    let mut first = (f32::INFINITY, 0);
    for ((code, &logit), u) in (0u32..).zip(logits.iter()).zip(uniforms) {
        if logit == f32::NEG_INFINITY {
            continue;
        }
        let weight = (logit - max_logit).exp();
        total += weight;
        weighted += weight * (logit - max_logit);
        // −ln u ≥ 1 − u, so most codes can't be the first and need no logarithm. The factor covers rounding.
        if (1.0 - u) * 0.9999 >= first.0 * weight {
            continue;
        }
        // argmax of logit − ln(−ln u) is argmin of −ln u / exp(logit): the first arrival of exponential clocks.
        let arrival = -u.ln() / weight;
        if arrival < first.0 {
            first = (arrival, code);
        }
    }
    let code = first.1;
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
