//! Upscales pictures and arranges them.

use std::collections::BTreeMap;

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageBuffer, Pixel, Rgb, RgbImage};

/// The largest allowed scale.
pub const MAX_SCALE: u32 = 32;
/// Pictures up to this side, in pixels, are pixel art: a whole factor makes every pixel a square.
pub const MAX_PIXEL_ART: u32 = 64;
/// Pixels between two pictures of a sheet.
const GAP: u32 = 2;

/// Upscales a picture without smoothing: every pixel becomes a square of `scale` × `scale`.
pub fn enlarge(picture: &DynamicImage, scale: u32) -> DynamicImage {
    resize(picture, picture.width() * scale, picture.height() * scale)
}

/// Scales a picture to `width` × `height` pixels without distorting it. Where the proportions differ, the picture is in the
/// middle and the rest has the colour of its background.
///
/// Small pictures are enlarged without smoothing where the factor is whole, otherwise with a cubic filter.
pub fn fit(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    let (own_width, own_height) = (picture.width().max(1), picture.height().max(1));
    let scaled = |side: u32, to: u32, from: u32| {
        (u64::from(side) * u64::from(to) / u64::from(from)).max(1).try_into().unwrap_or(u32::MAX)
    };
    let is_wide = u64::from(width) * u64::from(own_height) > u64::from(height) * u64::from(own_width);
    let (inner_width, inner_height) = match is_wide {
        true => (scaled(own_width, height, own_height), height),
        false => (width, scaled(own_height, width, own_width)),
    };
    let is_whole = inner_width % own_width == 0 && inner_height % own_height == 0;
    let inner = match is_whole && own_width.max(own_height) <= MAX_PIXEL_ART {
        true => resize(picture, inner_width, inner_height),
        false => picture.resize_exact(inner_width, inner_height, FilterType::CatmullRom),
    };
    if (inner.width(), inner.height()) == (width, height) {
        return inner;
    }
    match (picture, &inner) {
        (DynamicImage::ImageLuma8(picture), DynamicImage::ImageLuma8(inner)) => {
            DynamicImage::ImageLuma8(letterbox(inner, background(picture), width, height))
        }
        _ => {
            let background = background(&picture.to_rgb8());
            DynamicImage::ImageRgb8(letterbox(&inner.to_rgb8(), background, width, height))
        }
    }
}

/// Puts a picture into the middle of a larger one.
fn letterbox<P: Pixel<Subpixel = u8>>(
    picture: &ImageBuffer<P, Vec<u8>>,
    background: P,
    width: u32,
    height: u32,
) -> ImageBuffer<P, Vec<u8>> {
    let mut whole = ImageBuffer::from_pixel(width, height, background);
    let middle = |whole: u32, part: u32| i64::from(whole.saturating_sub(part) / 2);
    let (left, top) = (middle(width, picture.width()), middle(height, picture.height()));
    imageops::replace(&mut whole, picture, left, top);
    whole
}

/// The most frequent colour of a picture's edge.
fn background<P: Pixel<Subpixel = u8>>(picture: &ImageBuffer<P, Vec<u8>>) -> P {
    let (right, bottom) = (picture.width().saturating_sub(1), picture.height().saturating_sub(1));
    let mut counts: BTreeMap<&[u8], (u32, P)> = BTreeMap::new();
    for (x, y, pixel) in picture.enumerate_pixels() {
        if x == 0 || y == 0 || x == right || y == bottom {
            counts.entry(pixel.channels()).or_insert((0, *pixel)).0 += 1;
        }
    }
    let most = counts.into_values().max_by_key(|(count, _)| *count);
    most.map_or_else(|| *P::from_slice(&[255; 4][..usize::from(P::CHANNEL_COUNT)]), |(_, pixel)| pixel)
}

/// Resizes a picture without smoothing. Pixels are repeated where the new size is a multiple of the old one, which is much
/// faster than sampling.
fn resize(picture: &DynamicImage, width: u32, height: u32) -> DynamicImage {
    if (picture.width(), picture.height()) == (width, height) {
        return picture.clone();
    }
    let is_multiple = |new: u32, old: u32| new > 0 && new.checked_rem(old) == Some(0);
    if is_multiple(width, picture.width()) && is_multiple(height, picture.height()) {
        let factors = ((width / picture.width()) as usize, (height / picture.height()) as usize);
        let enlarged = match picture {
            DynamicImage::ImageLuma8(grey) => {
                let pixels = repeat_pixels::<1>(grey.as_raw(), picture.width(), factors);
                GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8)
            }
            DynamicImage::ImageRgb8(rgb) => {
                let pixels = repeat_pixels::<3>(rgb.as_raw(), picture.width(), factors);
                RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8)
            }
            _ => None,
        };
        if let Some(enlarged) = enlarged {
            return enlarged;
        }
    }
    picture.resize_exact(width, height, FilterType::Nearest)
}

/// Turns each pixel of `N` bytes into a block of `across` × `down` pixels.
fn repeat_pixels<const N: usize>(pixels: &[u8], width: u32, (across, down): (usize, usize)) -> Vec<u8> {
    let mut enlarged = Vec::with_capacity(pixels.len() * across * down);
    let mut line = Vec::with_capacity(width as usize * N * across);
    for row in pixels.chunks_exact(width as usize * N) {
        line.clear();
        for pixel in row.chunks_exact(N) {
            for _ in 0..across {
                line.extend_from_slice(pixel);
            }
        }
        for _ in 0..down {
            enlarged.extend_from_slice(&line);
        }
    }
    enlarged
}

/// Copies a picture into a larger one, row by row.
fn paste(whole: &mut RgbImage, picture: &RgbImage, left: u32, top: u32) {
    let (stride, width) = (whole.width() as usize * 3, picture.width() as usize * 3);
    if width == 0 {
        return;
    }
    let rows = whole.chunks_exact_mut(stride).skip(top as usize);
    let start = left as usize * 3;
    for (to, from) in rows.zip(picture.as_raw().chunks_exact(width)) {
        to[start..start + width].copy_from_slice(from);
    }
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
        return resize(one, cell, cell);
    }
    let count = pictures.len() as u32;
    let columns = columns.clamp(1, count.max(1));
    let (width, height) = sheet_size(count, columns, cell);
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    for (index, picture) in (0u32..).zip(pictures) {
        let picture = resize(picture, cell, cell).into_rgb8();
        let offset = |cells: u32| cells * (cell + GAP);
        paste(&mut sheet, &picture, offset(index % columns), offset(index / columns));
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
        paste(&mut row, &panel.to_rgb8(), left, 0);
        left += panel.width() + 2 * GAP;
    }
    row
}
