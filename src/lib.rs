//! RDPM, the Recurrent Diffusion Probabilistic Model (arXiv 2412.18390), as a product.
//!
//! Layers that import downwards only:
//!
//! - [`model`]: tensors; the tokenizer, the recurrent trajectory, the denoiser and the sampler. No HTTP.
//! - [`picture`]: image files; enlarging, sheets, formats, animations, the parameters inside. No HTTP, no tensors.
//! - [`engine`]: jobs, queue, the worker thread that owns the device. No axum, no tensors in its interface.
//! - [`web`]: axum; pages, JSON API, server-sent events. No tensors.

pub mod engine;
pub mod model;
pub mod picture;
pub mod web;
