//! Options that determine a rendered file, besides the job.

use std::time::Duration;

use utoipa::ToSchema;

use crate::picture::Format;

/// How images are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::web) struct RenderOptions {
    pub format: Format,
    /// Every pixel of an image becomes a square of this size.
    pub scale: u32,
    /// Quality of JPEG, 1 to 100.
    pub quality: u8,
}

/// What an animation shows of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ToSchema)]
#[schema(as = AnimationChannel, rename_all = "lowercase")]
pub(in crate::web) enum Channel {
    Tokens,
    Noisy,
    Clean,
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
}
