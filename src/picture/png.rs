//! PNG files: still pictures and animations (APNG).

use std::borrow::Cow;

use image::DynamicImage;
use png::{BitDepth, ColorType, Encoder};

use super::error::PictureError;
use super::png_metadata::{write_parameters, write_provenance};
use super::provenance::Provenance;

/// Writes a picture as a PNG file: 8-bit greyscale if it is `ImageLuma8`, otherwise 8-bit RGB. See `png_metadata` for how
/// the provenance is written.
///
/// # Errors
/// [`PictureError::Png`] if the picture has no pixels.
pub fn encode(picture: &DynamicImage, provenance: Option<&Provenance>) -> Result<Vec<u8>, PictureError> {
    encode_still(picture, provenance, None)
}

/// The same with the settings of the picture as a text for other programs (see `png_metadata`).
///
/// # Errors
/// As in [`encode`].
pub fn encode_with_parameters(
    picture: &DynamicImage,
    provenance: Option<&Provenance>,
    parameters: &str,
) -> Result<Vec<u8>, PictureError> {
    encode_still(picture, provenance, Some(parameters))
}

fn encode_still(
    picture: &DynamicImage,
    provenance: Option<&Provenance>,
    parameters: Option<&str>,
) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let (color, pixels) = pixels(picture, is_grey(picture));
    let mut encoder = encoder(&mut file, picture, color, provenance)?;
    if let Some(parameters) = parameters {
        write_parameters(&mut encoder, parameters)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Writes frames of one size as an APNG that loops for ever. `milliseconds` gives the duration of a frame by its index.
///
/// The default image, which viewers without animation show, is the last frame.
pub(super) fn encode_animation(
    frames: &[DynamicImage],
    milliseconds: impl Fn(usize) -> u32,
    provenance: Option<&Provenance>,
) -> Result<Vec<u8>, PictureError> {
    let Some(last) = frames.last() else { return Err(PictureError::Frames) };
    let grey = frames.iter().all(is_grey);
    let mut file = Vec::new();
    let (color, default_pixels) = pixels(last, grey);
    let mut encoder = encoder(&mut file, last, color, provenance)?;
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_sep_def_img(true)?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&default_pixels)?;
    for (index, frame) in frames.iter().enumerate() {
        writer.set_frame_delay(u16::try_from(milliseconds(index)).unwrap_or(u16::MAX), 1000)?;
        writer.write_image_data(&pixels(frame, grey).1)?;
    }
    writer.finish()?;
    Ok(file)
}

fn encoder<'a>(
    file: &'a mut Vec<u8>,
    picture: &DynamicImage,
    color: ColorType,
    provenance: Option<&Provenance>,
) -> Result<Encoder<'static, &'a mut Vec<u8>>, PictureError> {
    let mut encoder = Encoder::new(file, picture.width(), picture.height());
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    if let Some(provenance) = provenance {
        write_provenance(&mut encoder, provenance)?;
    }
    Ok(encoder)
}

fn is_grey(picture: &DynamicImage) -> bool {
    matches!(picture, DynamicImage::ImageLuma8(_))
}

fn pixels(picture: &DynamicImage, grey: bool) -> (ColorType, Cow<'_, [u8]>) {
    match picture {
        DynamicImage::ImageLuma8(image) if grey => (ColorType::Grayscale, Cow::Borrowed(image.as_raw())),
        DynamicImage::ImageRgb8(image) => (ColorType::Rgb, Cow::Borrowed(image.as_raw())),
        other => (ColorType::Rgb, Cow::Owned(other.to_rgb8().into_raw())),
    }
}
