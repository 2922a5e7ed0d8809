//! Errors of writing pictures and of reading their provenance.

/// An error of writing a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The encoder of JPEG or WebP failed, for example because the picture is too large for the format.
    #[error("the picture can't be written: {0}")]
    Image(#[from] image::ImageError),
    /// The PNG encoder failed, for example because the picture has no pixels.
    #[error("the PNG file can't be written: {0}")]
    Png(#[from] png::EncodingError),
    /// The GIF encoder failed.
    #[error("the GIF file can't be written: {0}")]
    Gif(#[from] gif::EncodingError),
    /// The format's limit of 65,535 pixels.
    #[error("a GIF file has at most 65535 pixels on each side")]
    GifTooLarge,
    /// An animation has no frames, or frames of different sizes.
    #[error("an animation needs frames, all of one size")]
    Frames,
}

/// Why no provenance can be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum MetadataError {
    /// None of the formats that contain a provenance, or a damaged PNG file.
    #[error("not a PNG file that can be read (nor WebP or JPEG)")]
    Png(#[from] png::DecodingError),
    #[error("the file can't be read")]
    Io(#[from] std::io::Error),
    #[error("the PNG file has no parameters of rdpm")]
    Missing,
    /// A WebP or JPEG file without a provenance.
    #[error("the {0} file has no parameters of rdpm")]
    MissingExif(&'static str),
    #[error("the parameters in the file can't be read")]
    Json(#[from] serde_json::Error),
    #[error("the parameters in the file have control characters")]
    ControlCharacters,
}
