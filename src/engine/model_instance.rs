//! A model on one worker: its backend and the images in its batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::backend::{Backend, Loader};
use super::batch_step::{Slot, step_batch};
use super::fault::Fault;
use super::job::Job;
use super::loading::{LoadedModel, load};
use super::metrics::ModelInstanceMetrics;
use super::model_handle::ModelHandle;
use super::publisher::PublishedStep;
use super::recovery::{InstanceId, RecoveringBackend};
use super::request::ClientGroup;
use super::scheduler::Scheduler;
use super::scheduler_state::InFlightImage;
use super::step_share::StepShare;
use super::tokenize::{TokenizeRequest, tokenize};
use crate::model::Tokenization;

pub(super) struct ModelInstance<B: Backend> {
    pub model: ModelHandle,
    id: InstanceId,
    backend: RecoveringBackend<B>,
    slots: Vec<Slot<B::SamplerState>>,
    /// The number of images that fit into the device's memory at once.
    max_images: usize,
    metrics: ModelInstanceMetrics,
}

impl<B: Backend> ModelInstance<B> {
    /// An instance of the engine's model `id.model`. It is loaded later unless `loaded` is given.
    pub fn new(scheduler: &Scheduler, id: InstanceId, device: &str, loaded: Option<LoadedModel<B>>) -> Self {
        let model = scheduler.models[id.model].clone();
        let mut instance = Self {
            id,
            backend: RecoveringBackend::new(),
            slots: Vec::new(),
            max_images: scheduler.options.max_batch,
            metrics: scheduler.metrics.model_instance(device, model.name()),
            model,
        };
        if let Some(LoadedModel { backend, max_images, step_time }) = loaded {
            instance.backend.set(backend);
            instance.record_loaded(scheduler, max_images, step_time);
        }
        instance
    }

    /// When the model is to be loaded again, if it failed.
    pub fn retry_at(&self) -> Option<Instant> {
        self.backend.retry_at()
    }

    /// The number of images in the batch.
    pub fn batch_len(&self) -> usize {
        self.slots.len()
    }

    /// The images in the batch, without those of jobs that have ended, which it drops.
    pub fn live_images(&mut self) -> impl Iterator<Item = InFlightImage> {
        self.slots.retain(|slot| slot.job.is_live());
        let model = self.id.model;
        self.slots.iter().map(move |slot| InFlightImage {
            job: slot.job.id,
            client: slot.job.request.client_group(),
            model,
            remaining_steps: slot.remaining_steps,
        })
    }

    /// The client of each image in the batch.
    pub fn clients(&self) -> impl Iterator<Item = ClientGroup> {
        self.slots.iter().map(|slot| slot.job.request.client_group())
    }

    /// Adds an image of a job to the batch.
    pub fn add_image(&mut self, job: Arc<Job>, index: u32) {
        let remaining_steps = job.request.steps();
        self.slots.push(Slot { job, index, remaining_steps, rounds_waited: 0, sampler_state: None });
    }

    /// Removes all images from the batch and returns their jobs.
    pub fn clear_batch(&mut self) -> Vec<Arc<Job>> {
        std::mem::take(&mut self.slots).into_iter().map(|slot| slot.job).collect()
    }

    /// Loads the model if it isn't loaded yet.
    pub fn ensure_loaded<L>(
        &mut self,
        scheduler: &Scheduler,
        loader: &mut L,
        device: &str,
    ) -> Result<(), Fault>
    where
        L: Loader<Backend = B>,
    {
        if !self.backend.is_loaded() {
            let loaded = load(loader, &self.model.shared_info(), device, self.max_images)?;
            self.backend.set(loaded.backend);
            self.record_loaded(scheduler, loaded.max_images, loaded.step_time);
        }
        Ok(())
    }

    /// Takes one step of the images that `share` selects, at most `most`. Finished images leave the batch.
    pub fn step(&mut self, share: &StepShare, most: usize) -> Result<Vec<PublishedStep>, Fault> {
        let selected = share.select(&mut self.slots, most);
        let slots = &mut self.slots[..selected];
        let (config, max_images) = (&self.model.config, &mut self.max_images);
        let sampled = self.backend.run(|backend| step_batch(backend, slots, config, max_images))?;
        self.backend.record_success();
        self.metrics.batch_images.observe(sampled.len() as f64);
        let mut steps = Vec::with_capacity(sampled.len());
        for (slot, sampled) in self.slots.iter_mut().zip(sampled) {
            slot.remaining_steps = self.model.steps() - sampled.step.step;
            steps.push(PublishedStep { job: Arc::clone(&slot.job), index: slot.index, sampled });
        }
        self.slots.retain(|slot| slot.remaining_steps > 0);
        Ok(steps)
    }

    /// Records the time of a step.
    pub fn record_step(&self, scheduler: &Scheduler, time: Duration) {
        self.metrics.step_seconds.observe(time.as_secs_f64());
        scheduler.eta.record_step(self.id.model, time);
    }

    pub fn tokenize(&mut self, request: &TokenizeRequest) -> Result<Tokenization, Fault> {
        self.backend.run(|backend| tokenize(backend, &request.image, request.seed))
    }

    /// Records that the backend failed, or could not be loaded for a job.
    pub fn record_failure(&mut self, scheduler: &Scheduler) {
        self.metrics.faults.inc();
        self.metrics.loaded.set(0);
        self.backend.record_failure(scheduler, self.id);
    }

    /// Loads the model again if it failed and its retry is due.
    pub fn retry_if_due<L>(&mut self, scheduler: &Scheduler, loader: &mut L, device: &str)
    where
        L: Loader<Backend = B>,
    {
        let (model, max_images) = (&self.model, self.max_images);
        let load = || {
            let loaded = load(loader, &model.shared_info(), device, max_images)?;
            Ok((loaded.backend, (loaded.max_images, loaded.step_time)))
        };
        match self.backend.retry_if_due(scheduler, self.id, load) {
            Some(Ok((max_images, step_time))) => self.record_loaded(scheduler, max_images, step_time),
            Some(Err(fault)) => {
                tracing::error!(model = self.model.name(), device, %fault, "the model could not be loaded again");
            }
            None => {}
        }
    }

    fn record_loaded(&mut self, scheduler: &Scheduler, max_images: usize, step_time: Duration) {
        self.max_images = max_images;
        self.metrics.loaded.set(1);
        scheduler.eta.record_step(self.id.model, step_time);
    }
}
