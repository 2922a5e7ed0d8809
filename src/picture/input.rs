//! Reads an image that a user supplies, in the API and on the command line alike.
//!
//! The file may be hostile: a small one can hold many pixels. [`InputImage::open`] reads the header and refuses what would
//! take too much memory; [`InputImage::decode`] decodes to 8 bits, lays transparency on white, converts colour profiles to sRGB,
//! crops and scales to the model's size, and rotates the small result as EXIF says.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageFormat, ImageReader, Limits, Pixel, RgbImage, Rgba};
use png::{BitDepth, ColorType, Transformations};

use super::color_profile;
use super::jpeg;
use crate::model::{Config, preprocess_oriented};

/// The most pixels that an image may have: a photo.
pub const MAX_INPUT_PIXELS: u64 = 50_000_000;
/// The longest side of an image, in pixels.
pub const MAX_INPUT_SIDE: u32 = 16_384;
/// Memory in bytes that decoding an image takes at most, the file apart. Most files of [`MAX_INPUT_PIXELS`] take less (see
/// `bytes_per_pixel` below); progressive JPEG without subsampling and WebP with alpha reach it with fewer pixels.
pub const MAX_INPUT_MEMORY: u64 = 400 << 20;
/// What a PNG decoder may allocate beside the pixels: a few rows and small chunks.
const PNG_WORKING_MEMORY: usize = 8 << 20;

