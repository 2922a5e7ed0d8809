//! The networks on a CPU: the same functions of the same weights as `denoiser` and `tokenizer`, which candle computes,
//! several times as fast.
//!
//! candle reaches the machine's speed in matrix products and loses it between them: element-wise passes over memory that
//! are neither fused nor vectorized nor parallel, and fresh pages for each result. Here
//!
//! - a thread takes one or two sequences through the whole network, so that its activations stay in its cache and
//!   threads meet only at the end;
//! - weights are packed for the matrix product once, when they are loaded;
//! - bias is added by the product; normalization and modulation are one pass; softmax, SiLU and sums are vectorized for
//!   the CPU at hand ([rten](https://docs.rs/rten-gemm)'s kernels);
//! - buffers are kept from step to step, so that a step allocates little.
//!
//! A row of a matrix product is summed in the same order whatever other rows there are: batches change no bit of a
//! result. `tests/cpu.rs` holds these networks to candle's.

mod conv;
mod denoiser;
mod linear;
mod norm;
mod tokenizer;

pub use denoiser::Denoiser;
pub use tokenizer::{Decoder, Encoder};

use candle_core::Result;
use candle_nn::VarBuilder;

/// The numbers of a weight, row by row.
fn weight<S: Into<candle_core::Shape>>(vb: &VarBuilder, shape: S, name: &str) -> Result<Vec<f32>> {
    vb.get(shape, name)?.flatten_all()?.to_vec1()
}

/// At least `len` numbers of a buffer that is kept from call to call, whatever is in them.
fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Buffers that threads keep for their next call.
struct Shelf<T>(std::sync::Mutex<Vec<T>>);

impl<T: Default> Shelf<T> {
    fn new() -> Self {
        Self(std::sync::Mutex::new(Vec::new()))
    }

    /// Calls `work` with a buffer that nobody else has meanwhile.
    fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut buffer = lock().pop().unwrap_or_default();
        let result = work(&mut buffer);
        lock().push(buffer);
        result
    }
}
