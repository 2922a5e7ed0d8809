//! What one job asks for.

use crate::model::{ModelError, Settings};

/// Images in one job at most.
pub const MAX_COUNT: u32 = 16;
/// The largest seed, 2^53 − 1: the largest integer that every JSON implementation keeps exactly.
pub const SEED_MAX: u64 = (1 << 53) - 1;

/// A job's request: `count` images of the same settings, image `i` drawn from (`seed`, `i`). Once made it is valid.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    settings: Settings,
    seed: u64,
    count: u32,
}

impl Request {
    /// A request for one image.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the seed is above [`SEED_MAX`].
    pub fn new(settings: Settings, seed: u64) -> Result<Self, ModelError> {
        if seed > SEED_MAX {
            return Err(setting("seed", seed, format!("integers from 0 to {SEED_MAX}")));
        }
        Ok(Self { settings, seed, count: 1 })
    }

    /// The same for several images.
    ///
    /// # Errors
    /// [`ModelError::Setting`] where the count isn't 1 to [`MAX_COUNT`].
    pub fn with_count(mut self, count: u64) -> Result<Self, ModelError> {
        let allowed = || setting("count", count, format!("integers from 1 to {MAX_COUNT}"));
        self.count =
            u32::try_from(count).ok().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or_else(allowed)?;
        Ok(self)
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// 0 to [`SEED_MAX`].
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// 1 to [`MAX_COUNT`].
    pub fn count(&self) -> u32 {
        self.count
    }
}

fn setting(field: &'static str, value: u64, allowed: String) -> ModelError {
    ModelError::Setting { field, value: value.to_string(), allowed }
}
