//! The request of one job.

use std::fmt;
use std::sync::Arc;

use image::DynamicImage;

use super::between::Between;
use super::model_handle::ModelHandle;
use crate::model::{
    Given, ImageSeed, Interpolation, InterpolationEnd, ModelError, SamplingSettings, preprocess,
};
use crate::picture::{Provenance, TokenFile};

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

    /// The names of its group and of the member, which are secrets.
    pub fn names(&self) -> (&str, Option<&str>) {
        (&self.group, self.member.as_deref())
    }
}

/// The group of a job's client: `None` where the client isn't known.
pub(super) type ClientGroup = Option<Arc<str>>;

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientId").finish_non_exhaustive()
    }
}

/// The request of one job: `count` images of one model with the same settings, image `i` sampled from (`seed`, `first` +
/// `i`). It is valid once it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    model: ModelHandle,
    settings: SamplingSettings,
    seed: u64,
    first: u32,
    count: u32,
    previews: bool,
    alternatives: bool,
    cancel_on_disconnect: bool,
    origin: Origin,
    client: Option<ClientId>,
}

/// What the images of a job start from.
#[derive(Debug, Clone, PartialEq)]
pub enum Origin {
    /// Each from its own noise.
    Noise,
    Image(InitImage),
    Tokens(GivenTokens),
    /// Between two others.
    Between(Between),
}

/// An image that a job starts from.
#[derive(Debug, Clone, PartialEq)]
pub struct InitImage {
    /// The image, scaled to the model's size.
    pub image: Arc<DynamicImage>,
    /// k, 0..=T − 1: the job starts from z_k of the image, so its first step is k + 1.
    pub from_step: usize,
    /// The positions that are drawn, n entries; the others have the codes of the image at all steps. `None`: all are drawn.
    pub free: Option<Arc<[bool]>>,
}

