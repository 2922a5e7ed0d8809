//! What the engine's one lock guards: what is to be done, and what the others need to know of each worker.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::errand::Errand;
use super::job::Job;
use super::queue::Queue;
use super::{Batching, JobId, Options, SubmitError};

pub(super) struct Control {
    pub queue: Queue,
    /// Dropping one tells who waits for it.
    pub errands: VecDeque<Errand>,
    pub phase: Phase,
    pub workers: Vec<WorkerState>,
}

/// What the others need to know of a worker.
pub(super) struct WorkerState {
    pub batch: Vec<InFlight>,
    /// How each model fares there.
    pub models: Vec<Health>,
}

/// How a model fares on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It works, or will be loaded when it is needed.
    Well,
    /// It is made anew after a fault.
    Recovering,
    /// It can't be made anew; the next attempt is due after this.
    OutOfOrder(Duration),
}

/// An image in a batch.
pub(super) struct InFlight {
    pub job: JobId,
    pub model: usize,
    /// Steps that it has still to take, 1..=T.
    pub remaining: usize,
}

/// What a worker does next.
pub(super) struct Work {
    /// Images that join its batches.
    pub joining: Vec<(Arc<Job>, u32)>,
    pub errand: Option<Errand>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No new jobs.
    Draining,
    /// The threads must end.
    Stopped,
}

impl Control {
    /// For so many workers and models.
    pub fn new(workers: usize, models: usize) -> Self {
        let worker = || WorkerState { batch: Vec::new(), models: vec![Health::Well; models] };
        Self {
            queue: Queue::default(),
            errands: VecDeque::new(),
            phase: Phase::Open,
            workers: std::iter::repeat_with(worker).take(workers).collect(),
        }
    }

    /// Whether jobs of a model are accepted: one device that can draw it is enough.
    pub fn ready(&self, model: usize) -> Result<(), SubmitError> {
        if self.phase != Phase::Open {
            return Err(SubmitError::ShuttingDown);
        }
        let wait = |worker: &WorkerState| match worker.models[model] {
            Health::OutOfOrder(wait) => wait,
            Health::Well | Health::Recovering => Duration::ZERO,
        };
        match self.workers.iter().map(wait).min() {
            Some(wait) if wait > Duration::ZERO => {
                Err(SubmitError::NotReady { retry_after: wait.max(Duration::from_secs(1)) })
            }
            _ => Ok(()),
        }
    }

    /// Images in all batches.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlight> {
        self.workers.iter().flat_map(|worker| &worker.batch)
    }

    /// For each model, its images in all batches.
    pub fn held(&self) -> Vec<usize> {
        let mut held = vec![0; self.workers.first().map_or(0, |worker| worker.models.len())];
        self.in_flight().for_each(|image| held[image.model] += 1);
        held
    }

    /// The models that have images in a batch or waiting, by rising index.
    pub fn busy(&self) -> Vec<usize> {
        let mut models: Vec<usize> = self.in_flight().map(|image| image.model).collect();
        models.extend(self.queue.models());
        models.sort_unstable();
        models.dedup();
        models
    }

    /// The jobs without any image begun, in the order in which they should begin.
    pub fn unbegun(&self) -> Vec<&Arc<Job>> {
        self.queue.unbegun(self.held())
    }

    /// How many images worker `at` should have in its batches at most, so that devices share the work evenly: sixteen
    /// images on two idle devices are eight each.
    fn fair_share(&self, at: usize) -> usize {
        let helps = |(number, worker): &(usize, &WorkerState)| {
            *number == at || self.queue.models().any(|model| worker.models[model] == Health::Well)
        };
        let (mut count, mut images) = (0, self.queue.images());
        for (_, worker) in self.workers.iter().enumerate().filter(helps) {
            count += 1;
            images += worker.batch.len();
        }
        images.div_ceil(count.max(1))
    }

    /// Takes the images that join worker `at` out of the queue.
    pub fn deal(&mut self, at: usize, options: &Options) -> Vec<(Arc<Job>, u32)> {
        let held = self.workers[at].batch.len();
        let share = self.fair_share(at);
        let (mut jobs, models) = (HashMap::new(), self.held());
        for image in self.in_flight() {
            *jobs.entry(image.job).or_default() += 1;
        }
        let healthy = &self.workers[at].models;
        let can_draw = |model: usize| healthy[model] == Health::Well;
        match options.batching {
            Batching::Step => {
                let free = options.max_batch.min(share).saturating_sub(held);
                self.queue.deal(free, jobs, models, can_draw)
            }
            Batching::Job if held == 0 => self.queue.take_jobs(options.max_batch, can_draw),
            Batching::Job => Vec::new(),
        }
    }

    /// Takes the first errand that worker `at` can do.
    pub fn take_errand(&mut self, at: usize) -> Option<Errand> {
        let healthy = &self.workers[at].models;
        let first = self.errands.iter().position(|errand| healthy[errand.model] == Health::Well)?;
        self.errands.remove(first)
    }
}
