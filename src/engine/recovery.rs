//! Faults, and how the worker gets over them.
//!
//! A fault (an error or a panic of the model) loses the batch: what it did to the device and to the drawings is
//! unknown. The model is made anew and the next batch goes on. After [`max_failures`](super::Options::max_failures)
//! faults in a row the engine isn't ready until the model has been loaded and has taken a trial step; while that fails
//! it is tried again and again, with growing pauses, and waiting jobs are failed rather than kept hoping.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::worker::Worker;
use super::{Backend, ModelInfo, StartError};
use crate::model::{ModelError, Settings};

/// For the client of a job that waited for a model that doesn't come back.
const OUT_OF_ORDER: &str = "The server can't draw at present. Try again later.";

/// What went wrong on the device; for the log, never for a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("panic: {0}")]
    Panic(String),
    /// The backend's results don't fit its contract.
    #[error("{0}")]
    Contract(String),
}

impl From<Fault> for StartError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Model(error) => Self::Model(error),
            Fault::Panic(message) => Self::Panicked(message),
            Fault::Contract(message) => Self::Backend(message),
        }
    }
}

/// Runs what may panic. State that it changed must not be used after a fault, which is why this is sound to assert.
pub(super) fn guarded<T>(action: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Fault::Panic(text.unwrap_or_else(|| "without a message".into())))
    })
}

/// Makes a model and lets it take a trial step, which also warms the device up.
pub(super) fn load<B: Backend>(
    factory: &mut impl FnMut() -> Result<B, ModelError>,
) -> Result<(B, ModelInfo), Fault> {
    guarded(|| {
        let backend = factory()?;
        let info = backend.info();
        let mut drawing = backend.start(&Settings::new(&info.config, 0)?, 0, 0);
        backend.step(&mut [&mut drawing])?;
        backend.previews(&[&drawing])?;
        backend.images(&[&drawing])?;
        Ok((backend, info))
    })
}

impl<B, F> Worker<B, F>
where
    B: Backend,
    F: FnMut() -> Result<B, ModelError>,
{
    /// Makes the model anew after a fault, however long it takes; `None` where the worker must end first.
    pub fn recover(&mut self, broken: B) -> Option<B> {
        // A model in disorder may panic again while it is dropped.
        if let Err(fault) = guarded(|| {
            drop(broken);
            Ok(())
        }) {
            tracing::warn!(%fault, "the failed model could not be dropped cleanly");
        }
        self.failures = self.failures.saturating_add(1);
        let mut attempts = 0;
        loop {
            let delay = self.delay(attempts);
            if self.failures >= self.shared.options.max_failures {
                tracing::error!(failures = self.failures, retry_in = ?delay, "not ready");
                self.shared.out_of_order(delay);
                if attempts > 0 {
                    self.shared.fail_waiting(OUT_OF_ORDER);
                }
            }
            // The first fault costs no pause: it is most likely the only one.
            if (self.failures > 1) && !self.shared.pause(delay) {
                return None;
            }
            match load(&mut self.factory).and_then(|loaded| self.unchanged(loaded)) {
                Ok(backend) => {
                    if self.failures >= self.shared.options.max_failures {
                        self.failures = 0;
                    }
                    self.shared.in_order();
                    tracing::info!("model loaded again");
                    return Some(backend);
                }
                Err(fault) => {
                    tracing::error!(%fault, "the model could not be loaded again");
                    self.failures = self.failures.saturating_add(1);
                    attempts += 1;
                }
            }
        }
    }

    /// Requests were checked against the first configuration, so no other will do.
    fn unchanged(&self, (backend, info): (B, ModelInfo)) -> Result<B, Fault> {
        if info.config == self.info.config {
            return Ok(backend);
        }
        Err(Fault::Contract("the configuration on disk is not the one being served".into()))
    }

    fn delay(&self, attempts: u32) -> Duration {
        self.shared.options.retry_delay.saturating_mul(1 << attempts.min(5))
    }
}
