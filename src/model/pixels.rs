//! Between pictures and tensors.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GenericImageView, GrayImage, Pixel, RgbImage, Rgba};

use super::ModelError;
use super::config::Image;

/// A picture as a model sees it: transparency laid on white, cropped to the central square, scaled to the model's size,
/// in its colours. One that is so already stays as it is.
pub fn preprocess(image: &DynamicImage, to: &Image) -> DynamicImage {
    let (size, side) = (to.size as u32, image.width().min(image.height()));
    // Cropped first: a strip that is scaled to the size is as long as ever.
    let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
    let mut square = image.view(x, y, side, side).to_image();
    for pixel in square.pixels_mut() {
        let mut white = Rgba([255; 4]);
        white.blend(pixel);
        *pixel = white;
    }
    if side != size {
        square = imageops::resize(&square, size, size, FilterType::Lanczos3);
    }
    let square = DynamicImage::from(square);
    match to.channels {
        1 => DynamicImage::ImageLuma8(square.into_luma8()),
        _ => DynamicImage::ImageRgb8(square.into_rgb8()),
    }
}

/// A picture that [fits](preprocess) as numbers (size, size, channels) in −1..1.
pub fn to_numbers(image: DynamicImage, to: &Image) -> Vec<f32> {
    let bytes = match to.channels {
        1 => image.into_luma8().into_raw(),
        _ => image.into_rgb8().into_raw(),
    };
    bytes.into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect()
}

/// Numbers (b, size, size, channels), about −1..1, to pictures.
pub fn to_images(numbers: &[f32], of: &Image) -> Result<Vec<DynamicImage>, ModelError> {
    let byte = |number: &f32| (number.clamp(-1.0, 1.0) * 127.5 + 127.5).round() as u8;
    let size = of.size as u32;
    let picture = |numbers: &[f32]| {
        let bytes = numbers.iter().map(byte).collect();
        match of.channels {
            1 => GrayImage::from_raw(size, size, bytes).map(DynamicImage::ImageLuma8),
            3 => RgbImage::from_raw(size, size, bytes).map(DynamicImage::ImageRgb8),
            _ => None,
        }
    };
    let pictures: Option<Vec<_>> =
        numbers.chunks_exact(of.size * of.size * of.channels).map(picture).collect();
    pictures.ok_or_else(|| ModelError::Image(format!("{} channels make no picture", of.channels)))
}
