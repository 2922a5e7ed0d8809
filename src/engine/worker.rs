//! The thread that owns a device.

use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;

use super::Loader;
use super::Options;
use super::control::{InFlight, Work};
use super::errand::{Errand, TokenizeError, tokenize};
use super::fault::{Fault, guarded};
use super::lane::{self, Lane, Loaded};
use super::publisher::{FAULT, Message, Publisher};
use super::shared::Shared;
use super::turn::{Slot, advance};
use crate::model::ModelInfo;

/// For the client of a job whose model couldn't be loaded.
const NOT_LOADED: &str = "The server could not load the model. The fault has been logged.";

/// A device with its models, before there is an engine around it.
pub(super) struct Device<L: Loader> {
    loader: L,
    pub name: String,
    /// Those loaded already, by name.
    models: Vec<(String, Loaded<L::Backend>)>,
}

impl<L: Loader> Device<L> {
    pub fn open(mut loader: L) -> Result<Self, Fault> {
        let name = guarded(|| Ok(loader.device()?))?;
        Ok(Self { loader, name, models: Vec::new() })
    }

    /// Loads the models; for each that can't be, what is wrong.
    pub fn load(&mut self, models: &[Arc<ModelInfo>], options: &Options) -> Vec<Option<Fault>> {
        let mut load = |info: &Arc<ModelInfo>| {
            let loaded = lane::load(&mut self.loader, info, &self.name, options.max_batch)?;
            self.models.push((info.config.name.clone(), loaded));
            Ok(())
        };
        models.iter().map(|info| load(info).err()).collect()
    }
}

/// Draws until told to end.
pub(super) struct Worker<L: Loader> {
    shared: Arc<Shared>,
    /// Its number among the workers.
    number: usize,
    loader: L,
    device: String,
    /// One for each model.
    lanes: Vec<Lane<L::Backend>>,
    slots: Gauge,
    publisher: Publisher,
}

impl<L: Loader> Worker<L> {
    pub fn new(shared: Arc<Shared>, number: usize, device: Device<L>, publisher: Publisher) -> Self {
        let Device { loader, name: device, mut models } = device;
        let lane = |model: usize| {
            let name = &shared.models[model].config.name;
            let at = models.iter().position(|(loaded, _)| loaded == name);
            let loaded = at.map(|at| models.swap_remove(at).1);
            Lane::new(&shared, model, &device, loaded)
        };
        let lanes = (0..shared.models.len()).map(lane).collect();
        let slots = shared.metrics.slots(&device);
        Self { shared, number, loader, device, lanes, slots, publisher }
    }

    pub fn run(mut self) {
        while let Some(errand) = self.next_work() {
            for lane in &mut self.lanes {
                lane.repair(&self.shared, self.number, &mut self.loader, &self.device);
            }
            if let Some(errand) = errand {
                self.tokenize(errand);
            }
            for at in 0..self.lanes.len() {
                self.turn(at);
            }
        }
    }

    /// Drops the images of ended jobs and lets waiting ones join; waits where there is nothing to do. `None` where the
    /// worker must end, otherwise what is to be done beside the batches, if anything.
    fn next_work(&mut self) -> Option<Option<Errand>> {
        let mut batch = Vec::new();
        for lane in &mut self.lanes {
            lane.slots.retain(|slot| slot.job.is_live());
            batch.extend(lane.slots.iter().map(|slot| InFlight {
                job: slot.job.id,
                model: lane.model,
                remaining: slot.remaining,
            }));
        }
        let held = batch.len();
        self.slots.set(held as i64);
        let due = self.lanes.iter().filter_map(Lane::due).min();
        let Work { joining, errand } = self.shared.next_work(self.number, batch, due)?;
        self.slots.set((held + joining.len()) as i64);
        for (job, index) in joining {
            job.start();
            let lane = &mut self.lanes[job.model];
            let remaining = job.request.remaining(lane.info.config.steps());
            lane.slots.push(Slot { job, index, remaining, drawing: None });
        }
        Some(errand)
    }

    /// One step of a model's whole batch, if there is any.
    fn turn(&mut self, at: usize) {
        let lane = &mut self.lanes[at];
        if lane.slots.is_empty() {
            return;
        }
        if let Err(fault) = lane.prepare(&self.shared, &mut self.loader, &self.device) {
            return self.fail(at, &fault, NOT_LOADED);
        }
        let started = Instant::now();
        let step = |backend: &L::Backend, lane: &mut Lane<_>| {
            advance(backend, &mut lane.slots, &lane.info.config, &mut lane.limit)
        };
        match lane.work(step) {
            Ok(drawn) => {
                lane.went_well();
                lane.metrics.batch_images.observe(drawn.len() as f64);
                self.publisher.tell(Message::Turn(lane.leave(drawn)));
                lane.metrics.step_seconds.observe(started.elapsed().as_secs_f64());
                self.shared.pace.step_took(lane.model, started.elapsed());
            }
            Err(fault) => self.fail(at, &fault, FAULT),
        }
    }

    /// Does an errand and answers it.
    fn tokenize(&mut self, errand: Errand) {
        let at = errand.model;
        if errand.reply.is_closed() {
            return;
        }
        let lane = &mut self.lanes[at];
        let ready = lane.prepare(&self.shared, &mut self.loader, &self.device);
        let work = |backend: &L::Backend, _: &mut Lane<_>| tokenize(backend, &errand.image, errand.seed);
        match ready.and_then(|()| lane.work(work)) {
            Ok(done) => self.publisher.tell(Message::Tokenized(Box::new(done), errand.reply)),
            Err(fault) => {
                self.fail(at, &fault, FAULT);
                // Who asked may have left; what they don't hear is lost on nobody.
                let _ = errand.reply.send(Err(TokenizeError::Failed));
            }
        }
    }

    /// Ends the jobs whose images were in the model's batch.
    fn fail(&mut self, at: usize, fault: &Fault, detail: &'static str) {
        let lane = &mut self.lanes[at];
        let slots = std::mem::take(&mut lane.slots);
        let (model, device) = (&lane.info.config.name, &self.device);
        tracing::error!(model, device, images = slots.len(), %fault, "a model failed");
        lane.failed(&self.shared, self.number);
        self.slots.dec_by(slots.len() as i64);
        let jobs: Vec<_> = slots.into_iter().map(|slot| slot.job).collect();
        self.shared.withdraw(&jobs);
        self.publisher.tell(Message::Failed(jobs, detail));
    }
}
