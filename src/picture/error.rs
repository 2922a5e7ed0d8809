//! The error type of writing pictures.

/// An error of writing a picture.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The encoder of JPEG, WebP or GIF failed, for example because the picture is too large for the format.
    #[error("the picture can't be written: {0}")]
    Image(#[from] image::ImageError),
    /// The PNG encoder failed, for example because the picture has no pixels.
    #[error("the PNG file can't be written: {0}")]
    Png(#[from] png::EncodingError),
    /// An animation has no frames, or frames of different sizes.
    #[error("an animation needs frames, all of one size")]
    Frames,
}
