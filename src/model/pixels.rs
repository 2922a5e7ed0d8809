//! Between pictures and tensors.

use candle_core::{DType, Device, Tensor};
use image::imageops::{FilterType, overlay};
use image::{DynamicImage, GrayImage, RgbImage, Rgba, RgbaImage};

use super::ModelError;
use super::config::Image;

/// A picture as a tensor (1, channels, size, size) in −1..1: transparency laid on white, cropped to the central square,
/// scaled to the model's size.
pub fn to_tensor(image: &DynamicImage, to: &Image, device: &Device) -> Result<Tensor, ModelError> {
    let mut opaque = RgbaImage::from_pixel(image.width(), image.height(), Rgba([255; 4]));
    overlay(&mut opaque, &image.to_rgba8(), 0, 0);
    let size = to.size as u32;
    let square = DynamicImage::ImageRgba8(opaque).resize_to_fill(size, size, FilterType::Lanczos3);
    let bytes = match to.channels {
        1 => square.into_luma8().into_raw(),
        _ => square.into_rgb8().into_raw(),
    };
    let pixels = Tensor::from_vec(bytes, (to.size, to.size, to.channels), device)?.permute((2, 0, 1))?;
    Ok(((pixels.to_dtype(DType::F32)? / 127.5)? - 1.0)?.unsqueeze(0)?.contiguous()?)
}

/// Tensors (b, channels, size, size), about −1..1, to pictures.
pub fn to_images(pixels: &Tensor) -> Result<Vec<DynamicImage>, ModelError> {
    let (b, channels, height, width) = pixels.dims4()?;
    let bytes = pixels.clamp(-1f32, 1f32)?.affine(127.5, 127.5)?.round()?.to_dtype(DType::U8)?;
    let bytes = bytes.permute((0, 2, 3, 1))?.flatten_all()?.to_vec1::<u8>()?;
    let (width32, height32) = (width as u32, height as u32);
    let picture = |raw: &[u8]| match channels {
        1 => GrayImage::from_raw(width32, height32, raw.to_vec()).map(DynamicImage::ImageLuma8),
        3 => RgbImage::from_raw(width32, height32, raw.to_vec()).map(DynamicImage::ImageRgb8),
        _ => None,
    };
    let pictures: Option<Vec<_>> = bytes.chunks_exact(bytes.len() / b).map(picture).collect();
    pictures.ok_or_else(|| {
        ModelError::Image(format!("{channels} channels of {width} × {height} make no picture"))
    })
}
