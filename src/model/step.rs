//! What one sampling step did to one image.

use serde::{Deserialize, Serialize};

/// The codes that one step sampled for one image, with the distributions they came from.
///
/// Vectors have n = h·w entries, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The timestep t, 1..=T.
    pub step: usize,
    /// C_t: the sampled or given codes, each below V.
    pub tokens: Vec<u32>,
    /// Entropy of each position's distribution in bits, 0 to log2 V.
    pub entropy: Vec<f32>,
    /// Probability of each code under its position's distribution, 0 to 1; of a given code 0 if top-k, top-p or temperature 0
    /// exclude it. Where all codes are given there are no distributions: it is 1, and the entropy is 0.
    pub probability: Vec<f32>,
    /// The most probable codes of each position; `None` unless the sampler state records them.
    pub alternatives: Option<Alternatives>,
    /// Whether each code was given instead of drawn; empty if none was.
    pub given: Vec<bool>,
}

/// The most probable codes of each position: n · min([`Alternatives::COUNT`], V) entries, position by position, in
/// descending order of probability. The step's code may or may not be among them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Alternatives {
    /// Codes, each below V.
    pub codes: Vec<u32>,
    /// Probabilities, 0 to 1; 0 for codes that top-k, top-p or temperature 0 exclude.
    pub probabilities: Vec<f32>,
    /// Rank of the step's code at each position among all V codes, n entries: 1 for the most probable.
    pub ranks: Vec<u32>,
}

impl Alternatives {
    /// Number of codes recorded per position.
    pub const COUNT: usize = 4;

    /// Records the most probable codes of one position from its V logits (after top-k and top-p), and the rank of the code
    /// that the step takes there; `probability` converts a logit.
    pub(super) fn record(&mut self, logits: &[f32], taken: u32, probability: impl Fn(f32) -> f32) {
        // In descending order; of equal logits the lower code comes first.
        let mut best: Vec<u32> = Vec::with_capacity(Self::COUNT + 1);
        for code in 0..logits.len() as u32 {
            let logit = logits[code as usize];
            let rank = best.partition_point(|&other| logits[other as usize] >= logit);
            if rank < Self::COUNT {
                best.insert(rank, code);
                best.truncate(Self::COUNT);
            }
        }
        let logit = logits[taken as usize];
        let better =
            (0..).zip(logits).filter(|&(code, &other)| other > logit || (other == logit && code < taken));
        self.ranks.push(better.count() as u32 + 1);
        self.probabilities.extend(best.iter().map(|&code| probability(logits[code as usize])));
        self.codes.extend(best);
    }
}
