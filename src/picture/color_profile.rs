//! Colour profiles (ICC): the colours of an image as sRGB, in which the models were trained.

use std::io::Cursor;
use std::sync::Arc;

use image::{ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use moxcms::{ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformOptions};

/// What reading a profile may allocate, in bytes.
const MAX_MEMORY: u64 = 8 << 20;
/// Colours that change by less are those of sRGB in another wording.
const NEAR: u8 = 2;

/// Converts the colours of an image to sRGB, if its file has another RGB profile. A damaged profile is ignored, as viewers do.
pub(super) fn to_srgb(image: &mut RgbImage, file: &[u8], format: ImageFormat) {
    let Some(transform) = profile(file, format).and_then(|profile| transform(&profile)) else { return };
    let stride = 3 * image.width() as usize;
    let mut converted = vec![0; stride];
    for row in image.chunks_exact_mut(stride.max(1)) {
        if transform.transform(row, &mut converted).is_ok() {
            row.copy_from_slice(&converted);
        }
    }
}

/// The profile in a file.
fn profile(file: &[u8], format: ImageFormat) -> Option<ColorProfile> {
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_MEMORY);
    reader.limits(limits);
    let bytes = reader.into_decoder().ok()?.icc_profile().ok()??;
    ColorProfile::new_from_slice(&bytes).ok()
}

/// The conversion of an RGB profile's colours to sRGB; `None` where it changes nothing that can be seen.
fn transform(profile: &ColorProfile) -> Option<Arc<Transform8BitExecutor>> {
    if profile.color_space != DataColorSpace::Rgb {
        return None;
    }
    let (srgb, options) = (ColorProfile::new_srgb(), TransformOptions::default());
    let transform = profile.create_transform_8bit(Layout::Rgb, &srgb, Layout::Rgb, options).ok()?;
    let levels = [0, 64, 128, 192, 255];
    let colors: Vec<u8> =
        (0..125).flat_map(|color| [levels[color / 25], levels[color / 5 % 5], levels[color % 5]]).collect();
    let mut converted = vec![0; colors.len()];
    transform.transform(&colors, &mut converted).ok()?;
    let is_srgb = colors.iter().zip(&converted).all(|(a, b)| a.abs_diff(*b) <= NEAR);
    (!is_srgb).then_some(transform)
}
