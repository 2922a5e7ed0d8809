//! Products of matrices that multiply bf16 and sum f32, by the processor's instructions for that.
//!
//! A layer's weights are rounded and packed once, a row of its inputs on each call. Each output is summed in the order of the
//! inputs whatever the other rows are, so the batch doesn't affect any bit of a result. The kinds of instructions differ in
//! the last bits of a sum.

// Without these instructions nothing of this is called.
#![cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod instructions;
mod linear;
mod packed;
mod rounding;
#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
mod unavailable;

pub(super) use attention::{AttentionBuffers, attention};
pub use instructions::Bf16Instructions;
pub(super) use linear::Bf16Linear;
