//! A device that sleeps: a step of any number of images takes the same time, and no processor. It stands for a graphics
//! processor, so that the queue can be measured with more workers than this machine has cores.

use std::time::Duration;

use image::{DynamicImage, GrayImage};
use rdpm::engine::{Backend, Loader, ModelInfo, Request};
use rdpm::model::{Computation, Config, ImageSeed, ModelError, Preview, Step, Tokenization};
use serde_json::json;

/// A configuration with the sizes of `weights/fashion-mnist`: ten steps of 7 × 7 tokens, 28 × 28 pixels in grey.
fn config() -> Config {
    serde_json::from_value(json!({
        "format_version": 1,
        "name": "sleeping",
        "title": "Sleeping",
        "image": {"size": 28, "channels": 1},
        "latent": {"grid": 7, "channels": 4},
        "trajectory": {"codes": 256, "schedule": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]},
        "tokenizer": {"widths": [8, 8], "blocks": [1, 1]},
        "denoiser": {"width": 8, "layers": 1, "heads": 1},
        "classes": ["Anything"],
        "sampling": {"guidance": 2.0, "temperature": 0.9},
    }))
    .expect("a valid configuration")
}

/// What a gateway knows of the model.
pub fn model_info() -> ModelInfo {
    let palette = vec!["#808080".into(); 256];
    let (version, computation) = ("0123456789abcdef".into(), Computation::default());
    ModelInfo { config: config(), palette, weight_count: 0, version, computation }
}

/// Loads sleeping models.
pub struct SleepingLoader {
    /// The time of a step.
    pub step: Duration,
}

impl Loader for SleepingLoader {
    type Backend = SleepingBackend;

    fn device(&mut self) -> Result<String, ModelError> {
        Ok("sleeping".into())
    }

    fn load(&mut self, _model: &str) -> Result<SleepingBackend, ModelError> {
        Ok(SleepingBackend { step: self.step, config: config() })
    }
}

pub struct SleepingBackend {
    step: Duration,
    config: Config,
}

pub struct SleepingState {
    seed: ImageSeed,
    step: usize,
}

impl SleepingState {
    /// Numbers that look random and are always the same, so that files have the sizes of real ones.
    fn numbers(&self, count: usize) -> impl Iterator<Item = u32> {
        let start =
            self.seed.seed.wrapping_mul(31).wrapping_add(u64::from(self.seed.index)) + self.step as u64;
        let mut state = start.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u32
        })
        .take(count)
    }
}

impl SleepingBackend {
    fn picture(&self, state: &SleepingState) -> DynamicImage {
        let size = self.config.image.size as u32;
        let pixels = state.numbers((size * size) as usize).map(|number| number as u8).collect();
        GrayImage::from_raw(size, size, pixels).unwrap_or_else(|| GrayImage::new(size, size)).into()
    }
}

impl Backend for SleepingBackend {
    type SamplerState = SleepingState;

    fn config(&self) -> &Config {
        &self.config
    }

    fn start(&self, request: &Request, index: u32) -> Result<SleepingState, ModelError> {
        Ok(SleepingState { seed: request.draws(index), step: 0 })
    }

    fn step(&self, states: &mut [&mut SleepingState]) -> Result<Vec<Step>, ModelError> {
        std::thread::sleep(self.step);
        let positions = self.config.latent.grid.pow(2);
        let step = |state: &mut &mut SleepingState| {
            state.step += 1;
            Step {
                step: state.step,
                tokens: state.numbers(positions).map(|number| number % 256).collect(),
                entropy: vec![1.5; positions],
                probability: vec![0.25; positions],
                alternatives: None,
                given: Vec::new(),
            }
        };
        Ok(states.iter_mut().map(step).collect())
    }

    fn previews(&self, states: &[&SleepingState]) -> Result<Vec<Preview>, ModelError> {
        let preview =
            |state: &&SleepingState| Preview { noisy: self.picture(state), clean: self.picture(state) };
        Ok(states.iter().map(preview).collect())
    }

    fn tokens(&self, _state: &SleepingState) -> Option<Vec<Vec<u32>>> {
        None
    }

    fn images(&self, states: &[&SleepingState]) -> Result<Vec<DynamicImage>, ModelError> {
        Ok(states.iter().map(|state| self.picture(state)).collect())
    }

    fn tokenize(&self, _image: &DynamicImage, _seed: u64) -> Result<Tokenization, ModelError> {
        Err(ModelError::Image("nothing is tokenized".into()))
    }
}
