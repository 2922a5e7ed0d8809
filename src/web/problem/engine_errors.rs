//! Errors of the layers below, as problems.

use super::details::Problem;
use crate::engine::{SubmitError, TokenizeError};
use crate::model::ModelError;
use crate::request::FieldError;

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match error {
            // Handlers look the model up first.
            SubmitError::UnknownModel => Self::not_found("There is no such model."),
            SubmitError::Full { waiting, retry_after } => Self::queue_full(waiting, retry_after),
            SubmitError::NotReady { retry_after } => Self::not_ready(retry_after),
            SubmitError::Unavailable { retry_after } => Self::queue_unavailable(retry_after),
            SubmitError::ShuttingDown => Self::shutting_down(),
        }
    }
}

impl From<TokenizeError> for Problem {
    fn from(error: TokenizeError) -> Self {
        match error {
            TokenizeError::Refused(refused) => refused.into(),
            TokenizeError::Failed => {
                Self::generation_failed(Some("The tokenization failed. The fault has been logged.".into()))
            }
        }
    }
}

impl From<ModelError> for Problem {
    fn from(error: ModelError) -> Self {
        match error {
            error @ ModelError::Setting { .. } => Self::invalid(FieldError::from(error)),
            error => Self::internal("The model failed.", &error),
        }
    }
}
