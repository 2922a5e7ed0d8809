//! The picture layer: image files, from pixels to PNG, WebP, JPEG, GIF and APNG, with the provenance of a picture inside.
//!
//! It reads images that users supply, within bounds of memory. It upscales pictures, arranges them in sheets and animates them, for the engine, the server and the command line. It
//! knows no tensors (`model` does), no jobs and no HTTP.
//!
//! ```
//! use image::{DynamicImage, GrayImage, Luma};
//! use rdpm::picture::{Animation, AnimationFormat, Format, enlarge, sheet, sheet_columns};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pictures: Vec<DynamicImage> =
//!     (0..10).map(|i| GrayImage::from_pixel(28, 28, Luma([25 * i])).into()).collect();
//!
//! // A sheet of 4 columns, each picture upscaled to 56 × 56 pixels, as a JPEG file of quality 90.
//! let sheet = sheet(&pictures, sheet_columns(10), 56);
//! let jpeg = Format::Jpeg.encode(&sheet, 90, None)?;
//! assert_eq!(image::guess_format(&jpeg)?.to_mime_type(), Format::Jpeg.media_type());
//!
//! // An animation of the pictures at four times their size.
//! let frames = pictures.iter().map(|picture| enlarge(picture, 4)).collect();
//! let gif = Animation::new(frames).encode(AnimationFormat::Gif, None)?;
//! assert!(gif.starts_with(b"GIF89a"));
//! # Ok(())
//! # }
//! ```
//!
//! | file | contents |
//! |---|---|
//! | `layout` | scaling, sheets, pictures side by side |
//! | `format` | file formats of still pictures |
//! | `animation` | animations in GIF, APNG and WebP |
//! | `png`, `webp`, `gif` | encoders |
//! | `provenance` | everything that determines a picture |
//! | `png_metadata`, `exif` | the provenance in PNG files, and in WebP and JPEG files |
//! | `metadata` | reads the provenance from a file of any of these formats |
//! | `input` | reads an image that a user supplies |
//! | `color_profile` | conversion of its colours to sRGB |
//! | `mask` | reads which cells of an image an edit draws again |
//! | `token_file` | images as their tokens, in binary and JSON |
//! | `jpeg` | segments of JPEG files |

mod animation;
mod color_profile;
mod error;
mod exif;
mod format;
mod gif;
mod input;
mod jpeg;
mod layout;
mod mask;
mod metadata;
mod png;
mod png_metadata;
mod provenance;
mod token_file;
mod webp;

pub use animation::{Animation, AnimationFormat, DEFAULT_FRAME_DELAY};
pub use error::{MetadataError, PictureError};
pub use format::Format;
pub use input::{InputError, InputImage, MAX_INPUT_MEMORY, MAX_INPUT_PIXELS, MAX_INPUT_SIDE};
pub use layout::{MAX_PIXEL_ART, MAX_SCALE, enlarge, fit, sheet, sheet_columns, sheet_size, side_by_side};
pub use mask::{MAX_MASK_PIXELS, MaskFile, MaskRules};
pub use metadata::read_provenance;
pub use png::{encode as encode_png, encode_with_parameters as encode_png_with_parameters};
pub use png_metadata::read_texts as read_png_texts;
pub use provenance::Provenance;
pub use token_file::{TokenFile, TokenFileError};
