//! File formats of still pictures.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder, ImageError};
use serde::{Deserialize, Serialize};

use super::error::PictureError;
use super::exif;
use super::png;
use super::provenance::Provenance;

/// The longest EXIF data that is written, in bytes: a JPEG segment holds 65,533.
const MAX_EXIF: usize = 65_000;

/// A file format of still pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lossless.
    Png,
    /// Lossless WebP.
    WebP,
    /// Lossy.
    Jpeg,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Png, Self::WebP, Self::Jpeg];

    /// The name: `png`, `webp` or `jpeg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Jpeg => "jpeg",
        }
    }

    /// Parses `png`, `webp`, `jpeg` or `jpg`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "jpg" => Some(Self::Jpeg),
            _ => Self::ALL.into_iter().find(|format| format.name() == name),
        }
    }

    /// The media type, as `image/png`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// Writes a picture as a file that contains the provenance. Only JPEG uses `quality`, 1 to 100.
    ///
    /// # Errors
    /// [`PictureError`] if the picture has no pixels or is too large for the format.
    pub fn encode(
        self,
        picture: &DynamicImage,
        quality: u8,
        provenance: Option<&Provenance>,
    ) -> Result<Vec<u8>, PictureError> {
        let mut file = Cursor::new(Vec::new());
        match self {
            Self::Png => return png::encode(picture, provenance),
            Self::WebP => write(picture, WebPEncoder::new_lossless(&mut file), provenance)?,
            Self::Jpeg => write(picture, JpegEncoder::new_with_quality(&mut file, quality), provenance)?,
        }
        Ok(file.into_inner())
    }
}

fn write(
    picture: &DynamicImage,
    mut encoder: impl ImageEncoder,
    provenance: Option<&Provenance>,
) -> Result<(), PictureError> {
    if let Some(provenance) = provenance {
        let data = exif::encode(provenance);
        if data.len() <= MAX_EXIF {
            encoder.set_exif_metadata(data).map_err(ImageError::Unsupported)?;
        }
    }
    match picture {
        DynamicImage::ImageLuma8(grey) => grey.write_with_encoder(encoder)?,
        DynamicImage::ImageRgb8(rgb) => rgb.write_with_encoder(encoder)?,
        other => other.to_rgb8().write_with_encoder(encoder)?,
    }
    Ok(())
}
