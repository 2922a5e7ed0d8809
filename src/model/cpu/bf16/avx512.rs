//! Rounding and products by AVX512-BF16.

use std::arch::is_x86_feature_detected;
use std::arch::x86_64::{
    __m512, __m512bh, __m512i, __mmask16, _MM_FROUND_TO_NEAREST_INT, _mm512_add_ps, _mm512_and_si512,
    _mm512_cvtne2ps_pbh, _mm512_div_ps, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512,
    _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_i32gather_epi32, _mm512_mul_ps, _mm512_roundscale_ps,
    _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_store_si512,
    _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
};

use super::packed::{PANEL, PANEL_VECTORS, PackedMatrix, Product, VECTOR, Vector, WeightPairs};
use super::rounding::round_to_bf16;

/// Rows that are summed together: with these, the sums, weights and an input fit into 32 registers.
const MAX_ROWS: usize = 6;

/// Evidence that this processor has AVX512-BF16.
#[derive(Debug, Clone, Copy)]
pub struct Avx512Bf16(());

impl Avx512Bf16 {
    /// `None` if the processor or the operating system lacks it.
    pub fn detect() -> Option<Self> {
        let is_available = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16");
        is_available.then_some(Self(()))
    }

    /// Rounds x to bf16. `out` is as long.
    pub fn round(self, x: &[f32], out: &mut [u16]) {
        debug_assert_eq!(x.len(), out.len());
        // SAFETY: a value of `Avx512Bf16` exists only if the processor has these instructions.
        unsafe { round(x, out) }
    }

    /// Rounds silu(x) = x / (1 + exp(−x)) to bf16. `out` is as long.
    pub fn round_silu(self, x: &[f32], out: &mut [u16]) {
        debug_assert_eq!(x.len(), out.len());
        // SAFETY: as in `round`.
        unsafe { round_silu(x, out) }
    }

    /// Makes `packed` the transpose of a matrix (outputs, inputs) whose rows begin `stride` numbers apart, without a bias. The matrix
    /// has at least one more number after its last row.
    pub(super) fn set_transposed(
        self,
        packed: &mut PackedMatrix,
        matrix: &[u16],
        stride: usize,
        inputs: usize,
        outputs: usize,
    ) {
        packed.clear(inputs, outputs);
        // SAFETY: as in `round`.
        unsafe { set_transposed(packed, matrix, stride) }
    }

    /// Computes y = x W + b for each row.
    pub(super) fn multiply(self, matrix: &PackedMatrix, product: Product) {
        // SAFETY: as in `round`.
        unsafe { multiply(matrix, product) }
    }
}

/// Numbers that are rounded together.
const BLOCK: usize = 2 * VECTOR;

