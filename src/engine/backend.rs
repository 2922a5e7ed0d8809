//! What the engine needs of a model, and of what makes models.

use std::collections::HashMap;
use std::path::PathBuf;

use image::DynamicImage;

use super::{Request, Source};
use crate::model::{
    Config, Model, ModelError, Precision, Preview, SamplerState, Step, Tokenization, device_name, open_device,
};

/// A model as the worker sees it. It is made, used and dropped on one thread, so it needn't be `Send`.
///
/// [`Model`] is the real one; tests have others, which fail on demand.
pub trait Backend {
    /// One image in the making.
    type Drawing: Send;

    /// What it was made from. Requests were checked against the configuration that the engine was started with, so it
    /// must be that one.
    fn config(&self) -> &Config;

    /// Starts image number `index` of a request.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn start(&self, request: &Request, index: u32) -> Result<Self::Drawing, ModelError>;

    /// One step for each drawing, whatever their timesteps and settings; none has done all T steps. One [`Step`]
    /// for each, in the same order.
    ///
    /// # Errors
    /// Any. Where it [is for lack of memory](ModelError::is_out_of_memory) the drawings are as they were, and the same
    /// is tried with fewer of them; after any other the drawings are lost and the backend is made anew.
    fn step(&self, drawings: &mut [&mut Self::Drawing]) -> Result<Vec<Step>, ModelError>;

    /// Both previews of each drawing, which has done at least one step, in the same order.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn previews(&self, drawings: &[&Self::Drawing]) -> Result<Vec<Preview>, ModelError>;

    /// The image that each drawing is so far, in the same order.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn images(&self, drawings: &[&Self::Drawing]) -> Result<Vec<DynamicImage>, ModelError>;

    /// Encodes an image into its token grids, from the noise of a seed.
    ///
    /// # Errors
    /// As in [`Backend::step`].
    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError>;
}

impl Backend for Model {
    type Drawing = SamplerState;

    fn config(&self) -> &Config {
        Model::config(self)
    }

    fn start(&self, request: &Request, index: u32) -> Result<SamplerState, ModelError> {
        let (settings, seed) = (request.settings(), request.seed());
        let drawing = match request.source() {
            None => Model::start(self, settings, seed, index),
            Some(Source { image, from_step }) => {
                self.start_from_image(settings, seed, index, image, *from_step)?
            }
        };
        Ok(drawing.with_alternatives(request.alternatives()))
    }

    fn step(&self, drawings: &mut [&mut SamplerState]) -> Result<Vec<Step>, ModelError> {
        Model::step(self, drawings)
    }

    fn previews(&self, drawings: &[&SamplerState]) -> Result<Vec<Preview>, ModelError> {
        Model::previews(self, drawings)
    }

    fn images(&self, drawings: &[&SamplerState]) -> Result<Vec<DynamicImage>, ModelError> {
        Model::images(self, drawings)
    }

    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        Model::tokenize(self, image, seed)
    }
}

/// Makes the models of one worker, on the worker's thread. One that failed is made again, so it must be able to do so
/// repeatedly.
///
/// [`Folders`] is the real one; tests have others.
pub trait Loader {
    type Backend: Backend;

    /// Opens the worker's device; its name, as `cpu` or `cuda:0`. Called once, before any model is made.
    ///
    /// # Errors
    /// [`ModelError::Device`] where it isn't there.
    fn device(&mut self) -> Result<String, ModelError>;

    /// Makes the model of this name.
    ///
    /// # Errors
    /// Any.
    fn load(&mut self, model: &str) -> Result<Self::Backend, ModelError>;
}

/// Loads models from their folders onto one device.
#[derive(Debug, Clone)]
pub struct Folders {
    folders: HashMap<String, PathBuf>,
    device: String,
    precision: Precision,
}

impl Folders {
    /// Models' names with their folders, and a device as [`open_device`] takes it.
    pub fn new(folders: impl IntoIterator<Item = (String, PathBuf)>, device: &str) -> Self {
        Self { folders: folders.into_iter().collect(), device: device.into(), precision: Precision::F32 }
    }

    /// In these numbers, where the device is a GPU.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }
}

impl Loader for Folders {
    type Backend = Model;

    fn device(&mut self) -> Result<String, ModelError> {
        // `auto` is decided here, so that all models go where the first one goes.
        self.device = device_name(&open_device(&self.device)?);
        Ok(self.device.clone())
    }

    fn load(&mut self, model: &str) -> Result<Model, ModelError> {
        let folder = self.folders.get(model).ok_or_else(|| ModelError::Config {
            path: model.into(),
            reason: "there is no such model".into(),
        })?;
        Model::load_with_precision(folder, &open_device(&self.device)?, self.precision)
    }
}
