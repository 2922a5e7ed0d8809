//! A worker: the thread that owns a device. It works in rounds: it takes new images, then each model takes one step with
//! its batch.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::gauge::Gauge;

use super::backend::Loader;
use super::batching::Assignment;
use super::error::TokenizeError;
use super::fault::Fault;
use super::loading::OpenDevice;
use super::model_instance::ModelInstance;
use super::options::Batching;
use super::publisher::{Message, Publisher};
use super::recovery::{INTERRUPTED, InstanceId, NOT_LOADED};
use super::request::ClientGroup;
use super::scheduler::Scheduler;
use super::step_share::StepShare;
use super::supervision::{IDLE_ROUND, ThreadStatus};
use super::tokenize::TokenizeRequest;

/// Activities of a worker.
const LOADING: &str = "loading a model";
const PUBLISHING: &str = "handing a step to the publisher";

pub(super) struct Worker<L: Loader> {
    scheduler: Arc<Scheduler>,
    /// Its number among the workers, from 0.
    number: usize,
    loader: L,
    device: String,
    /// By model index.
    instances: Vec<ModelInstance<L::Backend>>,
    slots_in_use: Gauge,
    publisher: Publisher,
    status: Arc<ThreadStatus>,
}

impl<L: Loader> Worker<L> {
    pub fn new(
        scheduler: Arc<Scheduler>,
        number: usize,
        mut device: OpenDevice<L>,
        publisher: Publisher,
        status: Arc<ThreadStatus>,
    ) -> Self {
        let instance = |model: usize| {
            let loaded = device.take(scheduler.models[model].name());
            ModelInstance::new(&scheduler, InstanceId { worker: number, model }, &device.name, loaded)
        };
        let instances = (0..scheduler.models.len()).map(instance).collect();
        let slots_in_use = scheduler.metrics.slots(&device.name);
        let OpenDevice { loader, name: device, .. } = device;
        Self { scheduler, number, loader, device, instances, slots_in_use, publisher, status }
    }

    /// Runs until the engine stops.
    pub fn run(mut self) {
        while let Some((tokenize_request, waiting)) = self.next_assignment() {
            self.status.begin(LOADING);
            for instance in &mut self.instances {
                instance.retry_if_due(&self.scheduler, &mut self.loader, &self.device);
            }
            if let Some(request) = tokenize_request {
                self.tokenize(request);
            }
            let share = self.share(&waiting);
            for model in 0..self.instances.len() {
                self.step(model, &share);
            }
        }
    }

    /// Drops the images of ended jobs and adds waiting ones to the batches; waits if there is nothing to do. Returns
    /// `None` if the worker must end, otherwise the image to tokenize, if any, and the images that still wait, by client.
    fn next_assignment(&mut self) -> Option<(Option<TokenizeRequest>, HashMap<ClientGroup, usize>)> {
        let batch: Vec<_> = self.instances.iter_mut().flat_map(ModelInstance::live_images).collect();
        let in_batch = batch.len();
        self.slots_in_use.set(in_batch as i64);
        self.status.wait_for(IDLE_ROUND);
        let next_round = Instant::now() + IDLE_ROUND;
        let until = self.instances.iter().filter_map(ModelInstance::retry_at).fold(next_round, Instant::min);
        let assignment = self.scheduler.next_assignment(self.number, batch, until)?;
        let Assignment { images, waiting, tokenize_request } = assignment;
        self.slots_in_use.set((in_batch + images.len()) as i64);
        for (job, index) in images {
            job.start();
            self.instances[job.model().index()].add_image(job, index);
        }
        Some((tokenize_request, waiting))
    }

    /// How the next step of each model is divided between the clients. A graphics processor takes a step of many images about as
    /// fast as one of few.
    fn share(&self, waiting: &HashMap<ClientGroup, usize>) -> StepShare {
        let is_shared = self.device == "cpu" && self.scheduler.options.batching == Batching::Continuous;
        if is_shared {
            StepShare::divided(self.instances.iter().flat_map(ModelInstance::clients), waiting)
        } else {
            StepShare::undivided()
        }
    }

    /// One step of a model's batch, if it has images.
    fn step(&mut self, model: usize, share: &StepShare) {
        let instance = &mut self.instances[model];
        if instance.batch_len() == 0 {
            return;
        }
        self.status.begin(LOADING);
        if let Err(fault) = instance.ensure_loaded(&self.scheduler, &mut self.loader, &self.device) {
            return self.fail_batch(model, &fault, NOT_LOADED);
        }
        let started = Instant::now();
        self.status.begin("a step");
        match instance.step(share, self.scheduler.options.max_batch) {
            Ok(steps) => {
                self.status.begin(PUBLISHING);
                self.publisher.send(Message::Steps(steps));
                instance.record_step(&self.scheduler, started.elapsed());
            }
            Err(fault) => self.fail_batch(model, &fault, INTERRUPTED),
        }
    }

    /// Tokenizes an image and replies.
    fn tokenize(&mut self, request: TokenizeRequest) {
        if request.reply.is_closed() {
            return;
        }
        let instance = &mut self.instances[request.model];
        self.status.begin(LOADING);
        let loaded = instance.ensure_loaded(&self.scheduler, &mut self.loader, &self.device);
        self.status.begin("tokenizing an image");
        match loaded.and_then(|()| instance.tokenize(&request)) {
            Ok(tokenization) => {
                self.status.begin(PUBLISHING);
                self.publisher.send(Message::Tokenized(Box::new(tokenization), request.reply));
            }
            Err(fault) => {
                self.fail_batch(request.model, &fault, INTERRUPTED);
                // Fails if the client has disconnected.
                let _ = request.reply.send(Err(TokenizeError::Failed));
            }
        }
    }

    /// Fails the jobs with images in the batch of a model whose backend failed; `detail` is for their clients.
    fn fail_batch(&mut self, model: usize, fault: &Fault, detail: &'static str) {
        self.status.begin(PUBLISHING);
        let instance = &mut self.instances[model];
        let jobs = instance.clear_batch();
        let (name, device) = (instance.model.name(), &self.device);
        tracing::error!(model = name, device, images = jobs.len(), %fault, "a model failed");
        instance.record_failure(&self.scheduler);
        self.slots_in_use.dec_by(jobs.len() as i64);
        self.scheduler.remove_from_queue(&jobs);
        self.publisher.send(Message::Failed(jobs, detail));
    }
}
