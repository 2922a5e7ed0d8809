//! The networks on a GPU through [wgpu](https://wgpu.rs): Vulkan, Metal or Direct3D 12. Built with `--features gpu`.
//!
//! candle launches each operation by itself, which for this small model takes longer than the operations. Here
//!
//! - a step of the sampler is one submission: the denoiser's layers, guidance, and the drawing of codes with temperature,
//!   top-k, top-p and Gumbel noise. Only codes, probabilities, entropies and alternatives are copied back;
//! - buffers and their bindings are allocated for a batch size once and serve all smaller ones;
//! - matrix products add the bias and what follows (SiLU, gate and residual, pixel shuffle), and convolutions need no im2col;
//! - the uniforms come from the images' own generators on the host, so a GPU draws what a CPU draws, but for near ties.
//!
//! The kernels (`*.wgsl`) need wgpu's default limits only and compute in f32. The order of a sum doesn't depend on the batch,
//! so the other images of a batch don't change an image by any bit on the same GPU.
//!
//! Files in the order of their imports: `context` (device, buffers, errors), `kernels` (compiling and recording calls),
//! `adapters` (which GPUs there are, opening one), `denoiser`, `tokenizer`, `networks`. `docs/gpu.md` says what was run where.

mod adapters;
mod context;
mod denoiser;
mod kernels;
mod networks;
mod tokenizer;

pub use adapters::{Adapter, AdapterKind, Gpu, adapters, open, open_best, open_real};
pub use networks::GpuNetworks;
