//! Animated WebP: the container around lossless frames (RFC 9649, section 2.7), which the `image` crate reads but
//! doesn't write.

use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder};

use super::PictureError;

/// `RIFF`, length, `WEBP`.
const FILE_HEADER: usize = 12;
/// VP8X: there is an animation.
const ANIMATED: u8 = 0b10;
/// ANMF: the frame replaces what is below it.
const REPLACE: u8 = 0b10;

/// Frames of one size, each with its time in milliseconds, repeated for ever.
pub fn animate(frames: &[(DynamicImage, u32)]) -> Result<Vec<u8>, PictureError> {
    let Some((first, _)) = frames.first() else { return Err(PictureError::Frames) };
    let size = [u24(first.width().saturating_sub(1)), u24(first.height().saturating_sub(1))].concat();
    let mut body = b"WEBP".to_vec();
    chunk(&mut body, b"VP8X", &[&[ANIMATED, 0, 0, 0], size.as_slice()].concat());
    // Background colour white, any number of rounds.
    chunk(&mut body, b"ANIM", &[255, 255, 255, 255, 0, 0]);
    for (picture, milliseconds) in frames {
        let mut frame = [&[0; 6], size.as_slice(), &u24(*milliseconds), &[REPLACE]].concat();
        frame.extend_from_slice(lossless(picture)?.get(FILE_HEADER..).unwrap_or_default());
        chunk(&mut body, b"ANMF", &frame);
    }
    let mut file = Vec::with_capacity(body.len() + 8);
    chunk(&mut file, b"RIFF", &body);
    Ok(file)
}

/// A file with a single `VP8L` chunk.
fn lossless(picture: &DynamicImage) -> Result<Vec<u8>, PictureError> {
    let mut file = Vec::new();
    let rgb = picture.to_rgb8();
    let color = image::ExtendedColorType::Rgb8;
    WebPEncoder::new_lossless(&mut file).write_image(&rgb, rgb.width(), rgb.height(), color)?;
    Ok(file)
}

/// Name, length, data, and a byte more where the length is odd.
fn chunk(to: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    to.extend_from_slice(name);
    to.extend_from_slice(&(data.len() as u32).to_le_bytes());
    to.extend_from_slice(data);
    if data.len() % 2 == 1 {
        to.push(0);
    }
}

/// The low three bytes, lowest first.
fn u24(number: u32) -> [u8; 3] {
    let [a, b, c, _] = number.to_le_bytes();
    [a, b, c]
}
