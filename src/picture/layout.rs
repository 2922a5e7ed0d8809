//! Enlarging and arranging.

use image::imageops::{FilterType, overlay};
use image::{DynamicImage, Rgb, RgbImage};

/// Pictures can be enlarged so many times.
pub const MAX_SCALE: u32 = 32;
/// Pixels between two pictures of a sheet.
const GAP: u32 = 2;

/// Every pixel as a square of `scale` × `scale`.
pub fn enlarge(picture: &DynamicImage, scale: u32) -> DynamicImage {
    if scale == 1 {
        return picture.clone();
    }
    picture.resize_exact(picture.width() * scale, picture.height() * scale, FilterType::Nearest)
}

/// How many columns make the sheet of `count` pictures nearly square.
pub fn sheet_columns(count: u32) -> u32 {
    count.isqrt() + u32::from(count.isqrt().pow(2) != count)
}

/// Width and height of a sheet of `count` pictures with cells of `cell` pixels.
pub fn sheet_size(count: u32, columns: u32, cell: u32) -> (u32, u32) {
    let columns = columns.clamp(1, count.max(1));
    let side = |cells: u32| (cells * (cell + GAP)).saturating_sub(GAP);
    (side(columns), side(count.div_ceil(columns)))
}

/// Pictures in rows, each enlarged to a `cell`-pixel square without smoothing, on white. A single picture keeps its
/// colour type, a sheet is RGB.
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
        let place = |at: u32| i64::from(at * (cell + GAP));
        overlay(&mut sheet, &picture, place(index % columns), place(index / columns));
    }
    DynamicImage::ImageRgb8(sheet)
}

/// Panels of one height, side by side.
pub fn side_by_side(panels: &[DynamicImage]) -> RgbImage {
    let width = panels.iter().map(|panel| panel.width() + 2 * GAP).sum::<u32>().saturating_sub(2 * GAP);
    let height = panels.iter().map(DynamicImage::height).max().unwrap_or(0);
    let mut whole = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut left = 0;
    for panel in panels {
        overlay(&mut whole, &panel.to_rgb8(), i64::from(left), 0);
        left += panel.width() + 2 * GAP;
    }
    whole
}
