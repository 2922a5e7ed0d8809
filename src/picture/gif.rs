//! Animated GIF with one palette for all frames.
//!
//! The colours are exact where there are at most 256. Otherwise NeuQuant chooses them from a sample of all frames. Pixels
//! that repeat their left neighbour and rows that repeat the row above are not looked up again, so that an enlarged
//! picture costs little more than a small one.

use std::borrow::Cow;
use std::collections::HashMap;

use color_quant::NeuQuant;
use gif::{Encoder, Frame, Repeat};
use image::{DynamicImage, RgbImage};

use super::error::PictureError;

type Color = [u8; 3];

/// Colours of a palette, by the format.
const MAX_COLORS: usize = 256;
/// Pixels that the quantizer learns from.
const SAMPLES: usize = 60_000;
const WHITE: Color = [255; 3];

/// Writes frames of one size as a GIF that loops for ever. `milliseconds` gives the duration of a frame by its index.
pub(super) fn encode_animation(
    frames: &[DynamicImage],
    milliseconds: impl Fn(usize) -> u32,
) -> Result<Vec<u8>, PictureError> {
    let Some(first) = frames.first() else { return Err(PictureError::Frames) };
    let side = |pixels: u32| u16::try_from(pixels).map_err(|_| PictureError::GifTooLarge);
    let (width, height) = (side(first.width())?, side(first.height())?);
    let frames: Vec<Cow<'_, RgbImage>> = frames.iter().map(rgb).collect();
    let mut palette = Palette::new(&frames);
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, width, height, &palette.bytes())?;
    encoder.set_repeat(Repeat::Infinite)?;
    let mut elapsed: u64 = 0;
    for (index, frame) in frames.iter().enumerate() {
        // Frames start at rounded times, so that rounding errors don't add up.
        let start = centiseconds(elapsed);
        elapsed += u64::from(milliseconds(index));
        let delay = u16::try_from(centiseconds(elapsed) - start).unwrap_or(u16::MAX);
        let buffer = Cow::Owned(palette.indices(frame));
        encoder.write_frame(&Frame { width, height, delay, buffer, ..Frame::default() })?;
    }
    drop(encoder);
    Ok(file)
}

fn centiseconds(milliseconds: u64) -> u64 {
    (milliseconds + 5) / 10
}

fn rgb(frame: &DynamicImage) -> Cow<'_, RgbImage> {
    frame.as_rgb8().map_or_else(|| Cow::Owned(frame.to_rgb8()), Cow::Borrowed)
}

struct Palette {
    colors: Vec<Color>,
    /// Known colours and their indices.
    indices: HashMap<Color, u8>,
    /// `None` where the colours are exact.
    quantizer: Option<NeuQuant>,
}

impl Palette {
    fn new(frames: &[Cow<'_, RgbImage>]) -> Self {
        let (colors, samples) = colors(frames);
        if colors.len() <= MAX_COLORS {
            let indices = (0..).zip(&colors).map(|(index, color)| (*color, index as u8)).collect();
            return Self { colors, indices, quantizer: None };
        }
        let step = samples.len().div_ceil(SAMPLES);
        let pixels: Vec<u8> = samples.iter().step_by(step).flat_map(|&[r, g, b]| [r, g, b, 255]).collect();
        // One colour less, because what is between and behind the pictures must stay white.
        let quantizer = NeuQuant::new(1, MAX_COLORS - 1, &pixels);
        let mut colors: Vec<Color> =
            quantizer.color_map_rgb().chunks_exact(3).map(|color| [color[0], color[1], color[2]]).collect();
        let white = colors.len() as u8;
        colors.push(WHITE);
        Self { colors, indices: HashMap::from([(WHITE, white)]), quantizer: Some(quantizer) }
    }

    fn bytes(&self) -> Vec<u8> {
        self.colors.concat()
    }

    fn index(&mut self, color: Color) -> u8 {
        let [r, g, b] = color;
        let quantizer = self.quantizer.as_ref();
        let find = || quantizer.map_or(0, |quantizer| quantizer.index_of(&[r, g, b, 255]) as u8);
        *self.indices.entry(color).or_insert_with(find)
    }

    /// The indices of a frame's pixels.
    fn indices(&mut self, frame: &RgbImage) -> Vec<u8> {
        let stride = 3 * frame.width() as usize;
        let mut indices: Vec<u8> = Vec::with_capacity(frame.as_raw().len() / 3);
        let mut above: &[u8] = &[];
        for row in frame.as_raw().chunks_exact(stride) {
            if row == above {
                indices.extend_from_within(indices.len() - stride / 3..);
                continue;
            }
            let mut last = None;
            for pixel in row.chunks_exact(3) {
                let color = [pixel[0], pixel[1], pixel[2]];
                let index = match last {
                    Some((known, index)) if known == color => index,
                    _ => self.index(color),
                };
                last = Some((color, index));
                indices.push(index);
            }
            above = row;
        }
        indices
    }
}

/// The different colours, at most one more than a palette has, and a colour for each run of pixels in rows that don't
/// repeat the row above.
fn colors(frames: &[Cow<'_, RgbImage>]) -> (Vec<Color>, Vec<Color>) {
    let (mut colors, mut known, mut samples) = (Vec::new(), HashMap::new(), Vec::new());
    for frame in frames {
        let mut above: &[u8] = &[];
        for row in frame.as_raw().chunks_exact(3 * frame.width() as usize) {
            if row != above {
                let mut last = None;
                for pixel in row.chunks_exact(3) {
                    let color = [pixel[0], pixel[1], pixel[2]];
                    if last != Some(color) {
                        samples.push(color);
                        if colors.len() <= MAX_COLORS && known.insert(color, ()).is_none() {
                            colors.push(color);
                        }
                        last = Some(color);
                    }
                }
            }
            above = row;
        }
    }
    (colors, samples)
}
