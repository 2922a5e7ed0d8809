//! When waiting jobs start: an estimate from measured step times.
//!
//! A worker works in rounds: in each, every model that has images takes one step with its batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::event::QueuePosition;
use super::job::Job;
use super::scheduler_state::SchedulerState;

/// Estimates waiting times from the measured time of each model's steps.
pub(super) struct EtaEstimator {
    models: Vec<StepTime>,
    /// The largest number of images in flight on a worker.
    max_batch: usize,
}

struct StepTime {
    /// T.
    steps: usize,
    /// The mean time of a batch's step in microseconds; 0 until one was measured.
    mean_us: AtomicU64,
}

impl EtaEstimator {
    /// For models with these numbers of steps.
    pub fn new(steps: impl IntoIterator<Item = usize>, max_batch: usize) -> Self {
        let unmeasured = |steps| StepTime { steps, mean_us: AtomicU64::new(0) };
        Self { models: steps.into_iter().map(unmeasured).collect(), max_batch }
    }

    /// Records the time of a step of a model.
    pub fn record_step(&self, model: usize, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 16).max(1);
        let mean_us = &self.models[model].mean_us;
        let mean = match mean_us.load(Ordering::Relaxed) {
            0 => new,
            // An exponential moving average over about eight steps.
            old => (old.saturating_mul(7) / 8).saturating_add(new / 8),
        };
        mean_us.store(mean, Ordering::Relaxed);
    }

    /// The waiting jobs with their queue positions. The first job gets the slot that is free first, and so on.
    pub fn queue_positions<'a>(&self, state: &'a SchedulerState) -> Vec<(&'a Arc<Job>, QueuePosition)> {
        // For each slot of all workers, the number of rounds until it is free, sorted; 0 if it is free now.
        let mut free_in: Vec<usize> = state.in_flight().map(|image| image.remaining_steps).collect();
        let slots = self.max_batch * state.workers.len();
        free_in.resize(slots.max(free_in.len()), 0);
        free_in.sort_unstable();
        let models = state.busy_models();
        let rounds_per_image = self.max_steps(&models);
        let position = |at: usize| {
            let rounds = at / free_in.len() * rounds_per_image + free_in[at % free_in.len()];
            QueuePosition { position: at + 1, eta: self.time_of_rounds(rounds, &models) }
        };
        state.jobs_not_started().into_iter().enumerate().map(|(at, job)| (job, position(at))).collect()
    }

    /// The time in which full batches draw this number of images, in whole seconds, 1 or more.
    pub fn time_to_draw(&self, images: usize, state: &SchedulerState) -> Duration {
        let batches = images.div_ceil(self.max_batch * state.workers.len());
        let models = state.busy_models();
        let time = self.time_of_rounds(batches.saturating_mul(self.max_steps(&models)), &models);
        Duration::from_secs(time.as_secs() + 1)
    }

    /// The time of rounds in which each of these models takes a step.
    fn time_of_rounds(&self, rounds: usize, models: &[usize]) -> Duration {
        let step_times = models.iter().map(|&model| self.models[model].mean_us.load(Ordering::Relaxed));
        Duration::from_micros(step_times.fold(0, u64::saturating_add).saturating_mul(rounds as u64))
    }

    /// The largest T of these models.
    fn max_steps(&self, models: &[usize]) -> usize {
        models.iter().map(|&model| self.models[model].steps).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_takes_the_sum_of_its_models_step_times() {
        let eta = EtaEstimator::new([5, 3], 16);
        assert_eq!(eta.time_of_rounds(4, &[0, 1]), Duration::ZERO);
        eta.record_step(0, Duration::from_millis(8));
        eta.record_step(1, Duration::from_millis(100));
        assert_eq!(eta.time_of_rounds(4, &[0]), Duration::from_millis(32));
        assert_eq!(eta.time_of_rounds(4, &[0, 1]), Duration::from_millis(432));
        eta.record_step(0, Duration::from_millis(16));
        assert_eq!(eta.time_of_rounds(1, &[0]), Duration::from_millis(9));
        assert_eq!((eta.max_steps(&[1]), eta.max_steps(&[0, 1]), eta.max_steps(&[])), (3, 5, 0));
    }
}
