//! Linear layers in the precision that the user chose.

use candle_core::Result;
use candle_nn::VarBuilder;
use rten_gemm::GemmExecutor;
use rten_simd::SimdUnaryOp;
use rten_vecmath::Silu;

use super::bf16::{Bf16Instructions, Bf16Linear};
use super::f32_linear::F32Linear;

/// How the transformer's layers and the decoder's convolutions compute their products.
#[derive(Debug, Clone, Copy)]
pub enum Arithmetic {
    F32,
    /// Products of bf16, sums in f32.
    Bf16(Bf16Instructions),
}

/// A linear layer y = x W + b.
pub(super) enum Linear {
    F32(F32Linear),
    Bf16(Bf16Linear),
}

impl Linear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(
        arithmetic: Arithmetic,
        gemm: &GemmExecutor,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        Ok(match arithmetic {
            Arithmetic::F32 => Self::F32(F32Linear::new(gemm, inputs, outputs, vb)?),
            Arithmetic::Bf16(instructions) => Self::Bf16(Bf16Linear::new(instructions, inputs, outputs, vb)?),
        })
    }

    /// Makes a layer from weights (outputs, inputs) and a bias (outputs).
    pub fn from_values(arithmetic: Arithmetic, gemm: &GemmExecutor, weights: &[f32], bias: Vec<f32>) -> Self {
        match arithmetic {
            Arithmetic::F32 => Self::F32(F32Linear::from_values(gemm, weights, bias)),
            Arithmetic::Bf16(instructions) => {
                Self::Bf16(Bf16Linear::from_values(instructions, weights, &bias))
            }
        }
    }

    /// x (m, inputs) to y (m, outputs). `rounded` is a reusable buffer.
    pub fn forward(
        &self,
        gemm: &GemmExecutor,
        x: &[f32],
        y: &mut [f32],
        rounded: &mut Vec<u16>,
    ) -> Result<()> {
        match self {
            Self::F32(layer) => layer.forward(gemm, x, y),
            Self::Bf16(layer) => {
                layer.forward(x, y, rounded);
                Ok(())
            }
        }
    }

    /// silu(x) W + b: x (m, inputs), which may be overwritten, to y (m, outputs). `rounded` is a reusable buffer.
    pub fn forward_silu(
        &self,
        gemm: &GemmExecutor,
        x: &mut [f32],
        y: &mut [f32],
        rounded: &mut Vec<u16>,
    ) -> Result<()> {
        match self {
            Self::F32(layer) => {
                Silu {}.map_mut(x);
                layer.forward(gemm, x, y)
            }
            Self::Bf16(layer) => {
                layer.forward_silu(x, y, rounded);
                Ok(())
            }
        }
    }
}
