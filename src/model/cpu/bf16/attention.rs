//! Attention.

use std::ops::Range;

use rten_simd::SimdOp;
use rten_vecmath::Softmax;

use super::instructions::Bf16Instructions;
use super::packed::{INPUT_BLOCK, PackedMatrix, Product};
use crate::model::cpu::buffers::scratch;

/// Reusable memory.
#[derive(Default)]
pub(in crate::model::cpu) struct AttentionBuffers {
    qkv: Vec<u16>,
    keys: PackedMatrix,
    values: PackedMatrix,
    scores: Vec<f32>,
    probabilities: Vec<u16>,
}

/// Self-attention of some positions of a sequence of n: qkv (n, 3d) to `out` (positions, d). Queries, keys, values and
/// probabilities are rounded to bf16.
pub(in crate::model::cpu) fn attention(
    instructions: Bf16Instructions,
    heads: usize,
    qkv: &[f32],
    queries: Range<usize>,
    out: &mut [f32],
    buffers: &mut AttentionBuffers,
    n: usize,
) {
    let avx512 = instructions.avx512();
    let (rows, d) = (queries.len(), qkv.len() / n / 3);
    let size = d / heads;
    let scale = (size as f32).powf(-0.5);
    let AttentionBuffers { qkv: rounded, keys, values, scores, probabilities } = buffers;
    // A row of inputs is read up to a multiple of a block. What follows it is multiplied by zero.
    let rounded = scratch(rounded, qkv.len() + INPUT_BLOCK);
    avx512.round(qkv, &mut rounded[..qkv.len()]);
    let scores = scratch(scores, rows * n);
    let padded = n.next_multiple_of(INPUT_BLOCK);
    let probabilities = scratch(probabilities, rows * padded);
    probabilities.fill(0);
    for head in 0..heads {
        let part = |index: usize| &rounded[index * d + head * size..];
        avx512.set_transposed(keys, part(1), 3 * d, size, n);
        let x = &part(0)[queries.start * 3 * d..];
        let product = Product { rows, x, x_stride: 3 * d, y: scores, y_stride: n };
        instructions.multiply(keys, product);
        for (scores, probabilities) in scores.chunks_exact_mut(n).zip(probabilities.chunks_exact_mut(padded))
        {
            scores.iter_mut().for_each(|score| *score *= scale);
            Softmax::new_mut(scores).dispatch();
            avx512.round(scores, &mut probabilities[..n]);
        }
        values.set(part(2), 3 * d, n, size);
        let y = &mut out[head * size..];
        instructions.multiply(values, Product { rows, x: probabilities, x_stride: padded, y, y_stride: d });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attention of each head by its definition, in f64.
    fn expected(heads: usize, n: usize, qkv: &[f32]) -> Vec<f64> {
        let d = qkv.len() / n / 3;
        let size = d / heads;
        let at = |part: usize, position: usize, head: usize, channel: usize| {
            f64::from(qkv[position * 3 * d + part * d + head * size + channel])
        };
        let mut out = vec![0.0; n * d];
        for head in 0..heads {
            for query in 0..n {
                let score = |key: usize| {
                    let product: f64 = (0..size).map(|c| at(0, query, head, c) * at(1, key, head, c)).sum();
                    (product / (size as f64).sqrt()).exp()
                };
                let weights: Vec<f64> = (0..n).map(score).collect();
                let total: f64 = weights.iter().sum();
                for channel in 0..size {
                    let sum: f64 = (0..n).map(|key| weights[key] * at(2, key, head, channel)).sum();
                    out[query * d + head * size + channel] = sum / total;
                }
            }
        }
        out
    }

    #[test]
    fn attention_is_nearly_that_of_its_definition() {
        for instructions in Bf16Instructions::available() {
            let mut buffers = AttentionBuffers::default();
            for (heads, n, size) in [(1, 1, 1), (2, 4, 5), (6, 49, 32), (4, 64, 64), (3, 70, 33)] {
                let d = heads * size;
                let qkv: Vec<f32> = (0..n * 3 * d).map(|i| (i * i % 1009) as f32 / 300.0 - 1.7).collect();
                let mut out = vec![f32::NAN; n * d];
                // In two parts.
                let (first, second) = out.split_at_mut(n / 2 * d);
                attention(instructions, heads, &qkv, 0..n / 2, first, &mut buffers, n);
                attention(instructions, heads, &qkv, n / 2..n, second, &mut buffers, n);
                for (out, expected) in out.iter().zip(expected(heads, n, &qkv)) {
                    let error = (f64::from(*out) - expected).abs();
                    assert!(error < 0.02, "{instructions:?}, {heads} × {n} × {size}: {out}, {expected}");
                }
            }
        }
    }
}
