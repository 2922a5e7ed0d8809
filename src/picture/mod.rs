//! The picture layer: image files, from pixels to PNG, WebP, JPEG, GIF and APNG, with the provenance of a picture inside.
//!
//! It upscales pictures, arranges them in sheets and animates them, for the engine, the server and the command line. It
//! knows no tensors (`model` does), no jobs and no HTTP.
//!
//! | file | contents |
//! |---|---|
//! | `layout` | upscaling, sheets, pictures side by side |
//! | `format` | file formats of still pictures |
//! | `animation` | animations in GIF, APNG and WebP |
//! | `png`, `webp` | encoders |
//! | `provenance` | everything that determines a picture |
//! | `png_metadata` | the provenance in PNG files: written and read |

mod animation;
mod error;
mod format;
mod layout;
mod png;
mod png_metadata;
mod provenance;
mod webp;

pub use animation::{Animation, AnimationFormat, DEFAULT_FRAME_DELAY};
pub use error::PictureError;
pub use format::Format;
pub use layout::{MAX_SCALE, enlarge, sheet, sheet_columns, sheet_size, side_by_side};
pub use png::encode as encode_png;
pub use png_metadata::{MetadataError, read_provenance};
pub use provenance::Provenance;
