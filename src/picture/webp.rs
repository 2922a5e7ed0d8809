//! WebP files (RFC 9649, section 2.7): animations, of which the `image` crate writes single frames only, and where the EXIF
//! data is.

use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, RgbImage};

use super::error::PictureError;
use super::exif;
use super::provenance::Provenance;

/// Length of the file header: `RIFF`, file size, `WEBP`.
const FILE_HEADER: usize = 12;
/// Flag of the VP8X chunk: the file has an animation.
const ANIMATED: u8 = 0b10;
/// Flag of the VP8X chunk: the file has EXIF data.
const HAS_EXIF: u8 = 0b1000;
/// Flag of the ANMF chunk: the frame replaces the previous one instead of blending with it.
const DO_NOT_BLEND: u8 = 0b10;

/// Writes frames of one size as a file that loops for ever. `milliseconds` gives the duration of a frame by its index.
pub(super) fn encode_animation(
    frames: &[DynamicImage],
    milliseconds: impl Fn(usize) -> u32,
    provenance: Option<&Provenance>,
) -> Result<Vec<u8>, PictureError> {
    let Some(first) = frames.first() else { return Err(PictureError::Frames) };
    let size = [u24(first.width().saturating_sub(1)), u24(first.height().saturating_sub(1))].concat();
    let mut file = b"RIFF\0\0\0\0WEBP".to_vec();
    let flags = if provenance.is_some() { ANIMATED | HAS_EXIF } else { ANIMATED };
    chunk(&mut file, b"VP8X", &[&[flags, 0, 0, 0], size.as_slice()].concat());
    // White background; 0 is an endless loop.
    chunk(&mut file, b"ANIM", &[255, 255, 255, 255, 0, 0]);
    for (index, picture) in frames.iter().enumerate() {
        let mut frame = [&[0; 6], size.as_slice(), &u24(milliseconds(index)), &[DO_NOT_BLEND]].concat();
        frame.extend_from_slice(encode_still(picture)?.get(FILE_HEADER..).unwrap_or_default());
        chunk(&mut file, b"ANMF", &frame);
    }
    if let Some(provenance) = provenance {
        chunk(&mut file, b"EXIF", &exif::encode(provenance));
    }
    let length = (file.len() - 8) as u32;
    file[4..8].copy_from_slice(&length.to_le_bytes());
    Ok(file)
}

/// Finds the EXIF data of a file.
pub(super) fn find_exif(file: &[u8]) -> Option<&[u8]> {
    let mut rest = file.get(FILE_HEADER..)?;
    loop {
        let (name, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let data = after.get(..length)?;
        if name == b"EXIF" {
            // Some programs write the prefix that only JPEG has.
            return Some(data.strip_prefix(b"Exif\0\0").unwrap_or(data));
        }
        rest = after.get(length + length % 2..)?;
    }
}

/// Writes a lossless file of one picture, with a single `VP8L` chunk.
fn encode_still(picture: &DynamicImage) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let color = image::ExtendedColorType::Rgb8;
    let mut write = |rgb: &RgbImage| {
        WebPEncoder::new_lossless(&mut file).write_image(rgb, rgb.width(), rgb.height(), color)
    };
    match picture {
        DynamicImage::ImageRgb8(rgb) => write(rgb)?,
        other => write(&other.to_rgb8())?,
    }
    Ok(file)
}

/// Appends a chunk: name, length, data, and a padding byte if the length is odd.
fn chunk(to: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(&(data.len() as u32).to_le_bytes());
    to.extend_from_slice(data);
    if data.len() % 2 == 1 {
        to.push(0);
    }
}

/// The lower three bytes, in little-endian order.
fn u24(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}
