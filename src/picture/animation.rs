//! Moving pictures: one frame a step, the last held longer, for ever.

use std::time::Duration;

use image::codecs::gif::{GifEncoder, Repeat};
use image::{Delay, DynamicImage, Frame};

use super::{DEFAULT_FRAME_DELAY, PictureError, Provenance, png, webp};

/// The last frame is held so many times as long as the others.
const HOLD: u32 = 6;

/// A file format of moving pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnimationFormat {
    /// At most 256 colours a frame.
    Gif,
    /// APNG: exact, and a viewer that doesn't know it shows the last frame.
    Png,
    /// Exact: the lossless kind.
    WebP,
}

impl AnimationFormat {
    /// The format of this name: `gif`, `png` or `webp`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "gif" => Some(Self::Gif),
            "png" => Some(Self::Png),
            "webp" => Some(Self::WebP),
            _ => None,
        }
    }

    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gif => "image/gif",
            Self::Png => "image/apng",
            Self::WebP => "image/webp",
        }
    }
}

/// Frames of one size.
#[derive(Debug)]
pub struct Animation {
    pub frames: Vec<DynamicImage>,
    /// How long each is shown, but for the last one.
    pub delay: Duration,
}

impl Animation {
    /// Frames at the usual pace.
    pub fn new(frames: Vec<DynamicImage>) -> Self {
        Self { frames, delay: DEFAULT_FRAME_DELAY }
    }

    /// The animation as a file; an APNG carries the parameters.
    ///
    /// # Errors
    /// [`PictureError`] where there is no frame, they differ in size, or they are too large for the format.
    pub fn encode(
        &self,
        format: AnimationFormat,
        parameters: Option<&Provenance>,
    ) -> Result<Vec<u8>, PictureError> {
        let size = |frame: &DynamicImage| (frame.width(), frame.height());
        let one_size = self.frames.windows(2).all(|pair| size(&pair[0]) == size(&pair[1]));
        if self.frames.is_empty() || !one_size {
            return Err(PictureError::Frames);
        }
        match format {
            AnimationFormat::Gif => self.gif(),
            AnimationFormat::Png => png::animate(&self.frames, |frame| self.milliseconds(frame), parameters),
            AnimationFormat::WebP => {
                let timed =
                    |(index, frame): (usize, &DynamicImage)| (frame.clone(), self.milliseconds(index));
                webp::animate(&self.frames.iter().enumerate().map(timed).collect::<Vec<_>>())
            }
        }
    }

    fn gif(&self) -> Result<Vec<u8>, PictureError> {
        let mut file = Vec::new();
        let mut encoder = GifEncoder::new(&mut file);
        encoder.set_repeat(Repeat::Infinite)?;
        for (index, frame) in self.frames.iter().enumerate() {
            let delay = Delay::from_numer_denom_ms(self.milliseconds(index), 1);
            encoder.encode_frame(Frame::from_parts(frame.to_rgba8(), 0, 0, delay))?;
        }
        drop(encoder);
        Ok(file)
    }

    fn milliseconds(&self, frame: usize) -> u32 {
        let delay = u32::try_from(self.delay.as_millis()).unwrap_or(u32::MAX);
        if frame + 1 == self.frames.len() { delay.saturating_mul(HOLD) } else { delay }
    }
}
