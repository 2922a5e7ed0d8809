//! How long things take: what waiting times are estimated from.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::model::ModelInfo;

/// The measured time of each model's steps. In a turn of a worker every model that has images takes one.
pub(super) struct Pace(Vec<ModelPace>);

struct ModelPace {
    /// T.
    steps: usize,
    /// Mean time of a step of a batch in microseconds; 0 until one was measured.
    step_us: AtomicU64,
}

impl Pace {
    pub fn new<'a>(models: impl IntoIterator<Item = &'a ModelInfo>) -> Self {
        let unknown =
            |model: &ModelInfo| ModelPace { steps: model.config.steps(), step_us: AtomicU64::new(0) };
        Self(models.into_iter().map(unknown).collect())
    }

    /// Notes how long a step of a model took.
    pub fn step_took(&self, model: usize, time: Duration) {
        let new = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 16).max(1);
        let step_us = &self.0[model].step_us;
        let mean = match step_us.load(Ordering::Relaxed) {
            0 => new,
            // Follows a change within about eight steps.
            old => (old.saturating_mul(7) / 8).saturating_add(new / 8),
        };
        step_us.store(mean, Ordering::Relaxed);
    }

    /// T of a model.
    pub fn steps(&self, model: usize) -> usize {
        self.0[model].steps
    }

    /// How long some turns take while these models are drawn.
    pub fn turns(&self, turns: usize, models: &[usize]) -> Duration {
        let turn = models.iter().map(|&model| self.0[model].step_us.load(Ordering::Relaxed));
        Duration::from_micros(turn.fold(0, u64::saturating_add).saturating_mul(turns as u64))
    }

    /// The turns that an image of any of these models takes at most.
    pub fn longest(&self, models: &[usize]) -> usize {
        models.iter().map(|&model| self.0[model].steps).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(steps: &[usize]) -> Pace {
        Pace(steps.iter().map(|&steps| ModelPace { steps, step_us: AtomicU64::new(0) }).collect())
    }

    #[test]
    fn a_turn_takes_what_the_steps_of_all_its_models_take() {
        let pace = pace(&[5, 3]);
        assert_eq!(pace.turns(4, &[0, 1]), Duration::ZERO);
        pace.step_took(0, Duration::from_millis(8));
        pace.step_took(1, Duration::from_millis(100));
        assert_eq!(pace.turns(4, &[0]), Duration::from_millis(32));
        assert_eq!(pace.turns(4, &[0, 1]), Duration::from_millis(432));
        pace.step_took(0, Duration::from_millis(16));
        assert_eq!(pace.turns(1, &[0]), Duration::from_millis(9));
        assert_eq!((pace.longest(&[1]), pace.longest(&[0, 1]), pace.longest(&[])), (3, 5, 0));
    }
}