/// Why an image can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    #[error("{size} bytes of no image format")]
    UnknownFormat { size: usize },
    /// A known format that this program doesn't read.
    #[error("{size} bytes of {media_type}, a format that is not supported")]
    Unsupported { size: usize, media_type: &'static str },
    /// Truncated or damaged.
    #[error("{size} bytes of {media_type} that can't be decoded")]
    Damaged { size: usize, media_type: &'static str },
    #[error("{width} × {height} pixels of {media_type}")]
    TooLarge { width: u32, height: u32, media_type: &'static str },
    /// Few enough pixels, but of a kind of file whose decoder needs more than [`MAX_INPUT_MEMORY`].
    #[error("{width} × {height} pixels of {media_type} that take too much memory to decode")]
    TooMuchMemory { width: u32, height: u32, media_type: &'static str },
}

/// An image file whose header was read.
#[derive(Debug)]
pub struct InputImage {
    pub(super) file: Vec<u8>,
    pub(super) format: ImageFormat,
    /// As stored.
    width: u32,
    height: u32,
    pub(super) orientation: Orientation,
    memory: u64,
}

impl InputImage {
    /// Reads the header of a PNG, JPEG, WebP, GIF or BMP file.
    ///
    /// # Errors
    /// [`InputError`]: the format is unknown or unsupported, the header is damaged, or the image is too large.
    pub fn open(file: Vec<u8>) -> Result<Self, InputError> {
        let size = file.len();
        let Ok(format) = image::guess_format(&file) else {
            return Err(match isobmff_media_type(&file) {
                Some(media_type) => InputError::Unsupported { size, media_type },
                None => InputError::UnknownFormat { size },
            });
        };
        let media_type = format.to_mime_type();
        if !format.reading_enabled() {
            return Err(InputError::Unsupported { size, media_type });
        }
        let damaged = InputError::Damaged { size, media_type };
        let header = if format == ImageFormat::Png { png_header(&file) } else { header(&file, format) };
        let header = header.ok_or(damaged)?;
        let Header { width, height, orientation, bytes_per_pixel } = header;
        let pixels = u64::from(width) * u64::from(height);
        let memory = pixels.saturating_mul(bytes_per_pixel);
        if width == 0 || height == 0 || width.max(height) > MAX_INPUT_SIDE || pixels > MAX_INPUT_PIXELS {
            return Err(InputError::TooLarge { width, height, media_type });
        }
        if memory > MAX_INPUT_MEMORY {
            return Err(InputError::TooMuchMemory { width, height, media_type });
        }
        Ok(Self { file, format, width, height, orientation, memory })
    }

    /// Width and height as a viewer shows the image.
    pub fn size(&self) -> (u32, u32) {
        let is_turned = matches!(
            self.orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        if is_turned { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// Memory in bytes that [`decode`](Self::decode) takes at most, the file apart.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The image as the model takes it: upright, on white, cropped to its central square and scaled. Of an animation, the
    /// first frame (of an APNG, the default image).
    ///
    /// # Errors
    /// [`InputError::Damaged`].
    pub fn decode(self, config: &Config) -> Result<DynamicImage, InputError> {
        let damaged = InputError::Damaged { size: self.file.len(), media_type: self.format.to_mime_type() };
        let pixels = match self.format {
            ImageFormat::Png => decode_png(&self.file).ok(),
            ImageFormat::Jpeg if !jpeg::has_end(&self.file) => None,
            format => decode(&self.file, format),
        };
        let mut pixels = pixels.ok_or(damaged)?;
        if let DynamicImage::ImageRgb8(image) = &mut pixels {
            color_profile::to_srgb(image, &self.file, self.format);
        }
        Ok(preprocess_oriented(&pixels, self.orientation, &config.image))
    }
}

struct Header {
    width: u32,
    height: u32,
    orientation: Orientation,
    /// Memory that decoding takes at most, for each pixel.
    bytes_per_pixel: u64,
}

fn png_header(file: &[u8]) -> Option<Header> {
    let reader = png_decoder(file).read_info().ok()?;
    let info = reader.info();
    let exif = info.exif_metadata.as_deref();
    let orientation = exif.and_then(Orientation::from_exif_chunk).unwrap_or(Orientation::NoTransforms);
    // Rows are converted as they are decoded.
    let bytes_per_pixel = if is_grey(reader.output_color_type().0) { 1 } else { 3 };
    Some(Header { width: info.width, height: info.height, orientation, bytes_per_pixel })
}

fn header(file: &[u8], format: ImageFormat) -> Option<Header> {
    let mut decoder = ImageReader::with_format(Cursor::new(file), format).into_decoder().ok()?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().ok()?;
    let bytes_per_pixel = match format {
        ImageFormat::Jpeg => 3 + jpeg::buffered_bytes_per_pixel(file),
        // Measured: lossy files with alpha take most. Of lossless ones, the RGBA frame and the RGB result.
        ImageFormat::WebP if decoder.color_type().has_alpha() => 10,
        ImageFormat::WebP => 7,
        // The canvas and the frame, both RGBA.
        ImageFormat::Gif => 8,
        _ => 4,
    };
    Some(Header { width, height, orientation, bytes_per_pixel })
}

/// Decodes to opaque RGB or grey.
fn decode(file: &[u8], format: ImageFormat) -> Option<DynamicImage> {
    let mut reader = ImageReader::with_format(Cursor::new(file), format);
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_INPUT_MEMORY);
    reader.limits(limits);
    Some(match reader.decode().ok()? {
        opaque @ (DynamicImage::ImageLuma8(_) | DynamicImage::ImageRgb8(_)) => opaque,
        // In place: another image of this size would double the memory.
        DynamicImage::ImageRgba8(image) => {
            let (width, height) = image.dimensions();
            let mut bytes = image.into_raw();
            let pixels = bytes.len() / 4;
            for at in 0..pixels {
                let [r, g, b, a] = [0, 1, 2, 3].map(|channel| bytes[4 * at + channel]);
                bytes[3 * at..3 * at + 3].copy_from_slice(&on_white([r, g, b, a]));
            }
            bytes.truncate(3 * pixels);
            DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, bytes)?)
        }
        other => {
            let rgba = other.into_rgba8();
            let (width, height) = rgba.dimensions();
            let bytes = rgba.pixels().flat_map(|pixel| on_white(pixel.0)).collect();
            DynamicImage::ImageRgb8(RgbImage::from_raw(width, height, bytes)?)
        }
    })
}

fn png_decoder(file: &[u8]) -> png::Decoder<Cursor<&[u8]>> {
    let limits = png::Limits { bytes: PNG_WORKING_MEMORY };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(file), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes to RGB, fewer than 8 bits to 8, transparent colours to alpha.
    decoder.set_transformations(Transformations::EXPAND);
    decoder
}

fn is_grey(color: ColorType) -> bool {
    matches!(color, ColorType::Grayscale | ColorType::GrayscaleAlpha)
}

/// Decodes a PNG file row by row: of an image with 16 bits and alpha, only a row is in memory as such.
fn decode_png(file: &[u8]) -> Result<DynamicImage, png::DecodingError> {
    let mut reader = png_decoder(file).read_info()?;
    let (width, height) = (reader.info().width, reader.info().height);
    let (color, depth) = reader.output_color_type();
    let channels = if is_grey(color) { 1 } else { 3 };
    let stride = width as usize * channels;
    let mut pixels = vec![0; stride * height as usize];
    let mut converted = Vec::with_capacity(stride);
    let mut line = 0;
    while let Some(row) = reader.next_interlaced_row()? {
        converted.clear();
        convert_row(row.data(), color, depth, &mut converted);
        match row.interlace() {
            png::InterlaceInfo::Null(_) => {
                if let Some(place) = pixels.get_mut(line * stride..(line + 1) * stride) {
                    place.copy_from_slice(&converted);
                }
                line += 1;
            }
            png::InterlaceInfo::Adam7(pass) => {
                png::expand_interlaced_row(&mut pixels, stride, &converted, pass, 8 * channels as u8);
            }
        }
    }
    let grey = |pixels| GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8);
    let rgb = |pixels| RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8);
    let image = if channels == 1 { grey(pixels) } else { rgb(pixels) };
    image.ok_or(png::DecodingError::LimitsExceeded)
}

/// A row as opaque pixels of 8 bits.
fn convert_row(row: &[u8], color: ColorType, depth: BitDepth, to: &mut Vec<u8>) {
    if depth == BitDepth::Sixteen {
        let eight: Vec<u8> = row.chunks_exact(2).map(|pair| to_eight_bits([pair[0], pair[1]])).collect();
        return convert_row(&eight, color, BitDepth::Eight, to);
    }
    match color {
        ColorType::GrayscaleAlpha => {
            to.extend(row.chunks_exact(2).map(|pixel| on_white([pixel[0], pixel[0], pixel[0], pixel[1]])[0]));
        }
        ColorType::Rgba => {
            to.extend(
                row.chunks_exact(4).flat_map(|pixel| on_white([pixel[0], pixel[1], pixel[2], pixel[3]])),
            );
        }
        _ => to.extend_from_slice(row),
    }
}

/// A big-endian sample of 16 bits, rounded to 8.
fn to_eight_bits(sample: [u8; 2]) -> u8 {
    ((u32::from(u16::from_be_bytes(sample)) + 128) / 257) as u8
}

fn on_white(pixel: [u8; 4]) -> [u8; 3] {
    let [r, g, b, a] = pixel;
    match a {
        255 => [r, g, b],
        0 => [255; 3],
        _ => {
            let mut white = Rgba([255; 4]);
            white.blend(&Rgba(pixel));
            let [r, g, b, _] = white.0;
            [r, g, b]
        }
    }
}

/// The media type of an ISO base media file with a still image, which phones and browsers write.
fn isobmff_media_type(file: &[u8]) -> Option<&'static str> {
    let brand = file.get(4..12)?.strip_prefix(b"ftyp")?;
    match brand {
        b"avif" | b"avis" => Some("image/avif"),
        b"heic" | b"heix" | b"heim" | b"heis" | b"hevc" | b"hevx" => Some("image/heic"),
        b"mif1" | b"msf1" | b"mif2" => Some("image/heif"),
        _ => None,
    }
}
