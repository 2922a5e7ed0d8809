//! File formats of still pictures.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::webp::WebPEncoder;
use image::{DynamicImage, ImageEncoder};

use super::{PictureError, Provenance, encode_png};

/// A file format of still pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Exact; carries the parameters that made the picture.
    Png,
    /// Exact: the lossless kind.
    WebP,
    Jpeg,
}

impl Format {
    pub const ALL: [Self; 3] = [Self::Png, Self::WebP, Self::Jpeg];

    /// `png`, `webp` or `jpeg`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Jpeg => "jpeg",
        }
    }

    /// The format of this name; `jpg` is `jpeg` too.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "jpg" => Some(Self::Jpeg),
            _ => Self::ALL.into_iter().find(|format| format.name() == name),
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Jpeg => "image/jpeg",
        }
    }

    /// A picture as a file. `quality` (1 to 100) is JPEG's, `parameters` PNG's; the others have no use for them.
    ///
    /// # Errors
    /// [`PictureError`] where the picture is too large for the format.
    pub fn encode(
        self,
        picture: &DynamicImage,
        quality: u8,
        parameters: Option<&Provenance>,
    ) -> Result<Vec<u8>, PictureError> {
        let mut file = Cursor::new(Vec::new());
        match self {
            Self::Png => return encode_png(picture, parameters),
            Self::WebP => write(picture, WebPEncoder::new_lossless(&mut file))?,
            Self::Jpeg => write(picture, JpegEncoder::new_with_quality(&mut file, quality))?,
        }
        Ok(file.into_inner())
    }
}

fn write(picture: &DynamicImage, encoder: impl ImageEncoder) -> Result<(), PictureError> {
    match picture {
        DynamicImage::ImageLuma8(grey) => grey.write_with_encoder(encoder)?,
        other => other.to_rgb8().write_with_encoder(encoder)?,
    }
    Ok(())
}
