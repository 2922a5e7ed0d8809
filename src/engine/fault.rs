//! A failure of a backend, as a value. What follows from it is in `recovery`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::StartError;
use crate::model::ModelError;

/// A failure of a backend. It goes to the log, never to a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("panic: {0}")]
    Panic(String),
    /// The backend returned something that its trait doesn't allow.
    #[error("{0}")]
    InvalidBackendOutput(String),
    #[error("the model is not loaded")]
    NotLoaded,
}

impl From<Fault> for StartError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Model(error) => Self::Model(error),
            Fault::Panic(message) => Self::Panicked(message),
            Fault::InvalidBackendOutput(message) => Self::InvalidBackend(message),
            Fault::NotLoaded => Self::InvalidBackend(fault.to_string()),
        }
    }
}

/// Runs an action and returns a panic as [`Fault::Panic`]. The caller must not use state that the action changed after a
/// fault; that is why asserting unwind safety is sound.
pub(super) fn catch_panic<T>(action: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Fault::Panic(text.unwrap_or_else(|| "without a message".into())))
    })
}
