//! RDPM, the Recurrent Diffusion Probabilistic Model (arXiv 2412.18390): it generates images as about ten grids of discrete
//! tokens, from noise to the finished image.
//!
//! ```
//! use std::io::Cursor;
//! use std::path::Path;
//!
//! use rdpm::model::{Model, Sampler, SamplingSettings, open_device};
//! use rdpm::picture::{Provenance, encode_png, read_provenance};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Load a model.
//! let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
//! let model = Model::load(&folder, &open_device("cpu")?)?;
//!
//! // Generate image 0 of seed 7.
//! let class = model.config().class_index("Ankle boot").ok_or("unknown class")?;
//! let settings = SamplingSettings::new(model.config(), class)?.with_guidance(2.0)?;
//! let mut sampler = Sampler::new(&model, &settings, 7, 0..1);
//! for step in sampler.by_ref() {
//!     step?;
//! }
//! let image = sampler.images()?.remove(0);
//! assert_eq!((image.width(), image.height()), (28, 28));
//!
//! // Write it as a PNG file that contains how it was generated.
//! let provenance = Provenance::new(model.config(), &settings, 7, 0);
//! let file = encode_png(&image, Some(&provenance))?;
//! assert_eq!(read_provenance(Cursor::new(file))?, provenance);
//! # Ok(())
//! # }
//! ```
//!
//! The layers. Each imports only layers above it:
//!
//! - [`model`]: tensors; tokenizer, recurrent trajectory, denoiser and sampler. No HTTP.
//! - [`picture`]: image files; upscaling, sheets, formats, animations, provenance. No HTTP, no tensors.
//! - [`engine`]: jobs, the queue, and the worker threads that own devices. No axum, no tensors in its interface.
//! - [`request`]: the fields of requests, defined once: types, ranges, documentation. No HTTP.
//! - [`store`]: generations and their pictures on disk: SQLite, and files by their content. No HTTP.
//! - [`web`]: axum; pages, JSON API, server-sent events. No tensors.

pub mod engine;
pub mod model;
pub mod picture;
pub mod queue;
pub mod request;
pub mod store;
pub mod web;
