//! Matrices in the order in which the products read them.

/// Numbers of 32 bits in a vector register.
pub(super) const VECTOR: usize = 16;
/// Vectors of outputs that are summed together.
pub(super) const PANEL_VECTORS: usize = 4;
/// Outputs that are summed together.
pub(super) const PANEL: usize = PANEL_VECTORS * VECTOR;
/// Inputs are padded with zeros to a multiple of this: the inputs in a row of a tile.
pub(super) const INPUT_BLOCK: usize = 32;

/// A vector register's contents in memory.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Vector<T>(pub [T; VECTOR]);

/// The weights of a panel for two successive inputs: in the lower and upper half of each number.
pub(super) type WeightPairs = [Vector<u32>; PANEL_VECTORS];

const NO_WEIGHTS: WeightPairs = [Vector([0; VECTOR]); PANEL_VECTORS];

/// A matrix W (inputs, outputs) of bf16, and a bias (outputs).
#[derive(Default)]
pub(super) struct PackedMatrix {
    /// For each panel of outputs, for each pair of inputs. Outputs and inputs beyond the last have zeros.
    pub weights: Vec<WeightPairs>,
    /// For each panel of outputs.
    pub bias: Vec<[Vector<f32>; PANEL_VECTORS]>,
    pub inputs: usize,
    pub outputs: usize,
}

/// y = x W + b: rows of x begin `x_stride` numbers apart and are as long as W's padded inputs; rows of y begin `y_stride`
/// numbers apart.
pub(super) struct Product<'a> {
    pub rows: usize,
    pub x: &'a [u16],
    pub x_stride: usize,
    pub y: &'a mut [f32],
    pub y_stride: usize,
}

impl Product<'_> {
    /// `rows` rows from number `first` on, with the outputs from number `column` on.
    pub fn part(&mut self, first: usize, rows: usize, column: usize) -> Product<'_> {
        Product {
            rows,
            x: &self.x[first * self.x_stride..],
            x_stride: self.x_stride,
            y: &mut self.y[first * self.y_stride + column..],
            y_stride: self.y_stride,
        }
    }
}

impl PackedMatrix {
    /// Sets the bias (outputs) of a matrix that has its weights.
    pub fn set_bias(&mut self, bias: &[f32]) {
        for (output, bias) in bias.iter().enumerate() {
            self.bias[output / PANEL][output % PANEL / VECTOR].0[output % VECTOR] = *bias;
        }
    }

    /// Length of a row of inputs: the inputs and zeros.
    pub fn padded_inputs(&self) -> usize {
        self.inputs.next_multiple_of(INPUT_BLOCK)
    }

    /// Pairs of inputs, with those of the padding.
    fn pairs(&self) -> usize {
        self.padded_inputs() / 2
    }

    /// The weights and the bias of each panel.
    pub fn panels(&self) -> impl Iterator<Item = (&[WeightPairs], &[Vector<f32>; PANEL_VECTORS])> {
        self.weights.chunks_exact(self.pairs()).zip(&self.bias)
    }

    /// Makes it a matrix (inputs, outputs) whose rows begin `stride` numbers apart, without a bias.
    pub fn set(&mut self, matrix: &[u16], stride: usize, inputs: usize, outputs: usize) {
        self.clear(inputs, outputs);
        let pairs = self.pairs();
        let row = |input: usize| &matrix[input * stride..][..outputs];
        let zeros = vec![0; outputs];
        for pair in 0..inputs.div_ceil(2) {
            let first = row(2 * pair);
            let second = if 2 * pair + 1 < inputs { row(2 * pair + 1) } else { &zeros };
            for (number, (first, second)) in first.chunks(VECTOR).zip(second.chunks(VECTOR)).enumerate() {
                let panel = number / PANEL_VECTORS * pairs;
                let weights = &mut self.weights[panel + pair][number % PANEL_VECTORS].0;
                for ((weight, first), second) in weights.iter_mut().zip(first).zip(second) {
                    *weight = join(*first, *second);
                }
            }
        }
    }

    /// Makes it zeros of this shape.
    pub fn clear(&mut self, inputs: usize, outputs: usize) {
        (self.inputs, self.outputs) = (inputs, outputs);
        let panels = outputs.div_ceil(PANEL);
        self.weights.clear();
        self.weights.resize(panels * self.pairs(), NO_WEIGHTS);
        self.bias.clear();
        self.bias.resize(panels, [Vector([0.0; VECTOR]); PANEL_VECTORS]);
    }
}

/// Two bf16 in one number, the first in the lower half.
fn join(first: u16, second: u16) -> u32 {
    u32::from(first) | u32::from(second) << 16
}
