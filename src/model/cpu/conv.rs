//! 3 × 3 convolutions as matrix products (im2col), on images with channels last.

use candle_core::Result;
use candle_nn::VarBuilder;
use rten_gemm::GemmExecutor;

use super::buffers::scratch;
use super::linear::Linear;
use crate::model::weights::load_values;

/// Positions that a kernel covers.
const TAPS: usize = 9;
/// Positions per matrix product: few enough for their im2col rows to stay in the cache.
const TILE_POSITIONS: usize = 96;

/// A 3 × 3 convolution with zero padding of 1.
pub(super) struct Conv3 {
    linear: Linear,
    inputs: usize,
    stride: usize,
}

/// The order of a convolution's output channels.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum OutputLayout {
    /// PyTorch's order.
    ChannelMajor,
    /// The order that [`pixel_shuffle`] reads: all channels of the top left pixel of four, then of the top right, bottom
    /// left and bottom right one.
    PixelMajor,
}

impl Conv3 {
    pub fn new(
        gemm: &GemmExecutor,
        inputs: usize,
        outputs: usize,
        stride: usize,
        layout: OutputLayout,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs, 3, 3), "weight")?;
        let bias = load_values(vb, outputs, "bias")?;
        // In PyTorch's order, channel c of pixel p is c · 4 + p.
        let source = |output: usize| match layout {
            OutputLayout::ChannelMajor => output,
            OutputLayout::PixelMajor => output % (outputs / 4) * 4 + output / (outputs / 4),
        };
        let mut rows = vec![0.0; TAPS * inputs * outputs];
        for tap in 0..TAPS {
            for input in 0..inputs {
                for output in 0..outputs {
                    rows[(tap * inputs + input) * outputs + output] =
                        weights[(source(output) * inputs + input) * TAPS + tap];
                }
            }
        }
        let bias = (0..outputs).map(|output| bias[source(output)]).collect();
        Ok(Self { linear: Linear::from_rows(gemm, &rows, bias), inputs, stride })
    }

    /// An image x (size, size, inputs) to y (size / stride, size / stride, outputs), rounded up. `columns` is a reusable
    /// buffer.
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
        for (tile, y) in
            y[..out * out * self.linear.outputs].chunks_mut(TILE_POSITIONS * self.linear.outputs).enumerate()
        {
            let rows = y.len() / self.linear.outputs;
            let columns = scratch(columns, rows * width);
            for (row, out_row) in columns.chunks_exact_mut(width).enumerate() {
                let position = tile * TILE_POSITIONS + row;
                self.im2col_row(x, size, position / out * self.stride, position % out * self.stride, out_row);
            }
            self.linear.forward(gemm, columns, y)?;
        }
        Ok(())
    }

    /// Copies the inputs that the kernel covers at a position to `out`, (9, inputs); zeros beyond the border.
    fn im2col_row(&self, x: &[f32], size: usize, row: usize, column: usize, out: &mut [f32]) {
        for (tap, out) in out.chunks_exact_mut(self.inputs).enumerate() {
            // One more than the input's row and column, which may be −1.
            let (row, column) = (row + tap / 3, column + tap % 3);
            if (1..=size).contains(&row) && (1..=size).contains(&column) {
                let start = ((row - 1) * size + column - 1) * self.inputs;
                out.copy_from_slice(&x[start..start + self.inputs]);
            } else {
                out.fill(0.0);
            }
        }
    }
}

/// x (size, size, 4 · channels), in the order [`OutputLayout::PixelMajor`], to y (2 · size, 2 · size, channels).
pub(super) fn pixel_shuffle(x: &[f32], size: usize, y: &mut [f32]) {
    let channels = x.len() / (size * size * 4);
    for (position, x) in x.chunks_exact(4 * channels).enumerate() {
        let (row, column) = (position / size * 2, position % size * 2);
        for (pixel, x) in x.chunks_exact(channels).enumerate() {
            let start = ((row + pixel / 2) * 2 * size + column + pixel % 2) * channels;
            y[start..start + channels].copy_from_slice(x);
        }
    }
}

/// What an encoder's first convolution sees of an image (size, size, channels): (half, half, 4 · channels), where half is
/// size / `reduction` / 2. `reduction` is the side of the squares of pixels whose means the encoder sees.
pub fn encoder_input(image: &[f32], size: usize, channels: usize, reduction: usize) -> Vec<f32> {
    let half = size / reduction / 2;
    if reduction > 1 {
        return pixel_unshuffle(&average_pool(image, size / reduction, channels, reduction), half, channels);
    }
    pixel_unshuffle(image, half, channels)
}

/// x (2 · size, 2 · size, channels) to (size, size, 4 · channels), in PyTorch's order (channel-major).
fn pixel_unshuffle(x: &[f32], size: usize, channels: usize) -> Vec<f32> {
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

/// x (side · size, side · size, channels) to (size, size, channels): the means of squares of side × side pixels.
fn average_pool(x: &[f32], size: usize, channels: usize, side: usize) -> Vec<f32> {
    let mut y = vec![0.0; size * size * channels];
    for (row, x) in x.chunks_exact(side * size * channels).enumerate() {
        for (column, x) in x.chunks_exact(channels).enumerate() {
            let start = (row / side * size + column / side) * channels;
            for (y, x) in y[start..start + channels].iter_mut().zip(x) {
                *y += x;
            }
        }
    }
    let scale = 1.0 / (side * side) as f32;
    y.iter_mut().for_each(|y| *y *= scale);
    y
}
