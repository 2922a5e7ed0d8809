//! Matrix products with packed weights.

use candle_core::{Error, Result};
use candle_nn::VarBuilder;
use rten_gemm::{BiasVector, GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use super::weight;

/// y = x W + b, W and b packed for this CPU.
pub(super) struct Linear {
    weights: PackedBMatrix<f32>,
    bias: Vec<f32>,
    inputs: usize,
    pub outputs: usize,
}

impl Linear {
    /// From a `candle_nn::linear` of these sizes.
    pub fn new(gemm: &GemmExecutor, inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Self> {
        let weights = weight(vb, (outputs, inputs), "weight")?;
        let weights = NdTensorView::from_data([outputs, inputs], weights.as_slice());
        let weights = gemm.prepack_b(weights.transposed());
        Ok(Self { weights, bias: weight(vb, outputs, "bias")?, inputs, outputs })
    }

    /// From `weights`, a row of `bias.len()` numbers for each input.
    pub fn from_rows(gemm: &GemmExecutor, weights: &[f32], bias: Vec<f32>) -> Self {
        let (outputs, inputs) = (bias.len(), weights.len() / bias.len());
        let weights = gemm.prepack_b(NdTensorView::from_data([inputs, outputs], weights));
        Self { weights, bias, inputs, outputs }
    }

    /// The bias, for those who add it themselves.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// x (m, inputs) to y (m, outputs).
    pub fn forward(&self, gemm: &GemmExecutor, x: &[f32], y: &mut [f32]) -> Result<()> {
        let bias = Some(BiasVector::Row(&self.bias));
        self.product(gemm, x, y, GemmOptions { bias, ..Default::default() })
    }

    /// Adds x W, without the bias, to y.
    pub fn add_to(&self, gemm: &GemmExecutor, x: &[f32], y: &mut [f32]) -> Result<()> {
        self.product(gemm, x, y, GemmOptions { beta: 1.0, ..Default::default() })
    }

    fn product(
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

/// A matrix inside a larger one: `rows` × `columns` numbers, rows `stride` apart.
pub(super) fn view(
    data: &[f32],
    rows: usize,
    columns: usize,
    stride: usize,
) -> Result<NdTensorView<'_, f32, 2>> {
    NdTensorView::from_data_with_strides([rows, columns], &data[..(rows - 1) * stride + columns], [stride, 1])
        .map_err(Error::wrap)
}

/// out = alpha · a b.
pub(super) fn product(
    gemm: &GemmExecutor,
    a: NdTensorView<f32, 2>,
    b: NdTensorView<f32, 2>,
    alpha: f32,
    out: &mut [f32],
) -> Result<()> {
    let options = GemmOptions { alpha, ..Default::default() };
    gemm.gemm(out, GemmInputA::Unpacked(a), GemmInputB::Unpacked(b), options).map_err(Error::wrap)
}
