//! A backend without tensors whose steps, loads and failures a test controls.

use std::cell::Cell;
use std::sync::Arc;

use image::{DynamicImage, GrayImage, Luma};
use rdpm::engine::{Backend, Loader, ModelInfo, Request};
use rdpm::model::{
    Alternatives, Computation, Config, ImageSeed, ModelError, Preview, Step, Tokenization, preprocess,
};

use super::script::{Fault, Script};

/// The seed of the warm-up step after a load.
const WARM_UP_SEED: u64 = 0;

/// A [`Backend`] whose tokens are a function of (class, seed, index, step) and which follows a [`Script`].
pub struct FakeBackend {
    script: Arc<Script>,
    /// Whether the warm-up step after the load was taken. The script doesn't apply to it.
    warmed_up: Cell<bool>,
    config: Config,
}

/// Loads fake models, each with its own script, onto one fake device.
pub struct FakeLoader {
    pub device: String,
    pub models: Vec<(Config, Arc<Script>)>,
}

impl FakeLoader {
    pub fn infos(models: &[(Config, Arc<Script>)]) -> Vec<ModelInfo> {
        let info = |(config, _): &(Config, Arc<Script>)| {
            let codes = 0..config.trajectory.codes;
            let palette = codes.map(|code| format!("#{code}0{code}0{code}0")).collect();
            let (version, computation) = ("0123456789abcdef".into(), Computation::default());
            ModelInfo { config: config.clone(), palette, weight_count: 1234, version, computation }
        };
        models.iter().map(info).collect()
    }
}

impl Loader for FakeLoader {
    type Backend = FakeBackend;

    fn device(&mut self) -> Result<String, ModelError> {
        Ok(self.device.clone())
    }

    fn load(&mut self, model: &str) -> Result<FakeBackend, ModelError> {
        let (config, script) = self.models.iter().find(|(config, _)| config.name == model).unwrap();
        FakeBackend::load(config.clone(), script)
    }
}

pub struct FakeSamplerState {
    class: usize,
    seed: u64,
    index: u32,
    step: usize,
    alternatives: bool,
}

impl FakeBackend {
    fn load(config: Config, script: &Arc<Script>) -> Result<Self, ModelError> {
        let mut state = script.state.lock();
        state.load_attempts += 1;
        let fault = state.load_faults.pop_front().flatten();
        drop(state);
        match fault {
            None => Ok(Self { script: Arc::clone(script), warmed_up: Cell::new(false), config }),
            Some(Fault::Panic) => panic("the fake backend panics while it is loaded"),
            Some(_) => Err(ModelError::Image("secret detail: the fake backend can't be loaded".into())),
        }
    }

    fn positions(&self) -> usize {
        self.config.latent.grid.pow(2)
    }

    fn grid(&self, state: &FakeSamplerState, step: usize) -> Vec<u32> {
        let sum = state.seed as usize + state.index as usize * 3 + state.class + step;
        (0..self.positions())
            .map(|position| ((sum + position) % self.config.trajectory.codes) as u32)
            .collect()
    }

    fn picture(&self, state: &FakeSamplerState, noise: u8) -> DynamicImage {
        let grey = (state.seed as u8).wrapping_mul(16).wrapping_add(state.index as u8 * 2 + noise);
        let size = self.config.image.size as u32;
        let picture = DynamicImage::from(GrayImage::from_pixel(size, size, Luma([grey])));
        if self.config.image.channels == 1 { picture } else { picture.into_rgb8().into() }
    }
}

impl Backend for FakeBackend {
    type SamplerState = FakeSamplerState;

    fn config(&self) -> &Config {
        &self.config
    }

    fn start(&self, request: &Request, index: u32) -> Result<FakeSamplerState, ModelError> {
        let step = request.init_image().map_or(0, |init| init.from_step);
        let (class, alternatives) = (request.settings().class(), request.alternatives());
        let ImageSeed { seed, index } = request.draws(index);
        Ok(FakeSamplerState { class, seed, index, step, alternatives })
    }

