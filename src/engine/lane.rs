//! A model on a worker: what the worker holds of it, and whether it works.
//!
//! A fault (an error or a panic of the model) loses the model's batch: what it did to the device and to the drawings is
//! unknown. The model is made anew and its next batch goes on; other models on the device go on meanwhile, but for the
//! time that loading takes. After [`max_failures`](super::Options::max_failures) faults in a row the model is out of order
//! there until it has been loaded and has taken a trial step; while that fails it is tried again and again, with growing
//! pauses. Jobs of a model are refused while it is out of order on all workers, and those that wait are then failed rather
//! than kept hoping.
//!
//! Too little memory isn't a fault at first: `turn` tries again with half as many images.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fault::{Fault, guarded};
use super::metrics::LaneMetrics;
use super::publisher::Shown;
use super::shared::Shared;
use super::turn::{Drawn, Slot, in_parts};
use super::{Backend, Loader, Request};
use crate::model::{ModelInfo, SamplingSettings};

/// For the client of a job that waited for a model that doesn't come back.
const OUT_OF_ORDER: &str = "The server can't draw with this model at present. Try again later.";

/// One model on one worker.
pub(super) struct Lane<B: Backend> {
    /// Its place among the engine's models.
    pub model: usize,
    pub info: Arc<ModelInfo>,
    pub slots: Vec<Slot<B::Drawing>>,
    /// Images that the device can work on at once.
    pub limit: usize,
    pub metrics: LaneMetrics,
    state: State<B>,
    /// Faults since the last turn that went well.
    failures: u32,
}

enum State<B> {
    /// To be loaded when it is needed.
    Absent,
    Loaded(B),
    /// To be made anew, at the earliest at `due`, after so many attempts in vain.
    Broken {
        attempts: u32,
        due: Instant,
    },
}

/// A model that was made and warmed up.
pub(super) struct Loaded<B> {
    pub backend: B,
    /// Images that the device can work on at once.
    pub limit: usize,
    /// How long the trial step took: what waiting times are estimated from until there are better figures.
    pub step: Duration,
}

/// Makes a model and lets it take a trial step, which also warms the device up: on a GPU with a whole batch, so that
/// memory and kernels of the largest shapes are there before the first request.
pub(super) fn load<L: Loader>(
    loader: &mut L,
    info: &ModelInfo,
    device: &str,
    max_batch: usize,
) -> Result<Loaded<L::Backend>, Fault> {
    let (begun, name, mut limit) = (Instant::now(), &info.config.name, max_batch);
    let (backend, step) = guarded(|| {
        let backend = loader.load(name)?;
        if *backend.config() != info.config {
            return Err(Fault::Contract("the configuration on disk is not the one being served".into()));
        }
        let started = Instant::now();
        let count = if device == "cpu" { 1 } else { u32::try_from(max_batch).unwrap_or(1) };
        let request = Request::new(SamplingSettings::new(&info.config, 0)?, 0)?;
        let drawings: Result<Vec<_>, _> = (0..count).map(|index| backend.start(&request, index)).collect();
        let mut drawings = drawings?;
        in_parts("step", &mut limit, &mut drawings.iter_mut().collect::<Vec<_>>(), |part| {
            backend.step(part)
        })?;
        let mut drawings: Vec<_> = drawings.iter().collect();
        in_parts("previews", &mut limit, &mut drawings, |part| backend.previews(part))?;
        in_parts("images", &mut limit, &mut drawings, |part| backend.images(part))?;
        Ok((backend, started.elapsed()))
    })?;
    let ms = begun.elapsed().as_millis() as u64;
    tracing::info!(model = name, device, parameters = info.weight_count, ms, "model loaded");
    Ok(Loaded { backend, limit, step })
}

impl<B: Backend> Lane<B> {
    /// With the model if it is there already.
    pub fn new(shared: &Shared, model: usize, device: &str, loaded: Option<Loaded<B>>) -> Self {
        let info = Arc::clone(&shared.models[model]);
        let mut lane = Self {
            model,
            slots: Vec::new(),
            limit: shared.options.max_batch,
            metrics: shared.metrics.lane(device, &info.config.name),
            info,
            state: State::Absent,
            failures: 0,
        };
        if let Some(loaded) = loaded {
            lane.take(loaded, shared);
        }
        lane
    }

