//! 3 × 3 convolutions as matrix products (im2col), on images with channels last.

use candle_core::Result;
use candle_nn::VarBuilder;
use rayon::prelude::*;
use rten_gemm::GemmExecutor;

use super::buffers::{BufferPool, scratch};
use super::linear::{Arithmetic, Linear};
use crate::model::weights::load_values;

/// Width and height of a kernel.
const SIDE: usize = 3;
/// Positions that a kernel covers.
const TAPS: usize = SIDE * SIDE;
/// Positions per matrix product: few enough for their im2col rows to stay in the cache.
const TILE_POSITIONS: usize = 96;
/// The least number of positions of a product where threads share an image.
const MIN_TILE_POSITIONS: usize = 16;

/// A 3 × 3 convolution with zero padding of 1.
pub(super) struct Conv3 {
    /// From the inputs that the kernel covers at a position, (9, inputs), to the outputs there.
    kernel: Linear,
    inputs: usize,
    outputs: usize,
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

/// Reusable memory of a convolution.
#[derive(Default)]
pub(super) struct ConvBuffers {
    /// Number of threads that share an image; 0 and 1 both mean one.
    pub threads: usize,
    columns: BufferPool<Vec<f32>>,
    /// The image in bf16.
    rounded: Vec<u16>,
    rounded_columns: BufferPool<Vec<u16>>,
}

/// The image of a convolution, and how its positions are divided.
struct Tiles<'x, T> {
    /// (size, size, inputs)
    x: &'x [T],
    size: usize,
    /// Numbers of a position's row in a matrix product.
    width: usize,
    threads: usize,
}

impl Conv3 {
    pub fn new(
        arithmetic: Arithmetic,
        gemm: &GemmExecutor,
        inputs: usize,
        outputs: usize,
        stride: usize,
        layout: OutputLayout,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs, SIDE, SIDE), "weight")?;
        let bias = load_values(vb, outputs, "bias")?;
        // In PyTorch's order, channel c of pixel p is c · 4 + p.
        let source = |output: usize| match layout {
            OutputLayout::ChannelMajor => output,
            OutputLayout::PixelMajor => output % (outputs / 4) * 4 + output / (outputs / 4),
        };
        let mut rows = Vec::with_capacity(weights.len());
        for output in 0..outputs {
            let weights = &weights[source(output) * inputs * TAPS..][..inputs * TAPS];
            for tap in 0..TAPS {
                rows.extend((0..inputs).map(|input| weights[input * TAPS + tap]));
            }
        }
        let bias = (0..outputs).map(|output| bias[source(output)]).collect();
        Ok(Self { kernel: Linear::from_values(arithmetic, gemm, &rows, bias), inputs, outputs, stride })
    }

    /// An image x (size, size, inputs) to y (size / stride, size / stride, outputs), rounded up.
    pub fn forward(
        &self,
        gemm: &GemmExecutor,
        x: &[f32],
        size: usize,
        y: &mut [f32],
        buffers: &mut ConvBuffers,
    ) -> Result<()> {
        match &self.kernel {
            Linear::F32(kernel) => {
                let width = TAPS * self.inputs;
                let tiles = Tiles { x, size, width, threads: buffers.threads };
                self.for_each_tile(tiles, y, &buffers.columns, |columns, y| kernel.forward(gemm, columns, y))
            }
            Linear::Bf16(kernel) => {
                let rounded = scratch(&mut buffers.rounded, x.len());
                kernel.round(x, rounded);
                let width = kernel.row_stride();
                let tiles = Tiles { x: rounded, size, width, threads: buffers.threads };
                self.for_each_tile(tiles, y, &buffers.rounded_columns, |columns, y| {
                    kernel.forward_rounded(columns, y);
                    Ok(())
                })
            }
        }
    }

    /// Calls `multiply` for each tile of positions, with the inputs that the kernel covers there, (positions, width), and the
    /// tile of y, (positions, outputs).
    fn for_each_tile<T: Copy + Default + Send + Sync>(
        &self,
        Tiles { x, size, width, threads }: Tiles<T>,
        y: &mut [f32],
        columns: &BufferPool<Vec<T>>,
        multiply: impl Fn(&[T], &mut [f32]) -> Result<()> + Sync,
    ) -> Result<()> {
        let out = size.div_ceil(self.stride);
        let share = (out * out).div_ceil(threads.max(1)).max(MIN_TILE_POSITIONS);
        let positions = TILE_POSITIONS.min(share);
        let compute = |(tile, y): (usize, &mut [f32])| {
            columns.with(|columns| {
                let columns = scratch(columns, y.len() / self.outputs * width);
                for (row, out_row) in columns.chunks_exact_mut(width).enumerate() {
                    let position = tile * positions + row;
                    let (row, column) = (position / out * self.stride, position % out * self.stride);
                    self.im2col_row(x, size, row, column, out_row);
                }
                multiply(columns, y)
            })
        };
        let y = &mut y[..out * out * self.outputs];
        match threads {
            0 | 1 => y.chunks_mut(positions * self.outputs).enumerate().try_for_each(compute),
            _ => y.par_chunks_mut(positions * self.outputs).enumerate().try_for_each(compute),
        }
    }

    /// Copies the inputs that the kernel covers at a position to `out`, (9, inputs); zeros beyond the border and after them.
    fn im2col_row<T: Copy + Default>(&self, x: &[T], size: usize, row: usize, column: usize, out: &mut [T]) {
        let width = SIDE * self.inputs;
        let (covered, padding) = out.split_at_mut(SIDE * width);
        for (kernel_row, out) in covered.chunks_exact_mut(width).enumerate() {
            // One more than the image's row, which may be −1.
            let row = row + kernel_row;
            if !(1..=size).contains(&row) {
                out.fill(T::default());
                continue;
            }
            // Of the columns from `column` − 1 to `column` + 1, those inside of the image.
            let (first, end) = (column.saturating_sub(1), size.min(column + 2));
            let (before, count) = ((first + 1 - column) * self.inputs, (end - first) * self.inputs);
            out[..before].fill(T::default());
            let start = ((row - 1) * size + first) * self.inputs;
            out[before..][..count].copy_from_slice(&x[start..][..count]);
            out[before + count..].fill(T::default());
        }
        padding.fill(T::default());
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