    fn step(&self, states: &mut [&mut FakeSamplerState]) -> Result<Vec<Step>, ModelError> {
        let mut fault = None;
        if self.warmed_up.replace(true) {
            let mut script = self.script.state.lock();
            script.waiting = script.permits == Some(0);
            self.script.changed.notify_all();
            self.script.changed.wait_while(&mut script, |script| script.permits == Some(0));
            script.waiting = false;
            script.permits = script.permits.map(|permits| permits - 1);
            fault = script.step_faults.pop_front().flatten();
            let batch = states.iter().map(|state| (state.seed, state.index, state.step + 1));
            let batch = batch.collect();
            script.batches.push(batch);
            self.script.changed.notify_all();
        }
        match fault {
            Some(Fault::Error) => {
                return Err(ModelError::Image("secret detail: the fake backend fails".into()));
            }
            Some(Fault::Panic) => panic("secret detail: the fake backend panics"),
            Some(Fault::TooFewResults) => return Ok(Vec::new()),
            Some(Fault::OutOfMemory) => {
                // Without a backtrace, whose printing would read 100 MB of debug information into memory for good.
                let text = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
                return Err(candle_core::Error::Msg(text.into()).into());
            }
            None => {}
        }
        let positions = self.positions();
        let step = |state: &mut &mut FakeSamplerState| {
            assert!(state.step < self.config.steps(), "a finished image was stepped");
            state.step += 1;
            Step {
                step: state.step,
                tokens: self.grid(state, state.step),
                entropy: vec![1.5; positions],
                probability: vec![0.25; positions],
                alternatives: state.alternatives.then(|| Alternatives {
                    codes: [0, 1].repeat(positions),
                    probabilities: [0.5, 0.25].repeat(positions),
                    ranks: vec![1; positions],
                }),
                given: Vec::new(),
            }
        };
        Ok(states.iter_mut().map(step).collect())
    }

    fn previews(&self, states: &[&FakeSamplerState]) -> Result<Vec<Preview>, ModelError> {
        assert!(states.iter().all(|state| state.step > 0));
        if states.iter().any(|state| state.seed != WARM_UP_SEED) {
            self.script.state.lock().previews += states.len();
        }
        let preview = |state: &&FakeSamplerState| Preview {
            noisy: self.picture(state, 1),
            clean: self.picture(state, 0),
        };
        Ok(states.iter().map(preview).collect())
    }

    fn images(&self, states: &[&FakeSamplerState]) -> Result<Vec<DynamicImage>, ModelError> {
        Ok(states.iter().map(|state| self.picture(state, 0)).collect())
    }

    fn tokens(&self, state: &FakeSamplerState) -> Option<Vec<Vec<u32>>> {
        Some((1..=state.step).map(|step| self.grid(state, step)).collect())
    }

    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        let mut script = self.script.state.lock();
        self.script.changed.wait_while(&mut script, |script| script.tokenizations_paused);
        let fault = script.tokenize_faults.pop_front().flatten();
        drop(script);
        match fault {
            Some(Fault::Panic) => panic("secret detail: the fake backend panics"),
            Some(_) => return Err(ModelError::Image("secret detail: the fake backend fails".into())),
            None => {}
        }
        let state = |step| FakeSamplerState { class: 0, seed, index: 0, step, alternatives: false };
        let preview =
            |step| Preview { noisy: self.picture(&state(step), 1), clean: self.picture(&state(step), 0) };
        let steps = 1..=self.config.steps();
        Ok(Tokenization {
            input: preprocess(image, &self.config.image),
            tokens: steps.clone().map(|step| vec![step as u32; self.positions()]).collect(),
            previews: steps.map(preview).collect(),
            resized_from: Some((image.width(), image.height())),
            caption: None,
        })
    }
}

/// Panics without printing a message and a backtrace to standard error.
fn panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
