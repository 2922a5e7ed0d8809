//! What can go wrong on a device.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::StartError;
use crate::model::ModelError;

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
