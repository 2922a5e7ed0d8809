//! Upscales pictures and arranges them.

use image::imageops::{FilterType, overlay};
use image::{DynamicImage, Rgb, RgbImage};

/// The largest allowed scale.
pub const MAX_SCALE: u32 = 32;
/// Pixels between two pictures of a sheet.
const GAP: u32 = 2;

/// Upscales a picture without smoothing: every pixel becomes a square of `scale` × `scale`.
pub fn enlarge(picture: &DynamicImage, scale: u32) -> DynamicImage {
    if scale == 1 {
        return picture.clone();
    }
    picture.resize_exact(picture.width() * scale, picture.height() * scale, FilterType::Nearest)
}

/// The number of columns that makes a sheet of `count` pictures nearly square: √count, rounded up.
pub fn sheet_columns(count: u32) -> u32 {
    count.isqrt() + u32::from(count.isqrt().pow(2) != count)
}

/// Width and height in pixels of a sheet of `count` pictures in cells of `cell` × `cell` pixels.
pub fn sheet_size(count: u32, columns: u32, cell: u32) -> (u32, u32) {
    let columns = columns.clamp(1, count.max(1));
    let side = |cells: u32| (cells * (cell + GAP)).saturating_sub(GAP);
    (side(columns), side(count.div_ceil(columns)))
}

/// Arranges pictures in rows on white. Each is upscaled without smoothing to `cell` × `cell` pixels.
///
/// A single picture keeps its colour type; a sheet of several is RGB.
pub fn sheet(pictures: &[DynamicImage], columns: u32, cell: u32) -> DynamicImage {
    if let [one] = pictures {
        return one.resize_exact(cell, cell, FilterType::Nearest);
    }
    let count = pictures.len() as u32;
    let columns = columns.clamp(1, count.max(1));
    let (width, height) = sheet_size(count, columns, cell);
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (index, picture) in (0u32..).zip(pictures) {
        let picture = picture.resize_exact(cell, cell, FilterType::Nearest).into_rgb8();
        let offset = |cells: u32| i64::from(cells * (cell + GAP));
        overlay(&mut sheet, &picture, offset(index % columns), offset(index / columns));
    }
    DynamicImage::ImageRgb8(sheet)
}

/// Arranges panels in one row on white, aligned at the top.
pub fn side_by_side(panels: &[DynamicImage]) -> RgbImage {
    let width = panels.iter().map(|panel| panel.width() + 2 * GAP).sum::<u32>().saturating_sub(2 * GAP);
    let height = panels.iter().map(DynamicImage::height).max().unwrap_or(0);
    let mut row = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut left = 0;
    for panel in panels {
        overlay(&mut row, &panel.to_rgb8(), i64::from(left), 0);
        left += panel.width() + 2 * GAP;
    }
    row
}
