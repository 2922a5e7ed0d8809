//! Picture files: rendering a job's images (`render`) and steps (`animation`), the threads that do so (`image_pool`), the
//! classes' sample pictures, and files that browsers cache (`cached_file`).

mod animation;
mod cached_file;
mod class_pictures;
mod image_pool;
mod render;

pub(super) use animation::{AnimationParameters, Channel, animation};
pub(super) use cached_file::{CachedFile, REVALIDATE};
pub(super) use image_pool::ImagePool;
pub(super) use render::{
    JPEG_QUALITY, RenderOptions, check_size, decode, render_image, render_sheet, sheet_pixels,
};

pub use class_pictures::ClassPictures;
