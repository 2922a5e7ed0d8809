//! The traits that a device implements, [`Backend`] and [`Loader`], and their implementation by [`Model`].

use std::collections::HashMap;
use std::path::PathBuf;

use image::DynamicImage;

use super::request::{GivenTokens, InitImage, Origin, Request};
use crate::model::{
    Computation, Config, ImageSeed, Model, ModelError, Preview, SamplerState, Step, Tokenization, open_device,
};

/// A model on a device, as a worker uses it. It is loaded, used and dropped on one thread, so it needn't be `Send`.
///
/// [`Model`] implements it; tests have a fake.
pub trait Backend {
    /// The state of the sampler for one image.
    type SamplerState: Send;

    /// The model's configuration. It must be the one that the engine was started with, as requests were checked against
    /// that.
    fn config(&self) -> &Config;

    /// Starts image number `index` of a request.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn start(&self, request: &Request, index: u32) -> Result<Self::SamplerState, ModelError>;

    /// Takes one step of each image and returns one [`Step`] for each, in the same order. Timesteps and settings may
    /// differ; no image has taken all T steps.
    ///
    /// # Errors
    /// Any. After an [out of memory error](ModelError::is_out_of_memory) the states must be unchanged, and the engine
    /// tries again with fewer images. After any other error the engine drops the states and loads the model again.
    fn step(&self, states: &mut [&mut Self::SamplerState]) -> Result<Vec<Step>, ModelError>;

    /// Decodes both previews of each image, in the same order. Each has taken at least one step.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn previews(&self, states: &[&Self::SamplerState]) -> Result<Vec<Preview>, ModelError>;

    /// C_1 … C_t of an image. `None` where its latent isn't their sum with the noise of a seed.
    fn tokens(&self, state: &Self::SamplerState) -> Option<Vec<Vec<u32>>>;

    /// Decodes the running latent of each image, in the same order.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn images(&self, states: &[&Self::SamplerState]) -> Result<Vec<DynamicImage>, ModelError>;

    /// Encodes an image into T token grids, with the noise of a seed, and decodes them.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError>;
}

impl Backend for Model {
    type SamplerState = SamplerState;

    fn config(&self) -> &Config {
        Model::config(self)
    }

    fn start(&self, request: &Request, index: u32) -> Result<SamplerState, ModelError> {
        let (settings, draws) = (request.settings(), request.draws(index));
        let ImageSeed { seed, index: own } = draws;
        let state = match request.origin() {
            Origin::Noise => Model::start(self, settings, seed, own),
            Origin::Image(InitImage { image, from_step, free: None }) => {
                self.start_from_image(settings, seed, own, image, *from_step)?
            }
            Origin::Image(InitImage { image, from_step, free: Some(free) }) => {
                self.start_edit(settings, draws, image, *from_step, free)?
            }
            Origin::Tokens(GivenTokens { given, noise }) => self.start_given(settings, *noise, draws, given),
            Origin::Between(between) => {
                self.start_between(between.ends(), between.kind(), between.weight(index))?
            }
        };
        Ok(state.with_alternatives(request.alternatives()))
    }

    fn step(&self, states: &mut [&mut SamplerState]) -> Result<Vec<Step>, ModelError> {
        Model::step(self, states)
    }

    fn previews(&self, states: &[&SamplerState]) -> Result<Vec<Preview>, ModelError> {
        Model::previews(self, states)
    }

    fn images(&self, states: &[&SamplerState]) -> Result<Vec<DynamicImage>, ModelError> {
        Model::images(self, states)
    }

    fn tokens(&self, state: &SamplerState) -> Option<Vec<Vec<u32>>> {
        state.tokens()
    }

    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        Model::tokenize(self, image, seed)
    }
}

/// Loads the models of one worker, on the worker's thread. A model that failed is loaded again.
///
/// [`FolderLoader`] implements it for [`Model`]; tests have a fake.
pub trait Loader {
    /// The models that it loads.
    type Backend: Backend;

    /// Opens the worker's device and returns its name, for example `cpu` or `gpu:0`. Called once, before any model is
    /// loaded.
    ///
    /// # Errors
    /// [`ModelError::Device`] if the device is missing.
    fn device(&mut self) -> Result<String, ModelError>;

    /// Loads the model of this name.
    ///
    /// # Errors
    /// Any.
    fn load(&mut self, model: &str) -> Result<Self::Backend, ModelError>;
}

/// Loads models from their folders onto one device.
#[derive(Debug, Clone)]
pub struct FolderLoader {
    folders: HashMap<String, PathBuf>,
    device: String,
    /// By model name.
    computations: HashMap<String, Computation>,
}

impl FolderLoader {
    /// A loader of the models with these names from these folders onto a device, named as [`open_device`] takes it.
    pub fn new(folders: impl IntoIterator<Item = (String, PathBuf)>, device: &str) -> Self {
        Self { folders: folders.into_iter().collect(), device: device.into(), computations: HashMap::new() }
    }

    /// Sets how models compute, by their names. Default: f32, two passes.
    pub fn with_computations(self, computations: impl IntoIterator<Item = (String, Computation)>) -> Self {
        Self { computations: computations.into_iter().collect(), ..self }
    }
}

impl Loader for FolderLoader {
    type Backend = Model;

    fn device(&mut self) -> Result<String, ModelError> {
        // Resolves `auto` once, so that all models are on the same device.
        self.device = open_device(&self.device)?.name();
        Ok(self.device.clone())
    }

    fn load(&mut self, model: &str) -> Result<Model, ModelError> {
        let folder = self.folders.get(model).ok_or_else(|| ModelError::Config {
            path: model.into(),
            reason: "there is no such model".into(),
        })?;
        let computation = self.computations.get(model).copied().unwrap_or_default();
        Model::load_with(folder, &open_device(&self.device)?, computation)
    }
}
