//! Options that determine a rendered file, besides the job.

use std::time::Duration;

use image::DynamicImage;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::picture::{Format, MAX_PIXEL_ART, MAX_SCALE, enlarge, fit};

/// How images are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::web) struct RenderOptions {
    pub format: Format,
    /// Every pixel of an image becomes a square of this size.
    pub scale: u32,
    /// Width and height that an image is fitted into, instead of `scale`.
    pub fit: Option<(u32, u32)>,
    /// Quality of JPEG, 1 to 100.
    pub quality: u8,
}

impl RenderOptions {
    /// Every pixel becomes a square of this size.
    pub fn scaled(format: Format, scale: u32, quality: u8) -> Self {
        Self { format, scale, fit: None, quality }
    }

    /// Fits an image of `own` × `own` pixels into this size: by a scale where that is the same.
    pub fn fitted(format: Format, (width, height): (u32, u32), own: u32, quality: u8) -> Self {
        let scale = width / own.max(1);
        let is_pixel_art = scale == 1 || own <= MAX_PIXEL_ART;
        match width == height && width == own * scale && (1..=MAX_SCALE).contains(&scale) && is_pixel_art {
            true => Self::scaled(format, scale, quality),
            false => Self { format, scale: 1, fit: Some((width, height)), quality },
        }
    }

    /// Whether the engine makes this file.
    pub fn is_stored(&self) -> bool {
        self.format == Format::Png && self.scale == 1 && self.fit.is_none()
    }

    /// Width and height of one image whose own side is `own`.
    pub fn size(&self, own: u32) -> (u32, u32) {
        self.fit.unwrap_or((own * self.scale, own * self.scale))
    }

    /// One image in this size.
    pub fn resize(&self, image: &DynamicImage) -> DynamicImage {
        match self.fit {
            Some((width, height)) => fit(image, width, height),
            None => enlarge(image, self.scale),
        }
    }
}

/// What an animation shows of each step, or that it shows the finished images instead, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(as = AnimationChannel, rename_all = "lowercase")]
pub(in crate::web) enum Channel {
    Tokens,
    Noisy,
    Clean,
    Images,
}

impl Channel {
    /// The names of those that show steps.
    pub const STEPS: &[&str] = &["tokens", "noisy", "clean"];
    /// All names.
    pub const NAMES: &[&str] = &["tokens", "noisy", "clean", "images"];

    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "tokens" => Some(Self::Tokens),
            "noisy" => Some(Self::Noisy),
            "clean" => Some(Self::Clean),
            "images" => Some(Self::Images),
            _ => None,
        }
    }
}

/// How an animation is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::web) struct AnimationParameters {
    pub channel: Channel,
    /// Index of the only image to show; `None` shows all.
    pub index: Option<u32>,
    pub scale: u32,
    /// Duration of a frame.
    pub delay: Duration,
    /// Whether the frames are shown backwards, too.
    pub back_and_forth: bool,
}

/// What determines the bytes of a picture file, as a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::web) struct PictureDigest([u8; 16]);

impl PictureDigest {
    /// Of a text that says all of it.
    pub fn of(text: &str) -> Self {
        let mut digest = [0; 16];
        digest.iter_mut().zip(Sha256::digest(text)).for_each(|(to, from)| *to = from);
        Self(digest)
    }

    /// The hash as a strong `ETag`.
    pub fn etag(self) -> String {
        format!("\"{}\"", self.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
    }
}
