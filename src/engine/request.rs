//! What one job asks for.

use std::sync::Arc;

use image::DynamicImage;

use crate::model::{Config, ModelError, SamplingSettings, preprocess};
use crate::picture::Provenance;

/// Images in one job at most.
pub const MAX_COUNT: u32 = 16;
/// The largest seed, 2^53 − 1: the largest integer that every JSON implementation keeps exactly.
pub const SEED_MAX: u64 = (1 << 53) - 1;

/// A job's request: `count` images of the same settings, image `i` drawn from (`seed`, `i`). Once made it is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    settings: SamplingSettings,
    seed: u64,
    count: u32,
    previews: bool,
    alternatives: bool,
    cancel_on_disconnect: bool,
    source: Option<Source>,
}

/// An image that a job varies.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// As the model sees it.
    pub image: Arc<DynamicImage>,
    /// k, 1..=T − 1: the job starts from z_k of the image, so that its first step is k + 1.
    pub from_step: usize,
}

impl Request {
    /// A request for one image.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the seed is above [`SEED_MAX`].
    pub fn new(settings: SamplingSettings, seed: u64) -> Result<Self, ModelError> {
        let request = Self {
            settings,
            seed: 0,
            count: 1,
            previews: true,
            alternatives: false,
            cancel_on_disconnect: false,
            source: None,
        };
        request.with_seed(seed)
    }

    /// The same from another seed.
    ///
    /// # Errors
    /// As in [`Request::new`].
    pub fn with_seed(self, seed: u64) -> Result<Self, ModelError> {
        if seed > SEED_MAX {
            return Err(setting("seed", seed, format!("integers from 0 to {SEED_MAX}")));
        }
        Ok(Self { seed, ..self })
    }

    /// The same for several images.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the count isn't 1 to [`MAX_COUNT`].
    pub fn with_count(mut self, count: u64) -> Result<Self, ModelError> {
        let allowed = || setting("count", count, format!("integers from 1 to {MAX_COUNT}"));
        self.count =
            u32::try_from(count).ok().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or_else(allowed)?;
        Ok(self)
    }

    /// Whether its step events show the images as they are so far; each costs two passes through the decoder. They do
    /// unless told otherwise.
    pub fn with_previews(self, previews: bool) -> Self {
        Self { previews, ..self }
    }

    /// Whether its step events name the most probable codes of each position. They don't unless told to.
    pub fn with_alternatives(self, alternatives: bool) -> Self {
        Self { alternatives, ..self }
    }

    /// Starts from z_k of an image, k being `from_step`, instead of from noise: image `i` varies it with the noise of
    /// (seed, `i`).
    ///
    /// # Errors
    /// [`ModelError::Setting`] where `from_step` isn't 1 to T − 1.
    pub fn with_source(
        self,
        config: &Config,
        image: &DynamicImage,
        from_step: u64,
    ) -> Result<Self, ModelError> {
        let last = config.steps() - 1;
        let allowed = || setting("from_step", from_step, format!("integers from 1 to {last}"));
        let from_step =
            usize::try_from(from_step).ok().filter(|step| (1..=last).contains(step)).ok_or_else(allowed)?;
        let source = Source { image: Arc::new(preprocess(image, &config.image)), from_step };
        Ok(Self { source: Some(source), ..self })
    }

    /// Whether the job is canceled when its last subscriber has been gone for
    /// [`disconnect_grace`](super::Options::disconnect_grace). It isn't unless told so: reloading a page must not kill
    /// its job. A job that nobody has subscribed to yet waits for its first subscriber.
    pub fn with_cancel_on_disconnect(self, cancel_on_disconnect: bool) -> Self {
        Self { cancel_on_disconnect, ..self }
    }

    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// What image number `index` is made of.
    pub fn parameters(&self, config: &Config, index: u32) -> Provenance {
        let from_step = self.source.as_ref().map(|source| source.from_step);
        Provenance { from_step, ..Provenance::new(config, &self.settings, self.seed, index) }
    }

    /// 0 to [`SEED_MAX`].
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// 1 to [`MAX_COUNT`].
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn previews(&self) -> bool {
        self.previews
    }

    pub fn alternatives(&self) -> bool {
        self.alternatives
    }

    /// What it varies; `None` where it starts from noise.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// Steps that each of its images takes, of T.
    pub(super) fn remaining(&self, steps: usize) -> usize {
        steps - self.source.as_ref().map_or(0, |source| source.from_step)
    }

    pub fn cancel_on_disconnect(&self) -> bool {
        self.cancel_on_disconnect
    }
}

fn setting(field: &'static str, value: u64, allowed: String) -> ModelError {
    ModelError::Setting { field, value: value.to_string(), allowed }
}
