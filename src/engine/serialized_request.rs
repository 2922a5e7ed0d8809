//! A request in a form that can be written, and read later or by another process.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageFormat};
use serde::{Deserialize, Serialize};

use super::between::Between;
use super::model_handle::ModelHandle;
use super::request::{GivenTokens, Origin, Request};
use crate::model::{
    Config, Given, ImageSeed, Interpolation, InterpolationEnd, ModelError, SamplingOptions, SamplingSettings,
};
use crate::picture::{PictureError, encode_png};

/// A request without its client. It has everything that its images follow from, the seed included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SerializedRequest {
    model: String,
    class: usize,
    options: SamplingOptions,
    seed: u64,
    first: u32,
    count: u32,
    previews: bool,
    alternatives: bool,
    cancel_on_disconnect: bool,
    #[serde(default, skip_serializing_if = "SerializedOrigin::is_noise")]
    origin: SerializedOrigin,
}

/// What the images start from.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SerializedOrigin {
    #[default]
    Noise,
    Image {
        /// A PNG file of the model's size, in base64.
        png: String,
        from_step: u64,
        /// The positions that are drawn again, if not all are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        free: Option<Vec<bool>>,
    },
    Tokens {
        /// T grids of n entries.
        codes: Vec<Vec<Option<u32>>>,
        is_shown: bool,
        /// Seed and index of the noise.
        noise: (u64, u32),
    },
    Between {
        ends: Box<[SerializedEnd; 2]>,
        /// The step whose latents are interpolated; `None`: the last latents are, and nothing is drawn.
        step: Option<usize>,
        /// The frame of the first image, and the number of all.
        frame: u32,
        frames: u32,
    },
}

/// An end of an interpolation.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SerializedEnd {
    class: usize,
    options: SamplingOptions,
    /// Seed and index of the noise.
    noise: (u64, u32),
    /// All grids, or the first ones.
    grids: Vec<Vec<u32>>,
}

/// Why a serialized request is no request here.
#[derive(Debug, thiserror::Error)]
pub enum InvalidRequest {
    #[error("there is no model {0}")]
    Model(String),
    #[error(transparent)]
    Setting(#[from] ModelError),
    #[error("its image is no PNG file of the model's size")]
    Image,
}

impl SerializedRequest {
    /// The serialized form of a request.
    ///
    /// # Errors
    /// Where the image that it starts from can't be encoded.
    pub fn new(request: &Request) -> Result<Self, PictureError> {
        let settings = request.settings();
        Ok(Self {
            model: request.model().name().to_owned(),
            class: settings.class(),
            options: settings.options().clone(),
            seed: request.seed(),
            first: request.first(),
            count: request.count(),
            previews: request.previews(),
            alternatives: request.alternatives(),
            cancel_on_disconnect: request.cancel_on_disconnect(),
            origin: SerializedOrigin::new(request)?,
        })
    }

    /// The name of its model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The request, checked like that of a client.
    ///
    /// # Errors
    /// [`InvalidRequest`] if these models don't allow it.
    pub fn read(self, models: &[ModelHandle]) -> Result<Request, InvalidRequest> {
        let model = models.iter().find(|known| known.name() == self.model);
        let model = model.ok_or_else(|| InvalidRequest::Model(self.model.clone()))?;
        let settings = SamplingSettings::with_options(&model.config, self.class, self.options)?;
        let request = Request::new(model, settings, self.seed)?
            .with_count(u64::from(self.count))?
            .with_first(self.first)
            .with_previews(self.previews)
            .with_alternatives(self.alternatives)
            .with_cancel_on_disconnect(self.cancel_on_disconnect);
        self.origin.apply(request)
    }
}

impl SerializedOrigin {
    fn new(request: &Request) -> Result<Self, PictureError> {
        let seed = |noise: ImageSeed| (noise.seed, noise.index);
        Ok(match request.origin() {
            Origin::Noise => Self::Noise,
            Origin::Image(init) => Self::Image {
                // Scaled to the model's size already, so it is small.
                png: STANDARD.encode(encode_png(&init.image, None)?),
                from_step: init.from_step as u64,
                free: init.free.as_deref().map(<[bool]>::to_vec),
            },
            Origin::Tokens(GivenTokens { given, noise }) => Self::Tokens {
                codes: (1..=request.model().steps()).map(|t| given.step(t).to_vec()).collect(),
                is_shown: given.is_shown(),
                noise: seed(*noise),
            },
            Origin::Between(between) => {
                let end = |end: &InterpolationEnd| SerializedEnd {
                    class: end.settings.class(),
                    options: end.settings.options().clone(),
                    noise: seed(end.noise),
                    grids: end.grids.clone(),
                };
                let step = match between.kind() {
                    Interpolation::Step(step) => Some(step),
                    Interpolation::Latent => None,
                };
                let ends = Box::new(between.ends().each_ref().map(end));
                Self::Between { ends, step, frame: between.first(), frames: between.frames() }
            }
        })
    }

    fn is_noise(&self) -> bool {
        matches!(self, Self::Noise)
    }

    fn apply(self, request: Request) -> Result<Request, InvalidRequest> {
        let noise = |(seed, index)| ImageSeed::new(seed, index);
        Ok(match self {
            Self::Noise => request,
            Self::Image { png, from_step, free } => {
                let image = read_png(&png, &request.model().config)?;
                match free {
                    None => request.with_init_image(&image, from_step)?,
                    Some(free) => request.with_edit(&image, from_step, free)?,
                }
            }
            Self::Tokens { codes, is_shown, noise: seed } => {
                let given = Given::new(&request.model().config, &codes)?;
                let given = if is_shown { given.shown() } else { given };
                request.with_given(given, noise(seed))
            }
            Self::Between { ends, step, frame, frames } => {
                let config = &request.model().config;
                let end = |end: SerializedEnd| {
                    let settings = SamplingSettings::with_options(config, end.class, end.options)?;
                    Ok::<_, ModelError>(InterpolationEnd {
                        settings,
                        noise: noise(end.noise),
                        grids: end.grids,
                    })
                };
                let [first, second] = (*ends).map(end);
                let kind = step.map_or(Interpolation::Latent, Interpolation::Step);
                let between = Between::new(config, [first?, second?], kind, frames)?.from_frame(frame);
                request.with_frames(between)
            }
        })
    }
}

/// Decodes a PNG file of the model's size. A larger one is not decoded.
fn read_png(base64: &str, config: &Config) -> Result<DynamicImage, InvalidRequest> {
    let file = STANDARD.decode(base64).map_err(|_| InvalidRequest::Image)?;
    let reader = || image::ImageReader::with_format(std::io::Cursor::new(&file), ImageFormat::Png);
    let size = config.image.size as u32;
    match reader().into_dimensions() {
        Ok(found) if found == (size, size) => reader().decode().map_err(|_| InvalidRequest::Image),
        _ => Err(InvalidRequest::Image),
    }
}
