//! What shares the next step's batch: the images that a worker takes out of the queue between two steps.
//!
//! `queue` decides which image is next, this decides how many a worker takes. An image stays in its batch until its last
//! step.

use std::collections::HashMap;
use std::sync::Arc;

use super::job::Job;
use super::options::{Batching, Options};
use super::request::ClientGroup;
use super::scheduler_state::{Health, SchedulerState, WorkerState};
use super::tokenize::TokenizeRequest;

/// What a worker does next beside the images in its batches.
pub(super) struct Assignment {
    /// The images that join the worker's batches: their jobs and indexes.
    pub images: Vec<(Arc<Job>, u32)>,
    /// The images that still wait, by client.
    pub waiting: HashMap<ClientGroup, usize>,
    pub tokenize_request: Option<TokenizeRequest>,
}

impl SchedulerState {
    /// Takes the images that join the batches of worker number `worker` out of the queue.
    pub fn assign_images(&mut self, worker: usize, options: &Options) -> Vec<(Arc<Job>, u32)> {
        let in_batch = self.workers[worker].batch.len();
        let share = self.fair_share(worker);
        let counts = self.in_batch();
        let health = &self.workers[worker].health;
        let can_draw = |model: usize| health[model] == Health::Healthy;
        match options.batching {
            Batching::Continuous => {
                let free = options.max_batch.min(share).saturating_sub(in_batch);
                // A full batch still takes an image of a client that has none: it would wait for all steps of the others.
                let full = in_batch >= options.max_batch;
                let extra = if full { (2 * options.max_batch).saturating_sub(in_batch) } else { 0 };
                self.queue.take_images(free, extra, counts, can_draw)
            }
            Batching::Static if in_batch == 0 => self.queue.take_whole_jobs(options.max_batch, can_draw),
            Batching::Static => Vec::new(),
        }
    }

    /// Takes the first tokenize request whose model is healthy on worker number `worker`.
    pub fn assign_tokenize_request(&mut self, worker: usize) -> Option<TokenizeRequest> {
        let health = &self.workers[worker].health;
        let is_healthy = |request: &TokenizeRequest| health[request.model] == Health::Healthy;
        let first = self.tokenize_requests.iter().position(is_healthy)?;
        self.tokenize_requests.remove(first)
    }

    /// The largest number of images that a worker should have in its batches so that the devices share the work evenly.
    /// For example, two idle devices take eight each of sixteen images.
    fn fair_share(&self, worker: usize) -> usize {
        let can_help = |(number, other): &(usize, &WorkerState)| {
            *number == worker || self.queue.models().any(|model| other.health[model] == Health::Healthy)
        };
        let (mut helpers, mut images) = (0, self.queue.waiting_images());
        for (_, helper) in self.workers.iter().enumerate().filter(can_help) {
            helpers += 1;
            images += helper.batch.len();
        }
        images.div_ceil(helpers.max(1))
    }
}
