//! The instructions of this processor that multiply bf16.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx::Amx;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512Bf16;
use super::packed::{PackedMatrix, Product};
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
use super::unavailable::Amx;
#[cfg(not(target_arch = "x86_64"))]
use super::unavailable::Avx512Bf16;

/// Instructions that multiply bf16 and sum f32. A value is evidence that this processor has them.
#[derive(Debug, Clone, Copy)]
pub enum Bf16Instructions {
    /// Vectors of 32 numbers.
    Avx512(Avx512Bf16),
    /// Tiles of 16 × 32 numbers.
    Amx(Amx),
}

impl Bf16Instructions {
    /// All that this processor and its operating system have, the fastest last.
    pub fn available() -> Vec<Self> {
        let Some(avx512) = Avx512Bf16::detect() else { return Vec::new() };
        let mut available = vec![Self::Avx512(avx512)];
        available.extend(Amx::detect(avx512).map(Self::Amx));
        available
    }

    /// The fastest of this processor; `None` if it has none.
    pub fn detect() -> Option<Self> {
        Self::available().pop()
    }

    /// Computes y = x W + b for each row.
    pub(super) fn multiply(self, matrix: &PackedMatrix, product: Product) {
        match self {
            Self::Avx512(avx512) => avx512.multiply(matrix, product),
            Self::Amx(amx) => amx.multiply(matrix, product),
        }
    }

    /// The instructions that round, which are the same for all products.
    pub(super) fn avx512(self) -> Avx512Bf16 {
        match self {
            Self::Avx512(avx512) => avx512,
            Self::Amx(amx) => amx.avx512(),
        }
    }
}
