//! The request of one job.

use std::fmt;
use std::sync::Arc;

use image::DynamicImage;

use super::model_handle::ModelHandle;
use crate::model::{ModelError, SamplingSettings, preprocess};
use crate::picture::Provenance;

/// The largest number of images in one job.
pub const MAX_COUNT: u32 = 16;
/// The largest seed, 2^53 − 1: the largest integer that every JSON implementation keeps exactly.
pub const SEED_MAX: u64 = (1 << 53) - 1;

/// The client that a job belongs to, for its share of what the engine keeps. Its texts mean nothing to the engine and are
/// never logged.
///
/// Shares are equal between groups, and within a group between its members. So a client that can choose its name at will,
/// such as a token, must be a member of a group that it can't choose, such as its network's address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ClientId {
    group: Arc<str>,
    member: Option<Arc<str>>,
}

impl ClientId {
    /// A client that is a group of its own.
    pub fn new(group: impl Into<Arc<str>>) -> Self {
        Self { group: group.into(), member: None }
    }

    /// The member of this client's group with this name.
    pub fn with_member(self, member: impl Into<Arc<str>>) -> Self {
        Self { member: Some(member.into()), ..self }
    }

    pub(super) fn group(&self) -> &str {
        &self.group
    }
}

/// The group of a job's client: `None` where the client isn't known.
pub(super) type ClientGroup = Option<Arc<str>>;

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientId").finish_non_exhaustive()
    }
}

/// The request of one job: `count` images of one model with the same settings, image `i` sampled from (`seed`, `i`). It
/// is valid once it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    model: ModelHandle,
    settings: SamplingSettings,
    seed: u64,
    count: u32,
    previews: bool,
    alternatives: bool,
    cancel_on_disconnect: bool,
    init_image: Option<InitImage>,
    client: Option<ClientId>,
}

/// An image that a job starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct InitImage {
    /// The image, scaled to the model's size.
    pub image: Arc<DynamicImage>,
    /// k, 1..=T − 1: the job starts from z_k of the image, so its first step is k + 1.
    pub from_step: usize,
}

impl Request {
    /// A request for one image.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the settings are for another model, or the seed is greater than [`SEED_MAX`].
    pub fn new(model: &ModelHandle, settings: SamplingSettings, seed: u64) -> Result<Self, ModelError> {
        if settings.model() != model.name() {
            return Err(out_of_range("model", settings.model(), model.name().into()));
        }
        let request = Self {
            model: model.clone(),
            settings,
            seed: 0,
            count: 1,
            previews: true,
            alternatives: false,
            cancel_on_disconnect: false,
            init_image: None,
            client: None,
        };
        request.with_seed(seed)
    }

    /// Sets the seed.
    ///
    /// # Errors
    /// [`ModelError::Setting`] if the seed is greater than [`SEED_MAX`].
    pub fn with_seed(self, seed: u64) -> Result<Self, ModelError> {
        if seed > SEED_MAX {
            return Err(out_of_range("seed", seed, format!("integers from 0 to {SEED_MAX}")));
        }
        Ok(Self { seed, ..self })
    }

    /// Sets the number of images.
    ///
    /// # Errors
    /// [`ModelError::Setting`] unless `count` is 1 to [`MAX_COUNT`].
    pub fn with_count(mut self, count: u64) -> Result<Self, ModelError> {
        let error = || out_of_range("count", count, format!("integers from 1 to {MAX_COUNT}"));
        self.count =
            u32::try_from(count).ok().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or_else(error)?;
        Ok(self)
    }

    /// Sets whether step events contain previews. Each step then costs two passes through the decoder. Default true.
    pub fn with_previews(self, previews: bool) -> Self {
        Self { previews, ..self }
    }

    /// Sets whether step events contain the most probable codes of each position. Default false.
    pub fn with_alternatives(self, alternatives: bool) -> Self {
        Self { alternatives, ..self }
    }

    /// Starts from z_k of an image, with k = `from_step`, instead of from noise. Image `i` uses the noise of (seed, `i`).
    ///
    /// # Errors
    /// [`ModelError::Setting`] unless `from_step` is 1 to T − 1.
    pub fn with_init_image(self, image: &DynamicImage, from_step: u64) -> Result<Self, ModelError> {
        let last = self.model.steps() - 1;
        let error = || out_of_range("from_step", from_step, format!("integers from 1 to {last}"));
        let from_step =
            usize::try_from(from_step).ok().filter(|step| (1..=last).contains(step)).ok_or_else(error)?;
        let image = Arc::new(preprocess(image, &self.model.config.image));
        Ok(Self { init_image: Some(InitImage { image, from_step }), ..self })
    }

    /// Sets whether the job is canceled when its last subscriber has been gone for
    /// [`disconnect_grace`](super::Options::disconnect_grace). Default false: reloading a page must not cancel its job. A
    /// job without a first subscriber isn't canceled.
    pub fn with_cancel_on_disconnect(self, cancel_on_disconnect: bool) -> Self {
        Self { cancel_on_disconnect, ..self }
    }

    /// Sets the client that the job belongs to. Default `None`: all jobs without one are one client's.
    pub fn with_client(self, client: Option<ClientId>) -> Self {
        Self { client, ..self }
    }

    /// The model that samples the images.
    pub fn model(&self) -> &ModelHandle {
        &self.model
    }

    /// The settings of the sampler, the same for all images.
    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// What image number `index` is made from, as image files record it.
    pub fn provenance(&self, index: u32) -> Provenance {
        let from_step = self.init_image.as_ref().map(|init| init.from_step);
        let provenance = Provenance::new(&self.model.config, &self.settings, self.seed, index);
        Provenance { from_step, ..provenance.with_precision(self.model.precision) }
    }

    /// Says what image number `index` shows: its subject and style, or the class, if the model is told classes only.
    pub fn describe_image(&self, index: u32) -> String {
        self.settings.describe(&self.model.config, self.seed, index)
    }

    /// The seed of all randomness, 0 to [`SEED_MAX`].
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The number of images, 1 to [`MAX_COUNT`].
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether step events contain previews.
    pub fn previews(&self) -> bool {
        self.previews
    }

    /// Whether step events contain the most probable codes of each position.
    pub fn alternatives(&self) -> bool {
        self.alternatives
    }

    /// The image to start from; `None` to start from noise.
    pub fn init_image(&self) -> Option<&InitImage> {
        self.init_image.as_ref()
    }

    /// Whether the job is canceled when its last subscriber has left.
    pub fn cancel_on_disconnect(&self) -> bool {
        self.cancel_on_disconnect
    }

    /// The client that the job belongs to, if it is known.
    pub fn client(&self) -> Option<&ClientId> {
        self.client.as_ref()
    }

    pub(super) fn client_group(&self) -> ClientGroup {
        self.client.as_ref().map(|client| Arc::clone(&client.group))
    }

    /// The number of steps that each image takes, 1..=T.
    pub(super) fn steps(&self) -> usize {
        self.model.steps() - self.init_image.as_ref().map_or(0, |init| init.from_step)
    }
}

fn out_of_range(field: &'static str, value: impl ToString, allowed: String) -> ModelError {
    ModelError::Setting { field, value: value.to_string(), allowed }
}
