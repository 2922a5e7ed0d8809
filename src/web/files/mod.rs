//! Picture files: rendering a job's images (`render`) and steps (`animation`), the threads that do so and the cache
//! (`image_pool`, `renderer`), what the address of a picture names (`picture_address`), the classes' sample pictures, and
//! files that browsers cache (`cached_file`).

mod animation;
mod cached_file;
mod class_pictures;
mod image_pool;
mod picture_address;
mod render;
mod render_options;
mod renderer;

pub(super) use animation::{animation, encode_animation};
pub(super) use cached_file::{CachedFile, REVALIDATE};
pub(super) use class_pictures::sheet_columns;
pub(super) use image_pool::{ImagePool, pool_memory};
pub(super) use picture_address::{PictureAddress, PictureFile};
pub(super) use render::{
    JPEG_QUALITY, MAX_RENDER_MEMORY, check_size, decode, encode_image, render_image, render_memory,
    render_sheet, sheet_pixels,
};
pub(super) use render_options::{AnimationParameters, Channel, PictureDigest, RenderOptions};
pub(super) use renderer::{CACHE_CAPACITY, Renderer};

pub use class_pictures::ClassPictures;