/// Codes that all images of a job are given, from the same noise.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenTokens {
    pub given: Arc<Given>,
    pub noise: ImageSeed,
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
            first: 0,
            count: 1,
            previews: true,
            alternatives: false,
            cancel_on_disconnect: false,
            origin: Origin::Noise,
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

    /// Sets the index from which the images are counted in (`seed`, index): image `i` of the job is sampled from (`seed`,
    /// `first` + `i`). Default 0. For a part of another request.
    pub fn with_first(self, first: u32) -> Self {
        Self { first, ..self }
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
        let from_step = self.check_from_step(from_step, 1)?;
        Ok(self.start_from(image, from_step, None))
    }

    /// Draws a part of an image again. Its codes, from the noise of (seed, `first` + `i`), are given at all positions for the
    /// first `from_step` steps, and outside `free` for all steps.
    ///
    /// # Errors
    /// [`ModelError::Setting`] unless `from_step` is 0 to T − 1, and `free` has n entries of which at least one is true.
    pub fn with_edit(
        self,
        image: &DynamicImage,
        from_step: u64,
        free: Vec<bool>,
    ) -> Result<Self, ModelError> {
        let from_step = self.check_from_step(from_step, 0)?;
        if free.len() != self.model.config.positions() || !free.contains(&true) {
            let kept = format!("{} of {} cells", free.iter().filter(|free| **free).count(), free.len());
            return Err(out_of_range("mask", kept, "a mask that draws at least one cell again".into()));
        }
        Ok(self.start_from(image, from_step, Some(free.into())))
    }

    /// `from_step`, if it is `least` to T − 1.
    fn check_from_step(&self, from_step: u64, least: usize) -> Result<usize, ModelError> {
        let last = self.model.steps() - 1;
        let error = || out_of_range("from_step", from_step, format!("integers from {least} to {last}"));
        usize::try_from(from_step).ok().filter(|step| (least..=last).contains(step)).ok_or_else(error)
    }

    fn start_from(self, image: &DynamicImage, from_step: usize, free: Option<Arc<[bool]>>) -> Self {
        let image = Arc::new(preprocess(image, &self.model.config.image));
        Self { origin: Origin::Image(InitImage { image, from_step, free }), ..self }
    }

    /// Takes given codes, from the noise of `noise` for all images. Only what isn't given is drawn, for image `i` with the
    /// generator of (seed, `first` + `i`).
    pub fn with_given(self, given: Given, noise: ImageSeed) -> Self {
        Self { origin: Origin::Tokens(GivenTokens { given: Arc::new(given), noise }), ..self }
    }

    /// Makes image `i` of `count` the one at i ∕ (count − 1) of the way between two others.
    ///
    /// # Errors
    /// As in [`Between::new`].
    pub fn with_interpolation(
        self,
        ends: [InterpolationEnd; 2],
        kind: Interpolation,
    ) -> Result<Self, ModelError> {
        let between = Between::new(&self.model.config, ends, kind, self.count)?;
        Ok(self.with_frames(between))
    }

    /// Makes the images frames of an interpolation.
    pub(super) fn with_frames(self, between: Between) -> Self {
        Self { origin: Origin::Between(between), ..self }
    }

    /// The request for one of its images alone, of no client. It gives the same image.
    #[must_use]
    pub fn part(&self, index: u32) -> Self {
        let mut part = self.clone();
        part.first = self.first.saturating_add(index);
        part.count = 1;
        part.client = None;
        if let Origin::Between(between) = part.origin {
            part.origin = Origin::Between(between.from_frame(index));
        }
        part
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

    /// The settings of the sampler: of all images, except of those between two others that have settings of their own.
    pub fn settings(&self) -> &SamplingSettings {
        &self.settings
    }

    /// The settings of one image.
    pub fn settings_of(&self, index: u32) -> &SamplingSettings {
        match &self.origin {
            Origin::Between(between) => &between.nearer(index).settings,
            _ => &self.settings,
        }
    }

    /// What image number `index` is made from, as image files record it.
    ///
    /// `tokens` are the grids of the image, if it has any. They are recorded where nothing else makes the image again.
    pub fn provenance(&self, index: u32, tokens: Option<&[Vec<u32>]>) -> Provenance {
        let (config, draws) = (&self.model.config, self.draws(index));
        let from_step = self.init_image().map(|init| init.from_step).filter(|step| *step > 0);
        let settings = self.settings_of(index);
        let mut provenance = Provenance::new(config, settings, draws.seed, draws.index);
        let noise = self.noise(index);
        if !matches!(self.origin, Origin::Noise) {
            let subject = settings.subject(config, noise.seed, noise.index);
            provenance.subject = subject.map(str::to_owned);
            let file = tokens.and_then(|grids| {
                TokenFile::new(&config.name, Some(&self.model.version), noise.seed, noise.index, grids).ok()
            });
            match file {
                Some(file) if self.is_decoding() => provenance = provenance.of_tokens(&file),
                file => provenance.tokens = file.map(|file| file.to_base64()),
            }
            provenance.is_derived = true;
        }
        Provenance { from_step, ..provenance.with_computation(self.model.computation) }
    }

    /// Says what image number `index` shows: its subject and style, or the class, if the model is told classes only.
    pub fn describe_image(&self, index: u32) -> String {
        let noise = self.noise(index);
        self.settings_of(index).describe(&self.model.config, noise.seed, noise.index)
    }

    /// What the uniform random numbers of an image are drawn with.
    pub fn draws(&self, index: u32) -> ImageSeed {
        ImageSeed::new(self.seed, self.first.saturating_add(index))
    }

    /// What the noise of an image is drawn with, and its subject and style where the settings name none. Of an
    /// image between two others, those of the nearer one.
    pub fn noise(&self, index: u32) -> ImageSeed {
        match &self.origin {
            Origin::Noise | Origin::Image(_) => self.draws(index),
            Origin::Tokens(tokens) => tokens.noise,
            Origin::Between(between) => between.nearer(index).noise,
        }
    }

    /// Whether all codes are given.
    fn is_decoding(&self) -> bool {
        matches!(&self.origin, Origin::Tokens(tokens) if tokens.given.leading_steps() == self.model.steps())
    }

    /// The seed of all randomness, 0 to [`SEED_MAX`].
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The index of image 0 in (`seed`, index).
    pub fn first(&self) -> u32 {
        self.first
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

    /// What the images start from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The image to start from, if there is one.
    pub fn init_image(&self) -> Option<&InitImage> {
        match &self.origin {
            Origin::Image(init) => Some(init),
            _ => None,
        }
    }

    /// The approximate number of bytes that the origin takes.
    pub(super) fn origin_byte_size(&self) -> usize {
        match &self.origin {
            Origin::Noise => 0,
            Origin::Image(init) => init.image.as_bytes().len(),
            Origin::Tokens(tokens) => size_of_val(tokens.given.codes()),
            Origin::Between(between) => between.byte_size(),
        }
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
        let steps = self.model.steps();
        let done = match &self.origin {
            Origin::Noise => 0,
            Origin::Image(init) => init.from_step,
            Origin::Tokens(tokens) => tokens.given.leading_steps().min(steps - 1),
            Origin::Between(between) => between.steps_done(steps),
        };
        steps - done
    }
}

fn out_of_range(field: &'static str, value: impl ToString, allowed: String) -> ModelError {
    ModelError::Setting { field, value: value.to_string(), allowed }
}
