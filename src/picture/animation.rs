//! Animations: one frame per step, the last shown longer, in an endless loop; or frames back and forth.

use std::time::Duration;

use image::DynamicImage;

use super::error::PictureError;
use super::gif;
use super::png;
use super::provenance::Provenance;
use super::webp;

/// The duration of a frame if a request names none.
pub const DEFAULT_FRAME_DELAY: Duration = Duration::from_millis(250);

/// The last frame is shown this many times as long as the others.
const LAST_FRAME_FACTOR: u32 = 6;

/// A file format of animations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnimationFormat {
    /// At most 256 colours; durations in hundredths of a second.
    Gif,
    /// APNG: lossless; contains the provenance. Viewers without animation show the last frame.
    Png,
    /// Lossless animated WebP; contains the provenance.
    WebP,
}

impl AnimationFormat {
    /// Parses `gif`, `png` or `webp`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gif" => Some(Self::Gif),
            "png" => Some(Self::Png),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    /// The media type, as `image/gif`.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Png => "image/apng",
            Self::WebP => "image/webp",
        }
    }
}

/// An animation: frames of one size and their duration.
#[derive(Debug)]
pub struct Animation {
    /// The frames, all of one size, at least one.
    frames: Vec<DynamicImage>,
    /// The duration of each frame.
    delay: Duration,
    /// Whether the last is shown six times as long.
    holds_last: bool,
}

impl Animation {
    /// An animation with the default duration of a frame. The last is shown six times as long.
    pub fn new(frames: Vec<DynamicImage>) -> Self {
        Self { frames, delay: DEFAULT_FRAME_DELAY, holds_last: true }
    }

    /// The same with another duration of a frame.
    pub fn with_delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The same followed by its frames in the opposite order, without a longer one.
    pub fn back_and_forth(mut self) -> Self {
        let back: Vec<_> = self.frames.iter().skip(1).rev().skip(1).cloned().collect();
        self.frames.extend(back);
        self.holds_last = false;
        self
    }

    /// Writes the animation as a file. GIF does not contain the provenance.
    ///
    /// # Errors
    /// [`PictureError`] if there is no frame, frames differ in size, or they are too large for the format.
    pub fn encode(
        &self,
        format: AnimationFormat,
        provenance: Option<&Provenance>,
    ) -> Result<Vec<u8>, PictureError> {
        let size = |frame: &DynamicImage| (frame.width(), frame.height());
        let one_size = self.frames.windows(2).all(|pair| size(&pair[0]) == size(&pair[1]));
        if self.frames.is_empty() || !one_size {
            return Err(PictureError::Frames);
        }
        match format {
            AnimationFormat::Gif => gif::encode_animation(&self.frames, |frame| self.milliseconds(frame)),
            AnimationFormat::Png => {
                png::encode_animation(&self.frames, |frame| self.milliseconds(frame), provenance)
            }
            AnimationFormat::WebP => {
                webp::encode_animation(&self.frames, |frame| self.milliseconds(frame), provenance)
            }
        }
    }

    fn milliseconds(&self, frame: usize) -> u32 {
        let delay = u32::try_from(self.delay.as_millis()).unwrap_or(u32::MAX);
        if self.holds_last && frame + 1 == self.frames.len() {
            delay.saturating_mul(LAST_FRAME_FACTOR)
        } else {
            delay
        }
    }
}
