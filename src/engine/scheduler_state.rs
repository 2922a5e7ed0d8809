//! The state behind the scheduler's lock: the queue, the tokenize requests, and what is in flight on each worker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::error::SubmitError;
use super::event::JobId;
use super::job::Job;
use super::queue::{InBatch, Queue};
use super::request::ClientGroup;
use super::tokenize::TokenizeRequest;

/// What waits, what is in flight, and how healthy the models are.
pub(super) struct SchedulerState {
    pub queue: Queue,
    /// Dropping one notifies the client that waits for it.
    pub tokenize_requests: VecDeque<TokenizeRequest>,
    pub phase: Phase,
    pub workers: Vec<WorkerState>,
}

/// What the scheduler knows of a worker.
pub(super) struct WorkerState {
    pub batch: Vec<InFlightImage>,
    /// The health of each model on this worker.
    pub health: Vec<Health>,
}

/// The health of a model on a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It works, or will be loaded with its first image.
    Healthy,
    /// It failed and is being loaded again.
    Recovering,
    /// It failed repeatedly. The next attempt to load it is after this time.
    Unavailable(Duration),
}

/// An image in a batch.
pub(super) struct InFlightImage {
    pub job: JobId,
    pub client: ClientGroup,
    pub model: usize,
    /// The steps left, 1..=T.
    pub remaining_steps: usize,
}

/// The life of an engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Accepting,
    /// No new jobs; the live ones go on.
    Draining,
    /// The threads must end.
    Stopped,
}

impl SchedulerState {
    pub fn new(workers: usize, models: usize) -> Self {
        let worker = || WorkerState { batch: Vec::new(), health: vec![Health::Healthy; models] };
        Self {
            queue: Queue::default(),
            tokenize_requests: VecDeque::new(),
            phase: Phase::Accepting,
            workers: std::iter::repeat_with(worker).take(workers).collect(),
        }
    }

    /// Whether jobs of a model are accepted: the model works on at least one worker.
    pub fn ready(&self, model: usize) -> Result<(), SubmitError> {
        if self.phase != Phase::Accepting {
            return Err(SubmitError::ShuttingDown);
        }
        let delay = |worker: &WorkerState| match worker.health[model] {
            Health::Unavailable(delay) => delay,
            Health::Healthy | Health::Recovering => Duration::ZERO,
        };
        match self.workers.iter().map(delay).min() {
            Some(delay) if delay > Duration::ZERO => {
                Err(SubmitError::NotReady { retry_after: delay.max(Duration::from_secs(1)) })
            }
            _ => Ok(()),
        }
    }

    /// The images in all batches.
    pub fn in_flight(&self) -> impl Iterator<Item = &InFlightImage> {
        self.workers.iter().flat_map(|worker| &worker.batch)
    }

    /// The images in all batches, counted.
    pub fn in_batch(&self) -> InBatch {
        let models = self.workers.first().map_or(0, |worker| worker.health.len());
        InBatch::count(self.in_flight().map(|image| (&image.client, image.job, image.model)), models)
    }

    /// The models with images in a batch or in the queue, sorted.
    pub fn busy_models(&self) -> Vec<usize> {
        let mut models: Vec<usize> = self.in_flight().map(|image| image.model).collect();
        models.extend(self.queue.models());
        models.sort_unstable();
        models.dedup();
        models
    }

    /// The jobs without a started image, in the order in which they should start.
    pub fn jobs_not_started(&self) -> Vec<&Arc<Job>> {
        self.queue.jobs_not_started(self.in_batch())
    }
}
