//! Linear layers whose products multiply bf16 and sum f32, by the instructions of AVX512-BF16.
//!
//! Weights are rounded and packed once. A row of inputs is rounded on each call. Each output is summed in the order of the
//! inputs whatever the other rows are, so the batch doesn't affect any bit of a result.

use candle_core::Result;
use candle_nn::VarBuilder;

use crate::model::weights::load_values;

/// Numbers of 32 bits in a vector register.
const VECTOR: usize = 16;
/// Vectors of outputs that are summed together.
const PANEL_VECTORS: usize = 4;
/// Outputs that are summed together.
const PANEL: usize = PANEL_VECTORS * VECTOR;
/// Rows that are summed together: with these, the sums, weights and an input fit into 32 registers.
const MAX_ROWS: usize = 6;

/// A vector register's contents in memory.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Vector<T>([T; VECTOR]);

/// The weights of a panel for two successive inputs: in the lower and upper half of each number.
type WeightPairs = [Vector<u32>; PANEL_VECTORS];

/// Evidence that this processor has AVX512-BF16.
#[derive(Debug, Clone, Copy)]
pub struct Avx512Bf16(());

impl Avx512Bf16 {
    /// `None` if the processor or the operating system lacks it.
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f") && std::arch::is_x86_feature_detected!("avx512bf16")
        {
            return Some(Self(()));
        }
        None
    }
}

/// A linear layer y = x W + b, with x and W rounded to bf16 and sums in f32.
pub(super) struct Bf16Linear {
    // Only read on x86-64.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
    instructions: Avx512Bf16,
    /// For each panel of outputs, for each pair of inputs. Outputs and inputs beyond the last have zeros.
    weights: Vec<WeightPairs>,
    /// For each panel of outputs.
    bias: Vec<[Vector<f32>; PANEL_VECTORS]>,
    inputs: usize,
    outputs: usize,
}

impl Bf16Linear {
    /// Loads the weights of a `candle_nn::linear` of these sizes.
    pub fn new(instructions: Avx512Bf16, inputs: usize, outputs: usize, vb: &VarBuilder) -> Result<Self> {
        let weights = load_values(vb, (outputs, inputs), "weight")?;
        Ok(Self::from_values(instructions, inputs, &weights, &load_values(vb, outputs, "bias")?))
    }

    /// Makes a layer from weights (outputs, inputs) and a bias (outputs).
    fn from_values(instructions: Avx512Bf16, inputs: usize, weights: &[f32], bias: &[f32]) -> Self {
        let (outputs, pairs) = (bias.len(), inputs.div_ceil(2));
        let weight = |output: usize, input: usize| {
            let is_inside = output < outputs && input < inputs;
            if is_inside { round_to_bf16(weights[output * inputs + input]) } else { 0 }
        };
        let (mut panels, mut biases) = (Vec::new(), Vec::new());
        for first in (0..outputs).step_by(PANEL) {
            let output = |vector: usize, number: usize| first + vector * VECTOR + number;
            for pair in 0..pairs {
                panels.push(std::array::from_fn(|vector| {
                    Vector(std::array::from_fn(|number| {
                        let output = output(vector, number);
                        join(weight(output, 2 * pair), weight(output, 2 * pair + 1))
                    }))
                }));
            }
            biases.push(std::array::from_fn(|vector| {
                Vector(std::array::from_fn(|number| bias.get(output(vector, number)).copied().unwrap_or(0.0)))
            }));
        }
        Self { instructions, weights: panels, bias: biases, inputs, outputs }
    }

    /// x (m, inputs) to y (m, outputs). `pairs` is a reusable buffer.
    pub fn forward(&self, x: &[f32], y: &mut [f32], pairs: &mut Vec<u32>) {
        debug_assert_eq!(x.len() / self.inputs, y.len() / self.outputs);
        #[cfg(target_arch = "x86_64")]
        {
            let Avx512Bf16(()) = self.instructions;
            // SAFETY: a value of `Avx512Bf16` exists only if the processor has these instructions.
            unsafe { avx512::forward(self, x, y, pairs) }
        }
        #[cfg(not(target_arch = "x86_64"))]
        unreachable!("Avx512Bf16 exists on x86-64 only ({} inputs, {} pairs)", x.len(), pairs.len());
    }
}

