//! The linear layers of the transformer, in the precision that the user chose.

use candle_core::Result;
use candle_nn::VarBuilder;
use rten_gemm::GemmExecutor;

use super::bf16::{Avx512Bf16, Bf16Linear};
use super::linear::Linear;

/// How the transformer's layers compute their products.
#[derive(Debug, Clone, Copy)]
pub enum Arithmetic {
    F32,
    /// Products of bf16, sums in f32.
    Bf16(Avx512Bf16),
}

/// A linear layer y = x W + b.
pub(super) enum BlockLinear {
    F32(Linear),
    Bf16(Bf16Linear),
}

impl BlockLinear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(
        arithmetic: Arithmetic,
        gemm: &GemmExecutor,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        Ok(match arithmetic {
            Arithmetic::F32 => Self::F32(Linear::new(gemm, inputs, outputs, vb)?),
            Arithmetic::Bf16(instructions) => Self::Bf16(Bf16Linear::new(instructions, inputs, outputs, vb)?),
        })
    }

    /// x (m, inputs) to y (m, outputs). `rounded` is a reusable buffer.
    pub fn forward(
        &self,
        gemm: &GemmExecutor,
        x: &[f32],
        y: &mut [f32],
        rounded: &mut Vec<u32>,
    ) -> Result<()> {
        match self {
            Self::F32(layer) => layer.forward(gemm, x, y),
            Self::Bf16(layer) => {
                layer.forward(x, y, rounded);
                Ok(())
            }
        }
    }
}
