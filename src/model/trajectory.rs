//! The discrete diffusion: schedule, codebook, recurrent tokenization.
//!
//! ```text
//! x_t = alpha_t v + beta_t eps
//! z_0 = eps
//! C_t = argmin_k || x_t − z_{t−1} − e_k ||²
//! z_t = z_{t−1} + e[C_t]
//! ```
//!
//! Each step encodes the increment that is still missing. A step's quantization error is therefore corrected by the next
//! one, and z_T differs from v by the error of a single step. All of it is plain host memory: a latent has a few hundred
//! numbers.

/// The noise schedule s_0 … s_T, rising from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(Vec<f32>);

impl Schedule {
    /// Makes a schedule from `trajectory.schedule` of a valid configuration: T + 1 numbers.
    pub fn new(s: &[f64]) -> Self {
        Self(s.iter().map(|&s| s as f32).collect())
    }

    /// T, the number of steps.
    pub fn steps(&self) -> usize {
        self.0.len() - 1
    }

    /// alpha_t, the weight of the latent in x_t, for t in 0..=T.
    pub fn alpha(&self, t: usize) -> f32 {
        self.0[t]
    }

    /// beta_t, the weight of the noise in x_t, for t in 0..=T.
    pub fn beta(&self, t: usize) -> f32 {
        1.0 - self.0[t]
    }
}

/// The codebook e, shape (V, c).
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    vectors: Vec<f32>,
    channels: usize,
}

impl Codebook {
    /// Makes a codebook from V · `channels` numbers, vector by vector.
    pub fn new(vectors: Vec<f32>, channels: usize) -> Self {
        debug_assert!(channels > 0 && vectors.len().is_multiple_of(channels));
        Self { vectors, channels }
    }

    /// V, the number of codes.
    pub fn codes(&self) -> usize {
        self.vectors.len() / self.channels
    }

    /// c, the length of a vector.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The vector e_k of a code k below V.
    pub fn vector(&self, code: u32) -> &[f32] {
        let start = code as usize * self.channels;
        &self.vectors[start..start + self.channels]
    }

    /// All vectors: V · c numbers, vector by vector.
    pub fn vectors(&self) -> &[f32] {
        &self.vectors
    }

    /// The code whose vector is nearest to a point of c numbers; the lowest of several equally near ones.
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

    /// `z + e[C]`: adds the vectors of n codes to a running latent of n · c numbers.
    pub fn advance(&self, z: &mut [f32], codes: &[u32]) {
        for (z, &code) in z.chunks_exact_mut(self.channels).zip(codes) {
            for (z, e) in z.iter_mut().zip(self.vector(code)) {
                *z += e;
            }
        }
    }
}

/// Tokenizes a latent `v` recurrently from the noise `eps` (n · c numbers each).
///
/// Returns the token grids C_1 … C_T (n codes each) and the running latents z_1 … z_T (n · c numbers each).
pub fn tokenize(
    codebook: &Codebook,
    schedule: &Schedule,
    v: &[f32],
    eps: &[f32],
) -> (Vec<Vec<u32>>, Vec<Vec<f32>>) {
    debug_assert_eq!(v.len(), eps.len());
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

/// The spherical interpolation of two vectors at `weight` from 0 (the first) to 1. It keeps the length of Gaussian noise,
/// which a linear one shortens.
pub fn interpolate(first: &[f32], second: &[f32], weight: f64) -> Vec<f32> {
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let lengths = (dot(first, first) * dot(second, second)).sqrt();
    let angle = if lengths > 0.0 { (dot(first, second) / lengths).clamp(-1.0, 1.0).acos() } else { 0.0 };
    let sine = angle.sin();
    // Vectors of the same or of opposite directions have no arc between them.
    let (a, b) = match sine > 1e-6 {
        true => (((1.0 - weight) * angle).sin() / sine, (weight * angle).sin() / sine),
        false => (1.0 - weight, weight),
    };
    first.iter().zip(second).map(|(x, y)| (a * f64::from(*x) + b * f64::from(*y)) as f32).collect()
}
