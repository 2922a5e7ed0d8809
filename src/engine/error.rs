//! Why an engine doesn't start, and why it refuses a request.

use std::time::Duration;

use crate::model::ModelError;

/// Why an engine didn't start, or why it doesn't serve a model.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option is out of range.
    #[error("{option} is {value}; allowed: {allowed}")]
    Option {
        /// The name of the option.
        option: &'static str,
        /// Its value.
        value: usize,
        /// The values that are allowed.
        allowed: &'static str,
    },
    /// The operating system started no thread.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// Two models have this name.
    #[error("two models are called {0:?}")]
    DuplicateModel(String),
    /// The device is missing, or the model could not be loaded or failed in its warm-up step.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Loading or the warm-up step panicked.
    #[error("the model panicked while it was loaded: {0}")]
    Panicked(String),
    /// The backend returned something that [`Backend`](super::Backend) doesn't allow.
    #[error("the model is unusable: {0}")]
    InvalidBackend(String),
}

/// Why the engine refused a request. It keeps nothing of a refused request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The model is one of another engine.
    #[error("there is no such model")]
    UnknownModel,
    /// The queue is full.
    #[error("the queue is full: {waiting} images are waiting")]
    Full {
        /// The number of images that wait.
        waiting: usize,
        /// The estimated time until the queue has room, from measured step times; 1 second or more.
        retry_after: Duration,
    },
    /// The model failed repeatedly and is being loaded again. From [`Engine::ready`](super::Engine::ready): all models
    /// did.
    #[error("the model is not ready")]
    NotReady {
        /// The time until the next attempt to load the model; 1 second or more.
        retry_after: Duration,
    },
    /// The queue that hands jobs to other machines can't be reached.
    #[error("the queue can't be reached")]
    Unavailable {
        /// When to try again; 1 second or more.
        retry_after: Duration,
    },
    /// [`Engine::shutdown`](super::Engine::shutdown) was called.
    #[error("the engine is shutting down")]
    ShuttingDown,
}

impl SubmitError {
    /// How long to wait before a request may be accepted; [`Duration::MAX`] if it never will.
    pub(super) fn retry_after(&self) -> Duration {
        match self {
            Self::Full { retry_after, .. }
            | Self::NotReady { retry_after }
            | Self::Unavailable { retry_after } => *retry_after,
            Self::UnknownModel | Self::ShuttingDown => Duration::MAX,
        }
    }
}

/// Why an image wasn't tokenized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizeError {
    /// The engine refused the request. In [`SubmitError::Full`], `waiting` is the number of images to tokenize.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// The backend failed.
    #[error("a fault in the server interrupted the tokenization")]
    Failed,
}
