//! The model layer: RDPM in tensors, from weights to images. It knows no jobs, no files of pictures and no HTTP.
//!
//! The paper (arXiv 2412.18390) is public only as its abstract and reviews. They say: Gaussian noise is introduced
//! progressively into a VAE's latent and encoded *recurrently* into vector-quantized tokens; a transformer predicts the
//! next timestep's codes with cross-entropy; sampling starts from standard Gaussian noise and takes about ten steps.
//! Everything beyond that is this project's choice.
//!
//! ```
//! use std::path::Path;
//!
//! use rdpm::model::{Model, Sampler, SamplingSettings, open_device};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
//! let model = Model::load(&folder, &open_device("cpu")?)?;
//! let (config, codebook) = (model.config(), model.codebook());
//!
//! // Iterate over the steps of two images (indices 0 and 1 of seed 7).
//! let settings = SamplingSettings::new(config, 8)?;
//! let mut sampler = Sampler::new(&model, &settings, 7, 0..2);
//! for t in 1..=config.steps() {
//!     let steps = sampler.next().ok_or("no more steps")??;
//!     assert_eq!(steps.len(), 2);
//!     assert_eq!(steps[0].step, t);
//!     // The token grid C_t: n codes, row by row.
//!     assert_eq!(steps[0].tokens.len(), config.positions());
//!     assert!(steps[0].tokens.iter().all(|&code| (code as usize) < codebook.codes()));
//! }
//! assert!(sampler.next().is_none());
//! let image = sampler.images()?.remove(0);
//!
//! // Encode an image to T token grids, from the noise of seed 5.
//! let tokenization = model.tokenize(&image, 5)?;
//! assert_eq!(tokenization.tokens.len(), config.steps());
//!
//! // Decode them: z_T = eps + e[C_1] + … + e[C_T].
//! let mut z = model.start(&settings, 5, 0).latent().to_vec(); // eps of seed 5
//! for tokens in &tokenization.tokens {
//!     codebook.advance(&mut z, tokens);
//! }
//! let decoded = model.decode(&[&z])?.remove(0);
//! assert_eq!(decoded, tokenization.previews[config.steps() - 1].noisy);
//! # Ok(())
//! # }
//! ```
//!
//! Letters used in this layer:
//!
//! - `v`: the latent of an image, shape (n, c): n = h·w positions, c channels, mean 0 and variance 1 per channel
//!   over the training set.
//! - `T` steps; a schedule `0 = s_0 < … < s_T = 1`; `alpha_t = s_t`, `beta_t = 1 − s_t`.
//! - `eps` ~ N(0, I), shape (n, c); the noisy latent `x_t = alpha_t · v + beta_t · eps`: `x_0` is noise, `x_T` the
//!   image.
//! - codebook `e`, shape (V, c); token grid `C_t`, h × w codes below V; running latent
//!   `z_t = z_{t−1} + e[C_t]`, `z_0 = eps`.
//! - `b`: batch size; `d`: the transformer's width.
//!
//! Reading order. Each file imports only files named before it:
//!
//! 1. `error`, `text`, `vocabulary` (`vocabulary.json`), `guidance_steps`, [`config`] (`config.json`), [`condition`], `captioner`, `weights` (`model.safetensors`), `pass_count`, `discovery` (folders of models), `device`
//! 2. [`trajectory`]: schedule, codebook, recurrent tokenization; [`random`]: noise; `palette`: colours of codes;
//!    `version`, `model_info`
//! 3. [`tokenizer`] and [`denoiser`]: the networks in candle; `cpu`: the same, optimized for a CPU
//! 4. `sampling_settings`, `guidance`, `step`, `given`, [`code_sampling`] (on the host), `device_sampling`, `sampler_state`;
//!    `gpu`: networks and sampling on any GPU, with its own kernels
//! 5. [`precision`](Precision), `networks`, `image_processor`, `rdpm` ([`Model`]), `interpolation`, `precision_setting`, [`sampler`] ([`Sampler`]: from noise to images)

mod captioner;
pub mod code_sampling;
mod computation;
pub mod condition;
pub mod config;
mod cpu;
pub mod denoiser;
mod device;
mod device_sampling;
mod discovery;
mod error;
mod given;
#[cfg(feature = "gpu")]
pub mod gpu;
mod guidance;
mod guidance_steps;
mod image_processor;
mod interpolation;
mod model_info;
mod networks;
mod palette;
mod pass_count;
mod precision;
mod precision_setting;
mod processor;
pub mod random;
mod range;
mod rdpm;
pub mod sampler;
mod sampler_state;
mod sampling_settings;
mod step;
mod text;
pub mod tokenizer;
pub mod trajectory;
mod version;
mod vocabulary;
mod weights;

pub use captioner::{Caption, Guess};
pub use computation::Computation;
pub use condition::Condition;
pub use config::Config;
pub use device::{ComputeDevice, open_device};
pub use discovery::{ModelFolder, discover_models};
pub use error::ModelError;
pub use given::Given;
pub use guidance_steps::GuidanceSteps;
pub use image_processor::{preprocess, preprocess_oriented};
pub use interpolation::{Interpolation, InterpolationEnd};
pub use model_info::ModelInfo;
pub use pass_count::{PassCount, PassCountSetting};
pub use precision::Precision;
pub use precision_setting::PrecisionSetting;
pub use processor::{processor_features, processor_name};
pub use random::ImageSeed;
pub use range::{IntegerRange, NumberRange};
pub use rdpm::{Model, Preview, Tokenization};
pub use sampler::Sampler;
pub use sampler_state::SamplerState;
pub use sampling_settings::{SamplingOptions, SamplingSettings};
pub use step::{Alternatives, Step};
pub use text::is_printable;
pub use vocabulary::{EncodedPrompt, Subject, VOCABULARY_FILE, Vocabulary, split_words};
pub use weights::{ONE_PASS_FILE, WEIGHTS_FILE};
