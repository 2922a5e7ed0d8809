//! Linear layers.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::instructions::Bf16Instructions;
use super::packed::{INPUT_BLOCK, PackedMatrix, Product};
use super::rounding::round_to_bf16;
use crate::model::cpu::buffers::scratch;
use crate::model::weights::load_values;

/// A linear layer y = x W + b, with x and W rounded to bf16 and sums in f32.
pub(in crate::model::cpu) struct Bf16Linear {
    instructions: Bf16Instructions,
    weights: PackedMatrix,
}

impl Bf16Linear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(
        instructions: Bf16Instructions,
        inputs: usize,
        outputs: usize,
        vb: &VarBuilder,
    ) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs), "weight")?;
        Ok(Self::from_values(instructions, &weights, &load_values(vb, outputs, "bias")?))
    }

    /// Makes a layer from weights (outputs, inputs) and a bias (outputs).
    pub fn from_values(instructions: Bf16Instructions, weights: &[f32], bias: &[f32]) -> Self {
        let outputs = bias.len();
        let inputs = weights.len() / outputs;
        // One number more than the weights, as `set_transposed` requires.
        let weights: Vec<u16> = weights.iter().copied().map(round_to_bf16).chain([0]).collect();
        let mut packed = PackedMatrix::default();
        instructions.avx512().set_transposed(&mut packed, &weights, inputs, inputs, outputs);
        packed.set_bias(bias);
        Self { instructions, weights: packed }
    }

    /// Numbers from the begin of a row of rounded inputs to that of the next: the inputs, zeros up to the padded inputs, and
    /// numbers that aren't read. Without these, rows that begin a power of two apart would share few places of the cache.
    pub fn row_stride(&self) -> usize {
        self.weights.padded_inputs() + INPUT_BLOCK
    }

    /// x (m, inputs) to y (m, outputs). `rounded` is a reusable buffer.
    pub fn forward(&self, x: &[f32], y: &mut [f32], rounded: &mut Vec<u16>) {
        self.forward_with(x, y, rounded, |x, rounded| self.round(x, rounded));
    }

    /// silu(x) W + b: x (m, inputs) to y (m, outputs). `rounded` is a reusable buffer.
    pub fn forward_silu(&self, x: &[f32], y: &mut [f32], rounded: &mut Vec<u16>) {
        self.forward_with(x, y, rounded, |x, rounded| self.instructions.avx512().round_silu(x, rounded));
    }

    /// As `forward`, with the inputs that `round` makes of each row of x.
    fn forward_with(
        &self,
        x: &[f32],
        y: &mut [f32],
        rounded: &mut Vec<u16>,
        round: impl Fn(&[f32], &mut [u16]),
    ) {
        let (inputs, stride) = (self.weights.inputs, self.row_stride());
        let rounded = scratch(rounded, x.len() / inputs * stride);
        for (x, rounded) in x.chunks_exact(inputs).zip(rounded.chunks_exact_mut(stride)) {
            let (values, rest) = rounded.split_at_mut(inputs);
            round(x, values);
            rest.fill(0);
        }
        self.forward_rounded(rounded, y);
    }

    /// Rounds x to bf16. `out` is as long.
    pub fn round(&self, x: &[f32], out: &mut [u16]) {
        self.instructions.avx512().round(x, out);
    }

    /// Rows of rounded inputs, (m, row stride), to y (m, outputs).
    pub fn forward_rounded(&self, x: &[u16], y: &mut [f32]) {
        let (x_stride, y_stride) = (self.row_stride(), self.weights.outputs);
        let rows = x.len() / x_stride;
        self.instructions.multiply(&self.weights, Product { rows, x, x_stride, y, y_stride });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in −1..1 without a pattern.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(next).take(count).collect()
    }

    fn bf16(x: f32) -> f64 {
        f64::from(f32::from_bits(u32::from(round_to_bf16(x)) << 16))
    }

    /// The available instructions, with a message if there are none.
    fn available() -> Vec<Bf16Instructions> {
        let available = Bf16Instructions::available();
        if available.is_empty() {
            eprintln!("skipped: this processor multiplies no bf16");
        }
        available
    }

    #[test]
    fn products_agree_with_plain_ones_for_all_shapes() {
        for instructions in available() {
            for (rows, inputs, outputs) in [
                (1, 1, 1),
                (1, 2, 16),
                (2, 3, 17),
                (3, 31, 63),
                (4, 32, 64),
                (5, 33, 65),
                (6, 63, 127),
                (7, 64, 128),
                (11, 65, 100),
                (13, 97, 48),
                (16, 64, 40),
                (31, 64, 31),
                (32, 32, 33),
                (33, 96, 97),
                (47, 100, 64),
                (49, 192, 576),
                (98, 768, 192),
            ] {
                products_agree_with_plain_ones(instructions, rows, inputs, outputs);
            }
        }
    }

    fn products_agree_with_plain_ones(
        instructions: Bf16Instructions,
        rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        let case = format!("{instructions:?}, {rows} × {inputs} × {outputs}");
        let (x, w, bias) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
        let layer = Bf16Linear::from_values(instructions, &w, &bias);
        let (mut y, mut rounded) = (vec![f32::NAN; rows * outputs], Vec::new());
        layer.forward(&x, &mut y, &mut rounded);
        for row in 0..rows {
            for output in 0..outputs {
                let terms = (0..inputs).map(|i| bf16(x[row * inputs + i]) * bf16(w[output * inputs + i]));
                let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                let (y, expected) = (f64::from(y[row * outputs + output]), sum + f64::from(bias[output]));
                assert!(
                    (y - expected).abs() <= 1e-6 * (size + 1.0),
                    "{case}: {y} and {expected} at {row}, {output}"
                );
            }
        }
        // The same bits without the other rows.
        let mut alone = vec![f32::NAN; outputs];
        for row in 0..rows {
            layer.forward(&x[row * inputs..][..inputs], &mut alone, &mut rounded);
            assert_eq!(alone, y[row * outputs..][..outputs], "{case}");
        }
    }

    #[test]
    fn silu_of_inputs_is_nearly_exact() {
        for instructions in available() {
            let inputs = 40;
            let weights: Vec<f32> =
                (0..inputs * inputs).map(|i| f32::from(u8::from(i % (inputs + 1) == 0))).collect();
            let layer = Bf16Linear::from_values(instructions, &weights, &vec![0.0; inputs]);
            let x: Vec<f32> = (0..inputs * 50)
                .map(|i| (i as f32 - 1000.0) / 50.0)
                .chain((0..inputs).map(|i| i as f32 * 10.0 - 200.0))
                .collect();
            let mut y = vec![f32::NAN; x.len()];
            layer.forward_silu(&x, &mut y, &mut Vec::new());
            for (x, y) in x.iter().zip(y) {
                let expected = f64::from(*x) / (1.0 + (-f64::from(*x)).exp());
                // Half of the distance between two bf16.
                let allowed = expected.abs() / 256.0 + 1e-30;
                assert!((f64::from(y) - expected).abs() <= allowed, "silu({x}) is {y}, expected {expected}");
            }
        }
    }

    #[test]
    fn threads_multiply_at_the_same_time() {
        let (rows, inputs, outputs) = (50, 96, 80);
        for instructions in available() {
            let (x, w) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2));
            let layer = Bf16Linear::from_values(instructions, &w, &vec![0.5; outputs]);
            let product = || {
                let mut y = vec![0.0; rows * outputs];
                layer.forward(&x, &mut y, &mut Vec::new());
                y
            };
            let expected = product();
            std::thread::scope(|scope| {
                let repeated = || (0..200).all(|_| product() == expected);
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(repeated)).collect();
                assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
            });
        }
    }

    #[test]
    fn an_input_that_is_not_a_number_makes_its_row_not_a_number() {
        for instructions in available() {
            for inputs in [3, 40] {
                let layer = Bf16Linear::from_values(instructions, &vec![1.0; inputs * 2], &[0.0; 2]);
                let mut x = vec![1.0; inputs * 2];
                x[inputs - 1] = f32::from_bits(0x7fff_ffff);
                let mut y = [0.0; 4];
                layer.forward(&x, &mut y, &mut Vec::new());
                assert!(y[0].is_nan() && y[1].is_nan());
                assert_eq!(y[2..], [inputs as f32; 2]);
            }
        }
    }
}
