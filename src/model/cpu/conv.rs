//! 3 × 3 convolutions as matrix products, on pictures with channels last.

use candle_core::Result;
use candle_nn::VarBuilder;
use rten_gemm::GemmExecutor;

use super::linear::Linear;
use super::{room, weight};

/// Neighbours of a position, itself among them.
const TAPS: usize = 9;
/// Positions whose neighbourhoods are laid out at once: few enough to stay in the cache.
const ROWS: usize = 96;

/// A 3 × 3 convolution with a border of zeros.
pub(super) struct Conv3 {
    linear: Linear,
    inputs: usize,
    stride: usize,
}

/// How a convolution's output channels are laid out.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    AsTrained,
    /// For [`pixel_shuffle`]: first those of the top left pixel of four, then top right, bottom left, bottom right.
    ByPixel,
}

impl Conv3 {
    pub fn new(
        gemm: &GemmExecutor,
        inputs: usize,
        outputs: usize,
        stride: usize,
        order: Order,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let trained = weight(vb, (outputs, inputs, 3, 3), "weight")?;
        let bias = weight(vb, outputs, "bias")?;
        // PyTorch's pixel shuffle reads channel c of pixel p from c · 4 + p.
        let from = |output: usize| match order {
            Order::AsTrained => output,
            Order::ByPixel => output % (outputs / 4) * 4 + output / (outputs / 4),
        };
        let mut rows = vec![0.0; TAPS * inputs * outputs];
        for tap in 0..TAPS {
            for input in 0..inputs {
                for output in 0..outputs {
                    rows[(tap * inputs + input) * outputs + output] =
                        trained[(from(output) * inputs + input) * TAPS + tap];
                }
            }
        }
        let bias = (0..outputs).map(|output| bias[from(output)]).collect();
        Ok(Self { linear: Linear::from_rows(gemm, &rows, bias), inputs, stride })
    }

    /// A square picture x (size, size, inputs) to y (size / stride, size / stride, outputs), rounded up. `columns` is
    /// room to work in.
    pub fn forward(
        &self,
        gemm: &GemmExecutor,
        x: &[f32],
        size: usize,
        y: &mut [f32],
        columns: &mut Vec<f32>,
    ) -> Result<()> {
        let out = size.div_ceil(self.stride);
        let width = TAPS * self.inputs;
        for (number, y) in
            y[..out * out * self.linear.outputs].chunks_mut(ROWS * self.linear.outputs).enumerate()
        {
            let rows = y.len() / self.linear.outputs;
            let columns = room(columns, rows * width);
            for (row, column) in columns.chunks_exact_mut(width).enumerate() {
                let position = number * ROWS + row;
                self.neighbourhood(
                    x,
                    size,
                    position / out * self.stride,
                    position % out * self.stride,
                    column,
                );
            }
            self.linear.forward(gemm, columns, y)?;
        }
        Ok(())
    }

    /// The nine neighbours of a position, row by row; zeros beyond the border.
    fn neighbourhood(&self, x: &[f32], size: usize, row: usize, column: usize, out: &mut [f32]) {
        for (tap, out) in out.chunks_exact_mut(self.inputs).enumerate() {
            // One more than the neighbour's place, which may be −1.
            let (row, column) = (row + tap / 3, column + tap % 3);
            if (1..=size).contains(&row) && (1..=size).contains(&column) {
                let at = ((row - 1) * size + column - 1) * self.inputs;
                out.copy_from_slice(&x[at..at + self.inputs]);
            } else {
                out.fill(0.0);
            }
        }
    }
}

/// x (size, size, 4 · channels), [`Order::ByPixel`], to y (2 · size, 2 · size, channels).
pub(super) fn pixel_shuffle(x: &[f32], size: usize, y: &mut [f32]) {
    let channels = x.len() / (size * size * 4);
    for (position, x) in x.chunks_exact(4 * channels).enumerate() {
        let (row, column) = (position / size * 2, position % size * 2);
        for (pixel, x) in x.chunks_exact(channels).enumerate() {
            let at = ((row + pixel / 2) * 2 * size + column + pixel % 2) * channels;
            y[at..at + channels].copy_from_slice(x);
        }
    }
}

/// x (2 · size, 2 · size, channels) to (size, size, 4 · channels), as PyTorch lays them out.
pub(super) fn pixel_unshuffle(x: &[f32], size: usize, channels: usize) -> Vec<f32> {
    let mut y = Vec::with_capacity(x.len());
    for position in 0..size * size {
        let (row, column) = (position / size * 2, position % size * 2);
        for channel in 0..channels {
            for pixel in 0..4 {
                y.push(x[((row + pixel / 2) * 2 * size + column + pixel % 2) * channels + channel]);
            }
        }
    }
    y
}
