//! A job's images as one picture file.

use axum::body::Bytes;
use image::{DynamicImage, ImageFormat};

use super::render_options::RenderOptions;
use super::renderer::{RenderKey, Renderer};
use crate::engine::{FinishedImage, Snapshot};
use crate::picture::{self, MAX_SCALE, PictureError};
use crate::request::FieldError;
use crate::web::access::{Budget, Cost};
use crate::web::problem::Problem;

/// JPEG's default quality.
pub(in crate::web) const JPEG_QUALITY: u8 = 90;
/// The largest picture, in pixels, all frames of an animation together.
const MAX_PIXELS: u64 = 1 << 24;
/// Bytes that rendering takes for each pixel at most: the picture, the encoder's copy, the file.
const BYTES_PER_PIXEL: u64 = 10;
/// Bytes that rendering the largest picture takes at most.
pub(in crate::web) const MAX_RENDER_MEMORY: u64 = BYTES_PER_PIXEL * MAX_PIXELS;

/// Checks that a picture isn't too large at a `scale`; `pixels` is its size at a scale.
///
/// # Errors
/// 422 with the largest scale that is possible.
pub(in crate::web) fn check_size(scale: u32, pixels: impl Fn(u32) -> u64) -> Result<(), Problem> {
    if pixels(scale) <= MAX_PIXELS {
        return Ok(());
    }
    let largest = (1..MAX_SCALE).rev().find(|&scale| pixels(scale) <= MAX_PIXELS).unwrap_or(1);
    let allowed = format!("integers from 1 to {largest} for this number of images");
    Err(Problem::invalid(FieldError::new("scale", scale.into(), allowed)))
}

/// Bytes that rendering so many pixels takes at most.
pub(in crate::web) fn render_memory(pixels: u64) -> u64 {
    BYTES_PER_PIXEL * pixels
}

/// Pixels of a sheet.
pub(in crate::web) fn sheet_pixels(count: u32, cell: u32) -> u64 {
    let (width, height) = picture::sheet_size(count, picture::sheet_columns(count), cell);
    u64::from(width) * u64::from(height)
}

/// One image of a generation, which must be finished, as a file.
pub(in crate::web) async fn render_image(
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    index: u32,
    options: RenderOptions,
) -> Result<Bytes, Problem> {
    if options.is_stored() {
        return Ok(finished_image(snapshot, index)?.png.clone());
    }
    let key = RenderKey::Image { job: snapshot.id, index, options };
    renderer.get_or_render(&key, encode_image(renderer, budget, snapshot, index, options)).await
}

/// The same without the cache.
pub(in crate::web) async fn encode_image(
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    index: u32,
    options: RenderOptions,
) -> Result<Bytes, Problem> {
    let image = finished_image(snapshot, index)?;
    if options.is_stored() {
        return Ok(image.png.clone());
    }
    pictures(renderer, budget, snapshot, vec![image.png.clone()], index, options).await
}

fn finished_image(snapshot: &Snapshot, index: u32) -> Result<&FinishedImage, Problem> {
    let image = snapshot.images.iter().find(|image| image.index == index);
    image.ok_or_else(|| Problem::not_found(format!("Image {index} isn't finished.")))
}

/// All images of a generation that is completed, in rows.
pub(in crate::web) async fn render_sheet(
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    options: RenderOptions,
) -> Result<Bytes, Problem> {
    let files = snapshot.images.iter().map(|image| image.png.clone()).collect();
    let key = RenderKey::Sheet { job: snapshot.id, options };
    renderer.get_or_render(&key, pictures(renderer, budget, snapshot, files, 0, options)).await
}

/// Charges `budget`: only pictures that are not cached are made.
async fn pictures(
    renderer: &Renderer,
    budget: &Budget,
    snapshot: &Snapshot,
    files: Vec<Bytes>,
    first: u32,
    options: RenderOptions,
) -> Result<Bytes, Problem> {
    let config = &snapshot.request.model().config;
    let (size, count) = (config.image.size as u32, files.len() as u32);
    let pixels = match options.fit {
        Some((width, height)) if count == 1 => u64::from(width) * u64::from(height),
        _ => {
            check_size(options.scale, |scale| sheet_pixels(count, size * scale))?;
            sheet_pixels(count, size * options.scale)
        }
    };
    budget.charge(Cost::pixels(pixels))?;
    let image = snapshot.images.iter().find(|image| image.index == first);
    let tokens = image.and_then(|image| image.tokens.as_deref());
    let parameters = snapshot.request.provenance(first, tokens).of_sheet(count, options.scale);
    let work = move || {
        let images = files.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let sheet = match images.as_slice() {
            [image] => options.resize(image),
            images => picture::sheet(images, picture::sheet_columns(count), size * options.scale),
        };
        options.format.encode(&sheet, options.quality, Some(&parameters))
    };
    renderer.run(budget.client(), render_memory(pixels), work).await
}

/// Decodes a PNG file that the engine made.
pub(in crate::web) fn decode(file: &Bytes) -> Result<DynamicImage, PictureError> {
    Ok(image::load_from_memory_with_format(file, ImageFormat::Png)?)
}
