//! The networks optimized for a CPU: the same functions of the same weights as `denoiser` and `tokenizer`, several times
//! as fast as candle computes them.
//!
//! candle reaches the machine's speed in matrix products and loses time between them: its element-wise operations are
//! neither fused nor vectorized nor parallel, and each result is allocated anew. Here
//!
//! - a thread takes one or two sequences through the whole network, so that activations stay in its cache and threads
//!   synchronize only at the end;
//! - weights are packed for matrix products once, when they are loaded;
//! - matrix products add the bias; normalization and modulation are one pass; softmax, SiLU and sums are vectorized
//!   ([rten](https://docs.rs/rten-gemm)'s kernels);
//! - buffers are reused from step to step, so that a step allocates little.
//!
//! In bf16 the transformer's layers and the decoder's convolutions are those of `bf16`; everything else stays f32.
//!
//! A row of a matrix product is summed in the same order whatever the other rows are, so the batch doesn't affect any bit
//! of a result. `tests/library/cpu.rs` compares these networks with candle's.

mod bf16;
mod buffers;
mod conv;
mod denoiser;
mod f32_linear;
#[cfg(test)]
mod instruction_tests;
mod linear;
mod norm;
mod tokenizer;

pub use bf16::Bf16Instructions;
#[cfg(feature = "gpu")]
pub(super) use conv::encoder_input;
pub use denoiser::Denoiser;
pub use linear::Arithmetic;
pub use tokenizer::{Decoder, Encoder};
