//! PNG files with the parameters that made them.
//!
//! | chunk | keyword | text |
//! |---|---|---|
//! | `tEXt` | `Software` | `rdpm 0.1.0` |
//! | `iTXt` | `Title` | the class |
//! | `iTXt` | `Description` | a sentence for people |
//! | `iTXt` | `rdpm` | [`Provenance`] as JSON, for programs |
//!
//! All come before the pixels, uncompressed.

use std::io::{BufRead, Seek};

use image::DynamicImage;
use png::{BitDepth, ColorType, Encoder};

use super::{PictureError, Provenance};

/// The keyword of the JSON.
const KEYWORD: &str = "rdpm";
/// A reader of metadata allocates no more than this.
const READ_LIMIT: usize = 1 << 20;

/// Why a file tells no parameters.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    #[error("not a PNG file that can be read: {0}")]
    Png(#[from] png::DecodingError),
    #[error("the PNG file has no parameters of rdpm")]
    Missing,
    #[error("the parameters in the PNG file can't be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the parameters in the PNG file have control characters")]
    Control,
}

/// A picture as a PNG file: grey stays grey, all else is RGB.
///
/// # Errors
/// [`PictureError::Png`] where the picture has no pixels.
pub fn encode(picture: &DynamicImage, parameters: Option<&Provenance>) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let (color, pixels) = pixels(picture, is_grey(picture));
    let mut writer = encoder(&mut file, picture, color, parameters)?.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// Frames of one size as an APNG, repeated for ever; `milliseconds` is the time of each. Its default image, for
/// viewers that show no animation, is the last frame.
pub(super) fn animate(
    frames: &[DynamicImage],
    milliseconds: impl Fn(usize) -> u32,
    parameters: Option<&Provenance>,
) -> Result<Vec<u8>, PictureError> {
    let Some(last) = frames.last() else { return Err(PictureError::Frames) };
    let grey = frames.iter().all(is_grey);
    let mut file = Vec::new();
    let (color, pixels_of_last) = pixels(last, grey);
    let mut encoder = encoder(&mut file, last, color, parameters)?;
    encoder.set_animated(frames.len() as u32, 0)?;
    encoder.set_sep_def_img(true)?;
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels_of_last)?;
    for (index, frame) in frames.iter().enumerate() {
        writer.set_frame_delay(u16::try_from(milliseconds(index)).unwrap_or(u16::MAX), 1000)?;
        writer.write_image_data(&pixels(frame, grey).1)?;
    }
    writer.finish()?;
    Ok(file)
}

/// The parameters in a PNG file. Reads up to the pixels, not these.
///
/// # Errors
/// [`MetadataError`]: no PNG file, none with parameters, or parameters that can't be used.
pub fn read_provenance(file: impl BufRead + Seek) -> Result<Provenance, MetadataError> {
    let decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: READ_LIMIT });
    let reader = decoder.read_info()?;
    let mut texts = reader.info().utf8_text.iter();
    let chunk = texts.find(|chunk| chunk.keyword == KEYWORD).ok_or(MetadataError::Missing)?;
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(READ_LIMIT)?;
    let parameters: Provenance = serde_json::from_str(&chunk.get_text()?)?;
    // They are meant to be printed, and a terminal obeys such characters.
    if parameters.texts().any(|text| text.chars().any(char::is_control)) {
        return Err(MetadataError::Control);
    }
    Ok(parameters)
}

fn encoder<'a>(
    file: &'a mut Vec<u8>,
    picture: &DynamicImage,
    color: ColorType,
    parameters: Option<&Provenance>,
) -> Result<Encoder<'static, &'a mut Vec<u8>>, PictureError> {
    let mut encoder = Encoder::new(file, picture.width(), picture.height());
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    if let Some(parameters) = parameters {
        encoder.add_text_chunk("Software".into(), format!("rdpm {}", parameters.version))?;
        encoder.add_itxt_chunk("Title".into(), parameters.class.clone())?;
        encoder.add_itxt_chunk("Description".into(), parameters.description())?;
        encoder.add_itxt_chunk(KEYWORD.into(), parameters.to_json())?;
    }
    Ok(encoder)
}

fn is_grey(picture: &DynamicImage) -> bool {
    matches!(picture, DynamicImage::ImageLuma8(_))
}

fn pixels(picture: &DynamicImage, grey: bool) -> (ColorType, Vec<u8>) {
    if grey {
        (ColorType::Grayscale, picture.to_luma8().into_raw())
    } else {
        (ColorType::Rgb, picture.to_rgb8().into_raw())
    }
}
