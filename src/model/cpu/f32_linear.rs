//! Linear layers and matrix products in f32.

use candle_core::{Error, Result};
use candle_nn::VarBuilder;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use crate::model::weights::load_values;

/// A linear layer y = x W + b, with W packed for this CPU.
pub(super) struct F32Linear {
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl F32Linear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(gemm: &GemmExecutor, inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs), "weight")?;
        Ok(Self::from_values(gemm, &weights, load_values(vb, outputs, "bias")?))
    }

    /// Makes a layer from weights (outputs, inputs) and a bias (outputs).
    pub fn from_values(gemm: &GemmExecutor, weights: &[f32], bias: Vec<f32>) -> Self {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        let weights = NdTensorView::from_data([outputs, inputs], weights);
        Self { weights: gemm.prepack_b(weights.transposed()), bias, inputs, outputs }
    }

    /// The bias, for callers of [`Self::add_to`].
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// x (m, inputs) to y (m, outputs).
    pub fn forward(&self, gemm: &GemmExecutor, x: &[f32], y: &mut [f32]) -> Result<()> {
        let bias = Some(BiasVector::Row(&self.bias));
        self.multiply(gemm, x, y, GemmOptions { bias, ..Default::default() })
    }

    /// x (m, inputs) to a new y (m, outputs).
    pub fn apply(&self, gemm: &GemmExecutor, x: &[f32]) -> Result<Vec<f32>> {
        let mut y = vec![0.0; x.len() / self.inputs * self.outputs];
        self.forward(gemm, x, &mut y)?;
        Ok(y)
    }

    /// Adds x W, without the bias, to y: x (m, inputs), y (m, outputs).
    pub fn add_to(&self, gemm: &GemmExecutor, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.multiply(gemm, x, y, GemmOptions { beta: 1.0, ..Default::default() })
    }

    fn multiply(
        &self,
        gemm: &GemmExecutor,
        x: &[f32],
        y: &mut [f32],
        options: GemmOptions<f32, f32, f32>,
    ) -> Result<()> {
        let x = NdTensorView::from_data([x.len() / self.inputs, self.inputs], x);
        gemm.gemm(y, GemmInputA::Unpacked(x), GemmInputB::Packed(&self.weights), options).map_err(Error::wrap)
    }
}

/// A view of the matrix (rows, columns) whose rows begin `stride` numbers apart.
pub(super) fn matrix_view(
    data: &[f32],
    rows: usize,
    columns: usize,
    stride: usize,
) -> Result<NdTensorView<'_, f32, 2>> {
    NdTensorView::from_data_with_strides([rows, columns], &data[..(rows - 1) * stride + columns], [stride, 1])
        .map_err(Error::wrap)
}

/// out = alpha · a b: a (m, k), b (k, n), out (m, n).
pub(super) fn matmul(
    gemm: &GemmExecutor,
    a: NdTensorView<f32, 2>,
    b: NdTensorView<f32, 2>,
    alpha: f32,
    out: &mut [f32],
) -> Result<()> {
    let options = GemmOptions { alpha, ..Default::default() };
    gemm.gemm(out, GemmInputA::Unpacked(a), GemmInputB::Unpacked(b), options).map_err(Error::wrap)
}
