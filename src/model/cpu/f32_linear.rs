//! Linear layers and matrix products.

use candle_core::{Error, Result};
use candle_nn::VarBuilder;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use crate::model::weights::load_values;

/// A linear layer y = x W + b, with W packed for this CPU.
pub(super) struct Linear {
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
    inputs: usize,
    pub outputs: usize,
}

impl Linear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(gemm: &GemmExecutor, inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs), "weight")?;
        let weights = NdTensorView::from_data([outputs, inputs], weights.as_slice());
        let weights = gemm.prepack_b(weights.transposed());
        Ok(Self { weights, bias: load_values(vb, outputs, "bias")?, inputs, outputs })
    }

    /// Makes a layer from weights (inputs, outputs) and a bias (outputs).
    pub fn from_rows(gemm: &GemmExecutor, weights: &[f32], bias: Vec<f32>) -> Self {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        let weights = gemm.prepack_b(NdTensorView::from_data([inputs, outputs], weights));
        Self { weights, bias, inputs, outputs }
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
