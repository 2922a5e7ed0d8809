//! Animated WebP files (RFC 9649, section 2.7). The `image` crate reads them but writes single frames only.

use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder};

use super::error::PictureError;

/// Length of the file header: `RIFF`, file size, `WEBP`.
const FILE_HEADER: usize = 12;
/// Flag of the VP8X chunk: the file has an animation.
const ANIMATED: u8 = 0b10;
/// Flag of the ANMF chunk: the frame replaces the previous one instead of blending with it.
const DO_NOT_BLEND: u8 = 0b10;

/// Writes frames of one size, each with its duration in milliseconds, as a file that loops for ever.
pub(super) fn encode_animation(frames: &[(DynamicImage, u32)]) -> Result<Vec<u8>, PictureError> {
    let Some((first, _)) = frames.first() else { return Err(PictureError::Frames) };
    let size = [u24(first.width().saturating_sub(1)), u24(first.height().saturating_sub(1))].concat();
    let mut body = b"WEBP".to_vec();
    chunk(&mut body, b"VP8X", &[&[ANIMATED, 0, 0, 0], size.as_slice()].concat());
    // White background; 0 is an endless loop.
    chunk(&mut body, b"ANIM", &[255, 255, 255, 255, 0, 0]);
    for (picture, milliseconds) in frames {
        let mut frame = [&[0; 6], size.as_slice(), &u24(*milliseconds), &[DO_NOT_BLEND]].concat();
        frame.extend_from_slice(encode_still(picture)?.get(FILE_HEADER..).unwrap_or_default());
        chunk(&mut body, b"ANMF", &frame);
    }
    let mut file = Vec::with_capacity(body.len() + 8);
    chunk(&mut file, b"RIFF", &body);
    Ok(file)
}

/// Writes a lossless file of one picture, with a single `VP8L` chunk.
fn encode_still(picture: &DynamicImage) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let rgb = picture.to_rgb8();
    let color = image::ExtendedColorType::Rgb8;
    WebPEncoder::new_lossless(&mut file).write_image(&rgb, rgb.width(), rgb.height(), color)?;
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
