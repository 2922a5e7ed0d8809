//! Images of a job that lie between two others.

use std::sync::Arc;

use crate::model::{Config, Interpolation, InterpolationEnd, ModelError};

/// Successive frames of an interpolation. The image of frame `f` of F lies at f ∕ (F − 1) of the way. It is valid once it is
/// made.
#[derive(Debug, Clone, PartialEq)]
pub struct Between {
    ends: Arc<[InterpolationEnd; 2]>,
    kind: Interpolation,
    /// The frame of the job's image 0: not 0 where the job is a part of another.
    first: u32,
    /// F
    frames: u32,
}

impl Between {
    /// All frames.
    ///
    /// # Errors
    /// [`ModelError::Setting`] unless there are at least 2 frames, the settings are for this model, and both ends have
    /// grids of its shape: T, or as many as `kind` needs, which is interpolated before the last step.
    pub fn new(
        config: &Config,
        ends: [InterpolationEnd; 2],
        kind: Interpolation,
        frames: u32,
    ) -> Result<Self, ModelError> {
        let error =
            |field, value: String, allowed: String| Err(ModelError::Setting { field, value, allowed });
        let (positions, codes, steps) = (config.positions(), config.trajectory.codes, config.steps());
        if let Interpolation::Step(k) = kind
            && k >= steps
        {
            return error("kept_steps", k.to_string(), format!("integers from 0 to {}", steps - 1));
        }
        let is_valid =
            |grid: &Vec<u32>| grid.len() == positions && grid.iter().all(|&code| (code as usize) < codes);
        for end in &ends {
            if end.settings.model() != config.name {
                return error("model", end.settings.model().to_owned(), config.name.clone());
            }
            let found = end.grids.len();
            if found < kind.needed_grids(steps) || found > steps || !end.grids.iter().all(is_valid) {
                let allowed = format!("{steps} grids of the model {}", config.name);
                return error("tokens", format!("{found} grids"), allowed);
            }
        }
        if frames < 2 {
            return error("frames", frames.to_string(), "at least 2".into());
        }
        Ok(Self { ends: Arc::new(ends), kind, first: 0, frames })
    }

    /// The frames from the one of image `index` on.
    #[must_use]
    pub fn from_frame(self, index: u32) -> Self {
        let first = self.first.saturating_add(index).min(self.frames - 1);
        Self { first, ..self }
    }

    pub fn ends(&self) -> &[InterpolationEnd; 2] {
        &self.ends
    }

    pub fn kind(&self) -> Interpolation {
        self.kind
    }

    /// The frame of image 0.
    pub fn first(&self) -> u32 {
        self.first
    }

    /// The number of frames, those of other jobs included.
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// Where an image lies: from 0, the first end, to 1.
    pub fn weight(&self, index: u32) -> f64 {
        f64::from(self.first.saturating_add(index)) / f64::from(self.frames - 1)
    }

    /// The end that an image is nearer to. In the middle it is the second.
    pub fn nearer(&self, index: u32) -> &InterpolationEnd {
        &self.ends[usize::from(self.weight(index) >= 0.5)]
    }

    /// The steps that need not be taken of `steps`.
    pub(super) fn steps_done(&self, steps: usize) -> usize {
        self.kind.needed_grids(steps).min(steps - 1)
    }

    /// The approximate number of bytes that it takes.
    pub(super) fn byte_size(&self) -> usize {
        self.ends.iter().flat_map(|end| &end.grids).map(|grid| 4 * grid.len()).sum()
    }
}