/// The nearest bf16 of a number, of two equally near ones the even one: the upper half of its bits as f32.
fn round_to_bf16(x: f32) -> u16 {
    if x.is_nan() {
        return 0x7fc0;
    }
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Two bf16 in one number, the first in the lower half.
fn join(first: u16, second: u16) -> u32 {
    u32::from(first) | u32::from(second) << 16
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_cvtne2ps_pbh, _mm512_dpbf16_ps, _mm512_load_ps, _mm512_load_si512,
        _mm512_loadu_ps, _mm512_set1_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
    };

    use super::{
        Bf16Linear, MAX_ROWS, PANEL, PANEL_VECTORS, VECTOR, Vector, WeightPairs, join, round_to_bf16,
    };

    /// See [`Bf16Linear::forward`].
    #[target_feature(enable = "avx512f,avx512bf16")]
    pub fn forward(layer: &Bf16Linear, x: &[f32], y: &mut [f32], buffer: &mut Vec<u32>) {
        let (pairs, outputs) = (layer.inputs.div_ceil(2), layer.outputs);
        let rows = x.len() / layer.inputs;
        buffer.clear();
        buffer.resize(rows * pairs, 0);
        for (x, out) in x.chunks_exact(layer.inputs).zip(buffer.chunks_exact_mut(pairs)) {
            round_row(x, out);
        }
        // A panel of weights is used for all rows while it is in the cache.
        for ((weights, bias), panel) in layer.weights.chunks_exact(pairs).zip(&layer.bias).zip(0..) {
            let blocks = rows.div_ceil(MAX_ROWS);
            let mut first = 0;
            for block in 0..blocks {
                // Blocks of nearly equal size are faster than full ones and a rest.
                let count = rows / blocks + usize::from(block < rows % blocks);
                let x = &buffer[first * pairs..][..count * pairs];
                let y = &mut y[first * outputs..][..count * outputs];
                let y = Columns { rows: y, width: outputs, first: panel * PANEL };
                match count {
                    1 => multiply::<1>(x, weights, bias, y),
                    2 => multiply::<2>(x, weights, bias, y),
                    3 => multiply::<3>(x, weights, bias, y),
                    4 => multiply::<4>(x, weights, bias, y),
                    5 => multiply::<5>(x, weights, bias, y),
                    _ => multiply::<MAX_ROWS>(x, weights, bias, y),
                }
                first += count;
            }
        }
    }

    /// Up to [`PANEL`] columns of a matrix, from number `first` on.
    struct Columns<'a> {
        rows: &'a mut [f32],
        width: usize,
        first: usize,
    }

    /// Rounds a row of numbers to pairs of bf16. The last pair of an odd number of them has a zero.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn round_row(x: &[f32], out: &mut [u32]) {
        let (blocks, rest) = x.as_chunks::<{ 2 * VECTOR }>();
        let (out_blocks, out_rest) = out.split_at_mut(blocks.len() * VECTOR);
        for (x, out) in blocks.iter().zip(out_blocks.as_chunks_mut::<VECTOR>().0) {
            // SAFETY: the reads and the write are as long as a vector, and inside of `x` and `out`.
            unsafe {
                let (first, second) = (_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x[VECTOR..].as_ptr()));
                let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_storeu_si512(out.as_mut_ptr().cast(), rounded);
            }
        }
        for (x, out) in rest.chunks(2).zip(out_rest) {
            *out = join(round_to_bf16(x[0]), x.get(1).map_or(0, |&x| round_to_bf16(x)));
        }
    }

    /// Multiplies M rows of pairs by a panel of weights, and adds the bias.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn multiply<const M: usize>(
        x: &[u32],
        weights: &[WeightPairs],
        bias: &[Vector<f32>; PANEL_VECTORS],
        y: Columns,
    ) {
        let pairs = weights.len();
        let rows: [&[u32]; M] = std::array::from_fn(|row| &x[row * pairs..][..pairs]);
        let bias: [__m512; PANEL_VECTORS] = std::array::from_fn(|vector| {
            // SAFETY: `Vector` has the length and alignment of a register.
            unsafe { _mm512_load_ps(bias[vector].0.as_ptr()) }
        });
        let mut sums = [bias; M];
        for (pair, weights) in weights.iter().enumerate() {
            let weights: [__m512bh; PANEL_VECTORS] = std::array::from_fn(|vector| {
                // SAFETY: as above; `__m512bh` and `__m512i` are the same 64 bytes.
                unsafe { std::mem::transmute(_mm512_load_si512(weights[vector].0.as_ptr().cast())) }
            });
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: `__m512bh` and `__m512i` are the same 64 bytes.
                let x: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi32(row[pair] as i32)) };
                for (sum, weights) in sums.iter_mut().zip(weights) {
                    *sum = _mm512_dpbf16_ps(*sum, x, weights);
                }
            }
        }
        for (sums, row) in sums.iter().zip(y.rows.chunks_exact_mut(y.width)) {
            for (sum, y) in sums.iter().zip(row[y.first..].chunks_mut(VECTOR)) {
                let mut values = [0.0; VECTOR];
                // SAFETY: the write is as long as a vector, and so is `values`.
                unsafe { _mm512_storeu_ps(values.as_mut_ptr(), *sum) };
                y.copy_from_slice(&values[..y.len()]);
            }
        }
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

    #[test]
    fn round_to_bf16_rounds_to_nearest_even() {
        let rounded = |bits: u32| round_to_bf16(f32::from_bits(bits));
        assert_eq!(rounded(0x3f80_7fff), 0x3f80);
        assert_eq!(rounded(0x3f80_8000), 0x3f80);
        assert_eq!(rounded(0x3f81_8000), 0x3f82);
        assert_eq!(rounded(0x3f80_8001), 0x3f81);
        assert_eq!(rounded(0xbf80_8001), 0xbf81);
        assert_eq!(round_to_bf16(f32::MAX), 0x7f80);
        assert_eq!(round_to_bf16(f32::INFINITY), 0x7f80);
        assert!(f32::from_bits(u32::from(rounded(0x7fff_ffff)) << 16).is_nan());
        assert!(f32::from_bits(u32::from(rounded(0xffff_ffff)) << 16).is_nan());
    }

    #[test]
    fn products_agree_with_plain_ones_for_all_shapes() {
        let Some(instructions) = Avx512Bf16::detect() else {
            eprintln!("skipped: this processor has no AVX512-BF16");
            return;
        };
        let mut pairs = Vec::new();
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
            (49, 192, 576),
            (98, 768, 192),
        ] {
            let (x, w, bias) = (numbers(rows * inputs, 1), numbers(outputs * inputs, 2), numbers(outputs, 3));
            let layer = Bf16Linear::from_values(instructions, inputs, &w, &bias);
            let mut y = vec![f32::NAN; rows * outputs];
            layer.forward(&x, &mut y, &mut pairs);
            for row in 0..rows {
                for output in 0..outputs {
                    let terms = (0..inputs).map(|i| bf16(x[row * inputs + i]) * bf16(w[output * inputs + i]));
                    let (sum, size) =
                        terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
                    let (y, expected) = (f64::from(y[row * outputs + output]), sum + f64::from(bias[output]));
                    assert!(
                        (y - expected).abs() <= 1e-6 * (size + 1.0),
                        "{rows} × {inputs} × {outputs}: {y} and {expected} at {row}, {output}"
                    );
                }
            }
            // The same bits without the other rows.
            let mut alone = vec![f32::NAN; outputs];
            layer.forward(&x[(rows - 1) * inputs..], &mut alone, &mut pairs);
            assert_eq!(alone, y[(rows - 1) * outputs..], "{rows} × {inputs} × {outputs}");
        }
    }

    #[test]
    fn an_input_that_is_not_a_number_makes_its_row_not_a_number() {
        let Some(instructions) = Avx512Bf16::detect() else { return };
        for inputs in [3, 40] {
            let layer = Bf16Linear::from_values(instructions, inputs, &vec![1.0; inputs * 2], &[0.0; 2]);
            let mut x = vec![1.0; inputs * 2];
            x[inputs - 1] = f32::from_bits(0x7fff_ffff);
            let mut y = [0.0; 4];
            layer.forward(&x, &mut y, &mut Vec::new());
            assert!(y[0].is_nan() && y[1].is_nan());
            assert_eq!(y[2..], [inputs as f32; 2]);
        }
    }
}
