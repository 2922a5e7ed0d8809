//! The model layer: everything about RDPM that is mathematics, and nothing else.
//!
//! The paper (arXiv 2412.18390) is public only as its abstract and reviews; what it fixes is: Gaussian noise introduced
//! progressively into a VAE's latent and encoded *recurrently* into vector-quantized tokens, a transformer that
//! predicts the next timestep's codes with cross-entropy, and sampling from standard Gaussian noise in about ten
//! steps. Everything beyond that is this project's choice.
//!
//! Letters used in this layer:
//!
//! - `v`: latent of an image, shape (n, c): n = h·w positions, c channels, mean 0 and variance 1 per channel
//!   over the training set.
//! - `T` steps, a schedule `0 = s_0 < … < s_T = 1`, `alpha_t = s_t`, `beta_t = 1 − s_t`.
//! - `eps` ~ N(0, I), shape (n, c), and the noisy latent `x_t = alpha_t · v + beta_t · eps`: `x_0` is noise, `x_T` the
//!   image.
//! - codebook `e`, shape (V, c); code grid `C_t`, h × w codes below V; running latent
//!   `z_t = z_{t−1} + e[C_t]`, `z_0 = eps`.
//! - `b` is a batch's size, `d` the transformer's width.
//!
//! Reading order: [`config`], [`trajectory`] (the diffusion), [`tokenizer`] and [`denoiser`] (the networks),
//! [`sampler`] (from noise to image), [`Model`] (all of it, loaded).

pub mod config;
mod cpu;
pub mod denoiser;
mod device;
mod discovery;
mod error;
mod guidance;
mod gumbel;
mod info;
mod networks;
mod palette;
mod pixels;
mod rdpm;
pub mod sampler;
mod settings;
pub mod tokenizer;
pub mod trajectory;
mod weights;

pub use config::Config;
pub use device::{Precision, device_name, open_device};
pub use discovery::{ModelFolder, discover_models};
pub use error::ModelError;
pub use info::ModelInfo;
pub use pixels::preprocess;
pub use rdpm::{Model, Preview, Tokenization};
pub use sampler::{Alternatives, Sampler, SamplerState, Step};
pub use settings::SamplingSettings;
pub use weights::WEIGHTS_FILE;