#[target_feature(enable = "avx512f,avx512bf16")]
fn round(x: &[f32], out: &mut [u16]) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<BLOCK>();
    for (x, out) in blocks.iter().zip(out_blocks) {
        round_block(load_block(x), out);
    }
    for (x, out) in rest.iter().zip(out_rest) {
        *out = round_to_bf16(*x);
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn round_silu(x: &[f32], out: &mut [u16]) {
    let (blocks, rest) = x.as_chunks::<BLOCK>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<BLOCK>();
    for (x, out) in blocks.iter().zip(out_blocks) {
        let [first, second] = load_block(x);
        round_block([silu(first), silu(second)], out);
    }
    // The same instructions for the rest: a number's result doesn't depend on its place.
    let (mut padded, mut rounded) = ([0.0; BLOCK], [0; BLOCK]);
    padded[..rest.len()].copy_from_slice(rest);
    let [first, second] = load_block(&padded);
    round_block([silu(first), silu(second)], &mut rounded);
    out_rest.copy_from_slice(&rounded[..rest.len()]);
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn load_block(x: &[f32; BLOCK]) -> [__m512; 2] {
    // SAFETY: the reads are as long as a vector, and inside of `x`.
    unsafe { [_mm512_loadu_ps(x.as_ptr()), _mm512_loadu_ps(x[VECTOR..].as_ptr())] }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn round_block([first, second]: [__m512; 2], out: &mut [u16; BLOCK]) {
    // SAFETY: `__m512bh` and `__m512i` are the same 64 bytes; the write is as long as `out`.
    unsafe {
        let rounded: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
        _mm512_storeu_si512(out.as_mut_ptr().cast(), rounded);
    }
}

/// x / (1 + exp(−x)), with a relative error below 10⁻⁵.
#[target_feature(enable = "avx512f,avx512bf16")]
fn silu(x: __m512) -> __m512 {
    // exp(−x) = 2ⁿ · 2ᶠ, with the integer n nearest to −x log₂ e.
    let power = _mm512_mul_ps(x, _mm512_set1_ps(-std::f32::consts::LOG2_E));
    let n = _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(power);
    let f = _mm512_sub_ps(power, n);
    // The Taylor series of 2ᶠ: (ln 2)ᵏ / k!.
    let coefficients =
        [0.001_333_355_8, 0.009_618_129, 0.055_504_11, 0.240_226_5, std::f32::consts::LN_2, 1.0];
    let sum = |sum, coefficient| _mm512_fmadd_ps(sum, f, _mm512_set1_ps(coefficient));
    let fraction = coefficients[1..].iter().fold(_mm512_set1_ps(coefficients[0]), |s, &c| sum(s, c));
    let denominator = _mm512_add_ps(_mm512_set1_ps(1.0), _mm512_scalef_ps(fraction, n));
    _mm512_div_ps(x, denominator)
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn set_transposed(packed: &mut PackedMatrix, matrix: &[u16], stride: usize) {
    let (inputs, outputs) = (packed.inputs, packed.outputs);
    assert!((outputs - 1) * stride + inputs < matrix.len());
    let pairs = packed.padded_inputs() / 2;
    let rows: [i32; VECTOR] = std::array::from_fn(|row| (row * stride) as i32);
    // SAFETY: the read is as long as `rows`.
    let rows = unsafe { _mm512_loadu_si512(rows.as_ptr().cast()) };
    for (panel, weights) in packed.weights.chunks_exact_mut(pairs).enumerate() {
        for vector in 0..PANEL_VECTORS {
            let first = panel * PANEL + vector * VECTOR;
            let count = outputs.saturating_sub(first).min(VECTOR);
            let is_output = ((1u32 << count) - 1) as __mmask16;
            for (pair, weights) in weights.iter_mut().take(inputs.div_ceil(2)).enumerate() {
                let is_last_alone = 2 * pair + 1 == inputs;
                let kept = _mm512_set1_epi32(if is_last_alone { 0xffff } else { -1 });
                let base = matrix.as_ptr().wrapping_add(first * stride + 2 * pair);
                // SAFETY: the masked reads are of outputs only, so inside of `matrix`, by the assertion above; the write is as
                // long as `Vector`.
                unsafe {
                    let zero = _mm512_setzero_si512();
                    let both = _mm512_mask_i32gather_epi32::<2>(zero, is_output, rows, base.cast());
                    let both = _mm512_and_si512(both, kept);
                    _mm512_store_si512(weights[vector].0.as_mut_ptr().cast(), both);
                }
            }
        }
    }
}

#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply(matrix: &PackedMatrix, mut product: Product) {
    // A panel of weights is used for all rows while it is in the cache.
    for (panel, (weights, bias)) in matrix.panels().enumerate() {
        let columns = PANEL.min(matrix.outputs - panel * PANEL);
        let (blocks, all) = (product.rows.div_ceil(MAX_ROWS), product.rows);
        let mut first = 0;
        for block in 0..blocks {
            // Blocks of nearly equal size are faster than full ones and a rest.
            let rows = all / blocks + usize::from(block < all % blocks);
            let part = product.part(first, rows, panel * PANEL);
            match rows {
                1 => multiply_rows::<1>(weights, bias, columns, part),
                2 => multiply_rows::<2>(weights, bias, columns, part),
                3 => multiply_rows::<3>(weights, bias, columns, part),
                4 => multiply_rows::<4>(weights, bias, columns, part),
                5 => multiply_rows::<5>(weights, bias, columns, part),
                _ => multiply_rows::<MAX_ROWS>(weights, bias, columns, part),
            }
            first += rows;
        }
    }
}

/// Multiplies M rows by a panel of weights, and adds the bias. The first `columns` sums are outputs.
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiply_rows<const M: usize>(
    weights: &[WeightPairs],
    bias: &[Vector<f32>; PANEL_VECTORS],
    columns: usize,
    product: Product,
) {
    let Product { x, x_stride, y, y_stride, .. } = product;
    let rows: [&[[u16; 2]]; M] =
        std::array::from_fn(|row| x[row * x_stride..][..2 * weights.len()].as_chunks::<2>().0);
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
            let [first, second] = row[pair];
            let both = i32::from(first) | i32::from(second) << 16;
            // SAFETY: `__m512bh` and `__m512i` are the same 64 bytes.
            let x: __m512bh = unsafe { std::mem::transmute(_mm512_set1_epi32(both)) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpbf16_ps(*sum, x, weights);
            }
        }
    }
    for (sums, row) in sums.iter().zip(y.chunks_mut(y_stride)) {
        for (sum, y) in sums.iter().zip(row[..columns].chunks_mut(VECTOR)) {
            let mut values = [0.0; VECTOR];
            // SAFETY: the write is as long as a vector, and so is `values`.
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), *sum) };
            y.copy_from_slice(&values[..y.len()]);
        }
    }
}
