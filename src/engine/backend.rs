//! What the engine needs of a model.

use image::DynamicImage;

use crate::model::{Config, Drawing, Model, ModelError, Preview, Settings, Step};

/// What is being served, for people and programs.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelInfo {
    pub config: Config,
    /// CSS colours `#rrggbb` of the V codes: near codes, near colours.
    pub palette: Vec<String>,
    /// Number of learned numbers.
    pub parameters: usize,
    /// The device it runs on (`cpu`, `cuda:0`).
    pub device: String,
}

/// A model as the worker sees it. It is made, used and dropped on one thread, so it needn't be `Send`.
///
/// [`Model`] is the real one; tests have others, which fail on demand.
pub trait Backend {
    /// One image in the making.
    type Drawing: Send;

    /// Called once after each load.
    fn info(&self) -> ModelInfo;

    /// Starts image number `index` of the request with this seed.
    fn start(&self, settings: &Settings, seed: u64, index: u32) -> Self::Drawing;

    /// One step for each drawing, whatever their timesteps and settings; none has done all T steps. One [`Step`]
    /// for each, in the same order.
    ///
    /// # Errors
    /// Any; all drawings of the call are then lost and the backend is made anew.
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
}

impl Backend for Model {
    type Drawing = Drawing;

    fn info(&self) -> ModelInfo {
        ModelInfo {
            config: self.config().clone(),
            palette: self.palette(),
            parameters: self.parameters(),
            device: self.device(),
        }
    }

    fn start(&self, settings: &Settings, seed: u64, index: u32) -> Drawing {
        Model::start(self, settings, seed, index)
    }

    fn step(&self, drawings: &mut [&mut Drawing]) -> Result<Vec<Step>, ModelError> {
        Model::step(self, drawings)
    }

    fn previews(&self, drawings: &[&Drawing]) -> Result<Vec<Preview>, ModelError> {
        Model::previews(self, drawings)
    }

    fn images(&self, drawings: &[&Drawing]) -> Result<Vec<DynamicImage>, ModelError> {
        Model::images(self, drawings)
    }
}
