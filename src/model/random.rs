//! Random numbers: one ChaCha generator per image, seeded by (seed, image index), on the host.
//!
//! The generator yields eps first, then n · V uniforms for each step. The same request therefore gives the same tokens
//! whatever else is in the batch and however many images it asks for. candle's generators are per device and can't
//! guarantee that.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// What an image's generator is seeded by: the seed of a request and the image's index in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ImageSeed {
    pub seed: u64,
    pub index: u32,
}

impl ImageSeed {
    pub fn new(seed: u64, index: u32) -> Self {
        Self { seed, index }
    }

    pub(super) fn generator(self) -> ChaCha8Rng {
        generator(self.seed, self.index)
    }
}

/// The generator of image number `index` of a request with this seed.
pub fn generator(seed: u64, index: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(u64::from(index));
    generator
}

/// The generator of what the images of a request with this seed have in common. It is none of their own generators.
pub(super) fn request_generator(seed: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(u64::MAX);
    generator
}

/// Samples `len` standard Gaussian numbers. The first n · c numbers of an image's generator are its eps.
pub fn standard_normal(generator: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
    (0..len).map(|_| StandardNormal.sample(generator)).collect()
}

/// Fills a slice with uniforms of the open interval (0, 1). A step uses V of them per position, position by position.
///
/// The values are odd multiples of 2⁻²⁴, which f32 represents exactly: neither end of the interval occurs, so that
/// Gumbel noise is finite.
pub fn fill_uniform(generator: &mut ChaCha8Rng, uniforms: &mut [f32]) {
    uniforms.fill_with(|| {
        let bits: u32 = generator.random();
        ((bits >> 9) as f32 + 0.5) * (-23f32).exp2()
    });
}

/// Skips what [`fill_uniform`] would take for this number of uniforms.
pub(super) fn skip_uniform(generator: &mut ChaCha8Rng, count: usize) {
    // One word each.
    generator.set_word_pos(generator.get_word_pos() + count as u128);
}
