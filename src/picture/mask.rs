//! Masks: which cells of a token grid an edit draws again.

use image::{DynamicImage, ImageReader, Limits};

use super::input::{InputError, InputImage};

/// The most pixels of a mask.
pub const MAX_MASK_PIXELS: u64 = 4096 * 4096;
/// A cell is drawn again if this part of it is masked. Less than half: what is painted should change.
const MIN_COVERAGE: f64 = 0.25;
/// Bytes that decoding takes for each pixel at most: 16-bit RGBA, and the grey copy.
const BYTES_PER_PIXEL: u64 = 12;

/// Which part of a mask is drawn again. By default what is transparent or, if the mask is opaque, white.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MaskRules {
    /// Of a mask with transparency the opaque part is drawn again, and not the transparent one.
    pub opaque: bool,
    /// The other part is drawn again: black, and not white.
    pub inverted: bool,
}

/// A mask whose header was read.
#[derive(Debug)]
pub struct MaskFile {
    image: InputImage,
    rules: MaskRules,
}

impl MaskFile {
    /// Reads the header of an image file.
    ///
    /// # Errors
    /// As in [`InputImage::open`], or it has more than [`MAX_MASK_PIXELS`].
    pub fn open(file: Vec<u8>) -> Result<Self, InputError> {
        let image = InputImage::open(file)?;
        let (width, height) = image.size();
        if u64::from(width) * u64::from(height) > MAX_MASK_PIXELS {
            let media_type = image.format.to_mime_type();
            return Err(InputError::TooLarge { width, height, media_type });
        }
        Ok(Self { image, rules: MaskRules::default() })
    }

    /// Sets which part is drawn again.
    pub fn with_rules(self, rules: MaskRules) -> Self {
        Self { rules, ..self }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        self.image.size()
    }

    /// Memory in bytes that [`cells`](Self::cells) takes at most, the file apart.
    pub fn memory(&self) -> u64 {
        let (width, height) = self.size();
        self.image.memory().max(u64::from(width) * u64::from(height) * BYTES_PER_PIXEL)
    }

    /// The cells to draw again of a grid of `side` × `side`, row by row, for an image of this size, by the mask's
    /// [rules](MaskRules). The mask is stretched to the image, whose central square has the grid.
    ///
    /// # Errors
    /// [`InputError::Damaged`].
    pub fn cells(self, image_size: (u32, u32), side: usize) -> Result<Vec<bool>, InputError> {
        let rules = self.rules;
        Ok(Cells::new(&self.decode()?, rules).reduce(image_size, side))
    }

    /// The cells where an image is transparent. `None` if it is opaque.
    ///
    /// # Errors
    /// [`InputError::Damaged`].
    pub fn transparent_cells(self, side: usize) -> Result<Option<Vec<bool>>, InputError> {
        let size = self.size();
        let cells = Cells::new(&self.decode()?, MaskRules::default());
        Ok(cells.is_transparent.then(|| cells.reduce(size, side)))
    }

    fn decode(self) -> Result<DynamicImage, InputError> {
        let InputImage { file, format, orientation, .. } = self.image;
        let damaged = InputError::Damaged { size: file.len(), media_type: format.to_mime_type() };
        let mut reader = ImageReader::with_format(std::io::Cursor::new(file), format);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MAX_MASK_PIXELS * BYTES_PER_PIXEL);
        reader.limits(limits);
        let mut image = reader.decode().map_err(|_| damaged)?;
        image.apply_orientation(orientation);
        Ok(image)
    }
}

/// How much each pixel is masked, 0 to 255.
struct Cells {
    width: usize,
    height: usize,
    masked: Vec<u8>,
    is_transparent: bool,
}

impl Cells {
    fn new(image: &DynamicImage, rules: MaskRules) -> Self {
        let pixels = image.to_luma_alpha8();
        let is_transparent = pixels.pixels().any(|pixel| pixel.0[1] < 255);
        let masked = pixels.pixels().map(|pixel| {
            let [grey, alpha] = pixel.0;
            let marked = match (is_transparent, rules.opaque) {
                (true, false) => 255 - alpha,
                (true, true) => alpha,
                (false, _) => grey,
            };
            if rules.inverted { 255 - marked } else { marked }
        });
        let masked = masked.collect();
        Self { width: image.width() as usize, height: image.height() as usize, masked, is_transparent }
    }

    fn reduce(&self, (width, height): (u32, u32), side: usize) -> Vec<bool> {
        let square = f64::from(width.min(height));
        let span = |cell: usize, length: u32, pixels: usize| {
            let scale = pixels as f64 / f64::from(length);
            let start = (f64::from(length) - square) / 2.0;
            let edge = |cell: f64| (start + cell * square / side as f64) * scale;
            let (from, to) = (edge(cell as f64).round() as usize, edge(cell as f64 + 1.0).round() as usize);
            if from < to {
                return from..to.min(pixels);
            }
            // The mask has fewer pixels than the grid has cells.
            let nearest = (edge(cell as f64 + 0.5) as usize).min(pixels - 1);
            nearest..nearest + 1
        };
        let is_masked = |row: usize, column: usize| {
            let (ys, xs) = (span(row, height, self.height), span(column, width, self.width));
            let count = ys.len() * xs.len();
            let sum: u64 = ys
                .flat_map(|y| &self.masked[y * self.width..][xs.clone()])
                .map(|&pixel| u64::from(pixel))
                .sum();
            sum as f64 >= MIN_COVERAGE * 255.0 * count as f64
        };
        (0..side * side).map(|cell| is_masked(cell / side, cell % side)).collect()
    }
}
