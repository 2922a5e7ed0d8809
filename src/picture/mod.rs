//! Pictures as files: enlarged without smoothing, laid out as sheets, written in several formats, animated, and marked
//! with the parameters that made them.
//!
//! What belongs here: pixels and file formats, for the engine, the server and the command line alike. What doesn't:
//! tensors (`model` has them), jobs and HTTP.

mod animation;
mod format;
mod layout;
mod png;
mod provenance;
mod webp;

use std::time::Duration;

pub use animation::{Animation, AnimationFormat};
pub use format::Format;
pub use layout::{MAX_SCALE, enlarge, sheet, sheet_columns, sheet_size, side_by_side};
pub use png::{MetadataError, encode as encode_png, read_provenance};
pub use provenance::Provenance;

/// A picture that can't be written.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    #[error("the picture can't be written: {0}")]
    Image(#[from] image::ImageError),
    #[error("the PNG file can't be written: {0}")]
    Png(#[from] ::png::EncodingError),
    #[error("an animation needs frames, all of one size")]
    Frames,
}

/// How long a frame of an animation is shown where nobody says otherwise.
pub const DEFAULT_FRAME_DELAY: Duration = Duration::from_millis(250);