    /// When it is to be made anew, where it is broken.
    pub fn due(&self) -> Option<Instant> {
        match self.state {
            State::Broken { due, .. } => Some(due),
            State::Absent | State::Loaded(_) => None,
        }
    }

    /// Loads the model where it isn't there yet.
    pub fn prepare<L>(&mut self, shared: &Shared, loader: &mut L, device: &str) -> Result<(), Fault>
    where
        L: Loader<Backend = B>,
    {
        if !matches!(self.state, State::Loaded(_)) {
            let loaded = load(loader, &self.info, device, self.limit)?;
            self.take(loaded, shared);
        }
        Ok(())
    }

    /// Works with the model, which must be there.
    pub fn work<T>(&mut self, work: impl FnOnce(&B, &mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        // Taken out meanwhile: after a fault it isn't put back, whatever state it is in.
        let State::Loaded(backend) = std::mem::replace(&mut self.state, State::Absent) else {
            return Err(Fault::Contract("the model is not there".into()));
        };
        match guarded(|| work(&backend, self)) {
            Ok(done) => {
                self.state = State::Loaded(backend);
                Ok(done)
            }
            Err(fault) => {
                discard(backend);
                Err(fault)
            }
        }
    }

    /// What a turn drew, with the jobs that it was drawn for; finished images leave the batch.
    pub fn leave(&mut self, drawn: Vec<Drawn>) -> Vec<Shown> {
        let mut shown = Vec::with_capacity(drawn.len());
        for (slot, drawn) in self.slots.iter_mut().zip(drawn) {
            slot.remaining = self.info.config.steps() - drawn.step.step;
            shown.push(Shown { job: Arc::clone(&slot.job), index: slot.index, drawn });
        }
        self.slots.retain(|slot| slot.remaining > 0);
        shown
    }

    /// A turn went well.
    pub fn went_well(&mut self) {
        self.failures = 0;
    }

    /// The model failed in its work or couldn't be loaded for it: it is to be made anew.
    pub fn failed(&mut self, shared: &Shared, worker: usize) {
        self.metrics.faults.inc();
        self.metrics.loaded.set(0);
        shared.recovering(worker, self.model);
        self.retry_later(shared, worker, 0);
    }

    /// Makes the model anew where that is due.
    pub fn repair<L: Loader<Backend = B>>(
        &mut self,
        shared: &Shared,
        worker: usize,
        loader: &mut L,
        device: &str,
    ) {
        let State::Broken { attempts, due } = self.state else { return };
        if due > Instant::now() {
            return;
        }
        match load(loader, &self.info, device, self.limit) {
            Ok(loaded) => {
                if self.failures >= shared.options.max_failures {
                    self.failures = 0;
                }
                self.take(loaded, shared);
                shared.in_order(worker, self.model);
            }
            Err(fault) => {
                tracing::error!(model = self.info.config.name, device, %fault, "the model could not be loaded again");
                self.retry_later(shared, worker, attempts + 1);
            }
        }
    }

    fn retry_later(&mut self, shared: &Shared, worker: usize, attempts: u32) {
        self.failures = self.failures.saturating_add(1);
        let delay = shared.options.retry_delay.saturating_mul(1 << attempts.min(5));
        if self.failures >= shared.options.max_failures {
            let (model, failures) = (&self.info.config.name, self.failures);
            tracing::error!(model, failures, retry_in = ?delay, "not ready");
            shared.out_of_order(worker, self.model, delay);
            if attempts > 0 {
                shared.fail_waiting(self.model, OUT_OF_ORDER);
            }
        }
        // The first fault costs no pause: it is most likely the only one.
        let delay = if self.failures > 1 { delay } else { Duration::ZERO };
        self.state = State::Broken { attempts, due: Instant::now() + delay };
    }

    fn take(&mut self, loaded: Loaded<B>, shared: &Shared) {
        shared.pace.step_took(self.model, loaded.step);
        self.limit = loaded.limit;
        self.state = State::Loaded(loaded.backend);
        self.metrics.loaded.set(1);
    }
}

/// Drops a model in disorder, which may panic again.
fn discard<B>(broken: B) {
    let dropped = guarded(|| {
        drop(broken);
        Ok(())
    });
    if let Err(fault) = dropped {
        tracing::warn!(%fault, "the failed model could not be dropped cleanly");
    }
}
