//! Conversions between images and the numbers that the networks read and write.

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{DynamicImage, GenericImageView, GrayImage, ImageBuffer, Pixel, RgbImage, Rgba};

use super::config::ImageConfig;
use super::error::ModelError;

/// Prepares an image for a model: blends transparency with white, crops to the central square, resizes to the model's
/// size (Lanczos) and converts to its channels.
///
/// An image that already has this form is returned unchanged.
pub fn preprocess(image: &DynamicImage, config: &ImageConfig) -> DynamicImage {
    preprocess_oriented(image, Orientation::NoTransforms, config)
}

/// Prepares an image that is stored rotated or flipped, as EXIF allows: [`preprocess`] of the upright image.
///
/// Rotates the small result instead of the image. Opaque 8-bit RGB and greyscale images are resized without a copy.
pub fn preprocess_oriented(
    image: &DynamicImage,
    orientation: Orientation,
    config: &ImageConfig,
) -> DynamicImage {
    use Orientation::{FlipHorizontal, FlipVertical, Rotate90, Rotate180, Rotate270, Rotate270FlipH};
    let (size, side) = (config.size as u32, image.width().min(image.height()));
    // Crop first: resizing a long strip first would allocate its whole length.
    let (mut x, mut y) = ((image.width() - side) / 2, (image.height() - side) / 2);
    // Half a pixel is rounded down in the upright image.
    if matches!(orientation, FlipHorizontal | Rotate180 | Rotate270 | Rotate270FlipH) {
        x = image.width() - side - x;
    }
    if matches!(orientation, FlipVertical | Rotate180 | Rotate90 | Rotate270FlipH) {
        y = image.height() - side - y;
    }
    let mut square: DynamicImage = match image {
        DynamicImage::ImageLuma8(grey) => resize(&*grey.view(x, y, side, side), size).into(),
        DynamicImage::ImageRgb8(rgb) => resize(&*rgb.view(x, y, side, side), size).into(),
        other => {
            let mut square = other.view(x, y, side, side).to_image();
            for pixel in square.pixels_mut() {
                let mut white = Rgba([255; 4]);
                white.blend(pixel);
                *pixel = white;
            }
            resize(&square, size).into()
        }
    };
    square.apply_orientation(orientation);
    match config.channels {
        1 => DynamicImage::ImageLuma8(square.into_luma8()),
        _ => DynamicImage::ImageRgb8(square.into_rgb8()),
    }
}

/// Resizes a square image. One that has the size already is copied.
fn resize<I>(square: &I, size: u32) -> ImageBuffer<I::Pixel, Vec<u8>>
where
    I: GenericImageView,
    I::Pixel: Pixel<Subpixel = u8> + 'static,
{
    imageops::resize(square, size, size, FilterType::Lanczos3)
}

/// Converts a [preprocessed](preprocess) image to numbers (size, size, channels) in −1..1.
pub(super) fn normalize(image: DynamicImage, config: &ImageConfig) -> Vec<f32> {
    let bytes = match config.channels {
        1 => image.into_luma8().into_raw(),
        _ => image.into_rgb8().into_raw(),
    };
    bytes.into_iter().map(|byte| f32::from(byte) / 127.5 - 1.0).collect()
}

/// Converts numbers (b, size, size, channels), clamped to −1..1, to images.
///
/// # Errors
/// [`ModelError::Image`] if the model has neither one nor three channels.
pub(super) fn denormalize(numbers: &[f32], config: &ImageConfig) -> Result<Vec<DynamicImage>, ModelError> {
    let byte = |number: &f32| (number.clamp(-1.0, 1.0) * 127.5 + 127.5).round() as u8;
    let size = config.size as u32;
    let image = |numbers: &[f32]| {
        let bytes = numbers.iter().map(byte).collect();
        match config.channels {
            1 => GrayImage::from_raw(size, size, bytes).map(DynamicImage::ImageLuma8),
            3 => RgbImage::from_raw(size, size, bytes).map(DynamicImage::ImageRgb8),
            _ => None,
        }
    };
    let len = config.size * config.size * config.channels;
    let images: Option<Vec<_>> = numbers.chunks_exact(len).map(image).collect();
    images.ok_or_else(|| ModelError::Image(format!("images have 1 or 3 channels, not {}", config.channels)))
}
