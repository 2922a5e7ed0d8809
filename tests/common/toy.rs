//! A model that does as it is told.

use std::cell::Cell;
use std::sync::Arc;

use image::{DynamicImage, GrayImage, Luma};
use rdpm::engine::{Backend, Loader, ModelInfo, Request};
use rdpm::model::{Alternatives, Config, ModelError, Preview, Step, Tokenization, fit};

use super::{Fault, Script};

/// The seed of the trial step after a load.
const TRIAL_SEED: u64 = 0;

/// A [`Backend`] whose tokens are a function of (class, seed, index, step) and which follows a [`Script`].
pub struct Toy {
    script: Arc<Script>,
    /// Whether the trial step after a load was taken; it is no part of the script.
    tried: Cell<bool>,
    config: Config,
}

/// Makes toys, each with a script of its own, as if on one device.
pub struct Toys {
    pub device: String,
    pub models: Vec<(Config, Arc<Script>)>,
}

impl Toys {
    pub fn infos(models: &[(Config, Arc<Script>)]) -> Vec<ModelInfo> {
        let info = |(config, _): &(Config, Arc<Script>)| {
            let codes = 0..config.trajectory.codes;
            let palette = codes.map(|code| format!("#{code}0{code}0{code}0")).collect();
            ModelInfo { config: config.clone(), palette, parameters: 1234 }
        };
        models.iter().map(info).collect()
    }
}

impl Loader for Toys {
    type Backend = Toy;

    fn device(&mut self) -> Result<String, ModelError> {
        Ok(self.device.clone())
    }

    fn load(&mut self, model: &str) -> Result<Toy, ModelError> {
        let (config, script) = self.models.iter().find(|(config, _)| config.name == model).unwrap();
        Toy::load(config.clone(), script)
    }
}

pub struct ToyDrawing {
    class: usize,
    seed: u64,
    index: u32,
    step: usize,
    alternatives: bool,
}

impl Toy {
    fn load(config: Config, script: &Arc<Script>) -> Result<Self, ModelError> {
        let mut state = script.state.lock();
        state.loaded += 1;
        let fault = state.loads.pop_front().flatten();
        drop(state);
        match fault {
            None => Ok(Self { script: Arc::clone(script), tried: Cell::new(false), config }),
            Some(Fault::Panic) => panic("the toy panics while it is loaded"),
            Some(_) => Err(ModelError::Image("the toy's secret: it can't be loaded".into())),
        }
    }

    fn positions(&self) -> usize {
        self.config.latent.grid.pow(2)
    }

    fn picture(&self, drawing: &ToyDrawing, noise: u8) -> DynamicImage {
        let grey = (drawing.seed as u8).wrapping_mul(16).wrapping_add(drawing.index as u8 * 2 + noise);
        let size = self.config.image.size as u32;
        let picture = DynamicImage::from(GrayImage::from_pixel(size, size, Luma([grey])));
        if self.config.image.channels == 1 { picture } else { picture.into_rgb8().into() }
    }
}

impl Backend for Toy {
    type Drawing = ToyDrawing;

    fn config(&self) -> &Config {
        &self.config
    }

    fn start(&self, request: &Request, index: u32) -> Result<ToyDrawing, ModelError> {
        let step = request.source().map_or(0, |source| source.from_step);
        let (class, seed, alternatives) =
            (request.settings().class(), request.seed(), request.alternatives());
        Ok(ToyDrawing { class, seed, index, step, alternatives })
    }

    fn step(&self, drawings: &mut [&mut ToyDrawing]) -> Result<Vec<Step>, ModelError> {
        let mut fault = None;
        if self.tried.replace(true) {
            let mut state = self.script.state.lock();
            state.waiting = state.permits == Some(0);
            self.script.changed.notify_all();
            self.script.changed.wait_while(&mut state, |state| state.permits == Some(0));
            state.waiting = false;
            state.permits = state.permits.map(|permits| permits - 1);
            fault = state.faults.pop_front().flatten();
            let batch = drawings.iter().map(|drawing| (drawing.seed, drawing.index, drawing.step + 1));
            let batch = batch.collect();
            state.batches.push(batch);
            self.script.changed.notify_all();
        }
        match fault {
            Some(Fault::Error) => return Err(ModelError::Image("the toy's secret: out of paint".into())),
            Some(Fault::Panic) => panic("the toy's secret: it panics"),
            Some(Fault::Short) => return Ok(Vec::new()),
            Some(Fault::Memory) => {
                // Without a backtrace, whose printing would read 100 MB of debug information into memory for good.
                let text = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
                return Err(candle_core::Error::Msg(text.into()).into());
            }
            None => {}
        }
        let (positions, codes) = (self.positions(), self.config.trajectory.codes);
        let step = |drawing: &mut &mut ToyDrawing| {
            assert!(drawing.step < self.config.steps(), "a finished drawing was stepped");
            drawing.step += 1;
            let sum = drawing.seed as usize + drawing.index as usize * 3 + drawing.class + drawing.step;
            Step {
                step: drawing.step,
                tokens: (0..positions).map(|position| ((sum + position) % codes) as u32).collect(),
                entropy: vec![1.5; positions],
                probability: vec![0.25; positions],
                alternatives: drawing.alternatives.then(|| Alternatives {
                    codes: [0, 1].repeat(positions),
                    probabilities: [0.5, 0.25].repeat(positions),
                }),
            }
        };
        Ok(drawings.iter_mut().map(step).collect())
    }

    fn previews(&self, drawings: &[&ToyDrawing]) -> Result<Vec<Preview>, ModelError> {
        assert!(drawings.iter().all(|drawing| drawing.step > 0));
        if drawings.iter().any(|drawing| drawing.seed != TRIAL_SEED) {
            self.script.state.lock().previews += drawings.len();
        }
        let preview = |drawing: &&ToyDrawing| Preview {
            noisy: self.picture(drawing, 1),
            clean: self.picture(drawing, 0),
        };
        Ok(drawings.iter().map(preview).collect())
    }

    fn images(&self, drawings: &[&ToyDrawing]) -> Result<Vec<DynamicImage>, ModelError> {
        Ok(drawings.iter().map(|drawing| self.picture(drawing, 0)).collect())
    }

    fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        match self.script.state.lock().tokenizations.pop_front().flatten() {
            Some(Fault::Panic) => panic("the toy's secret: it panics"),
            Some(_) => return Err(ModelError::Image("the toy's secret: out of paint".into())),
            None => {}
        }
        let drawing = |step| ToyDrawing { class: 0, seed, index: 0, step, alternatives: false };
        let preview =
            |step| Preview { noisy: self.picture(&drawing(step), 1), clean: self.picture(&drawing(step), 0) };
        let steps = 1..=self.config.steps();
        Ok(Tokenization {
            input: fit(image, &self.config.image),
            tokens: steps.clone().map(|step| vec![step as u32; self.positions()]).collect(),
            previews: steps.map(preview).collect(),
            resized_from: Some((image.width(), image.height())),
        })
    }
}

/// A panic without the message and backtrace on standard error that a real one has.
fn panic(message: &'static str) -> ! {
    std::panic::resume_unwind(Box::new(message))
}
