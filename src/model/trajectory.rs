//! The discrete diffusion: schedule, codebook, recurrent tokenization.
//!
//! ```text
//! x_t = alpha_t v + beta_t eps
//! z_0 = eps
//! C_t = argmin_k || x_t − z_{t−1} − e_k ||²
//! z_t = z_{t−1} + e[C_t]
//! ```
//!
//! Each step encodes the increment still missing, so a step's quantization error is input to the next one, and z_T is
//! off from v by one step's error only. All of it is plain host memory: a latent has a few hundred numbers, and the
//! sampler's draws are made on the host anyway.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// s_0 … s_T, rising from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<f32>);

impl Schedule {
    /// From a checked configuration's `trajectory.schedule`.
    pub fn new(s: &[f64]) -> Self {
        Self(s.iter().map(|&s| s as f32).collect())
    }

    /// T.
    pub fn steps(&self) -> usize {
        self.0.len() - 1
    }

    /// alpha_t, the image's share, t in 0..=T.
    pub fn alpha(&self, t: usize) -> f32 {
        self.0[t]
    }

    /// beta_t, the noise's share, t in 0..=T.
    pub fn beta(&self, t: usize) -> f32 {
        1.0 - self.0[t]
    }
}

/// The codebook e: V vectors of c numbers, one after the other.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    vectors: Vec<f32>,
    channels: usize,
}

impl Codebook {
    /// `vectors` has V · `channels` entries.
    pub fn new(vectors: Vec<f32>, channels: usize) -> Self {
        debug_assert!(channels > 0 && vectors.len().is_multiple_of(channels));
        Self { vectors, channels }
    }

    /// V.
    pub fn codes(&self) -> usize {
        self.vectors.len() / self.channels
    }

    /// c.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// e_k, for `code` below V.
    pub fn vector(&self, code: u32) -> &[f32] {
        let start = code as usize * self.channels;
        &self.vectors[start..start + self.channels]
    }

    /// All vectors, V · c numbers.
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// The code whose vector is nearest to a point of c numbers; of equally near ones the first.
    pub fn nearest(&self, point: &[f32]) -> u32 {
        let mut best = (f32::INFINITY, 0);
        for (code, vector) in (0u32..).zip(self.vectors.chunks_exact(self.channels)) {
            let distance = point.iter().zip(vector).map(|(p, e)| (p - e) * (p - e)).sum();
            if distance < best.0 {
                best = (distance, code);
            }
        }
        best.1
    }

    /// `z + e[C]`: adds each position's vector to the running latent (n · c numbers).
    pub fn advance(&self, z: &mut [f32], codes: &[u32]) {
        for (z, &code) in z.chunks_exact_mut(self.channels).zip(codes) {
            for (z, e) in z.iter_mut().zip(self.vector(code)) {
                *z += e;
            }
        }
    }
}

/// Recurrent tokenization of a latent `v` from noise `eps` (n · c numbers each): the code grids C_1 … C_T, n codes each,
/// and the running latents z_1 … z_T.
pub fn tokenize(
    codebook: &Codebook,
    schedule: &Schedule,
    v: &[f32],
    eps: &[f32],
) -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
    let mut z = eps.to_vec();
    let mut increment = vec![0.0; z.len()];
    let (mut grids, mut latents) = (Vec::new(), Vec::new());
    for t in 1..=schedule.steps() {
        let (alpha, beta) = (schedule.alpha(t), schedule.beta(t));
        for (i, increment) in increment.iter_mut().enumerate() {
            *increment = alpha * v[i] + beta * eps[i] - z[i];
        }
        let codes: Vec<u32> =
            increment.chunks_exact(codebook.channels()).map(|point| codebook.nearest(point)).collect();
        codebook.advance(&mut z, &codes);
        grids.push(codes);
        latents.push(z.clone());
    }
    (grids, latents)
}

/// The generator of image number `index` of a request with this seed: what else is in a batch, and how many images the
/// request asks for, changes nothing.
pub fn generator(seed: u64, index: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(u64::from(index));
    generator
}

/// eps: `len` standard Gaussian numbers, the first that a generator yields.
pub fn noise(generator: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| StandardNormal.sample(generator)).collect()
}
