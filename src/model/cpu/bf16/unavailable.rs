//! In place of instructions that the target can't have: types without values.

use super::packed::{PackedMatrix, Product};

/// AVX512-BF16.
#[derive(Debug, Clone, Copy)]
pub enum Avx512Bf16 {}

impl Avx512Bf16 {
    pub fn detect() -> Option<Self> {
        None
    }

    pub fn round(self, _: &[f32], _: &mut [u16]) {
        match self {}
    }

    pub fn round_silu(self, _: &[f32], _: &mut [u16]) {
        match self {}
    }

    pub(super) fn set_transposed(self, _: &mut PackedMatrix, _: &[u16], _: usize, _: usize, _: usize) {
        match self {}
    }

    pub(super) fn multiply(self, _: &PackedMatrix, _: Product) {
        match self {}
    }
}

/// AMX for bf16.
#[derive(Debug, Clone, Copy)]
pub enum Amx {}

impl Amx {
    pub fn detect<T>(_: T) -> Option<Self> {
        None
    }

    pub fn avx512<T>(self) -> T {
        match self {}
    }

    pub(super) fn multiply(self, _: &PackedMatrix, _: Product) {
        match self {}
    }
}
