//! What is asked of a worker beside jobs: to tokenize an image. It is done between two steps, so that it waits for one
//! step at most and a busy batch for one image at most.

use bytes::Bytes;
use image::DynamicImage;
use tokio::sync::oneshot;

use super::event::StepPreview;
use super::fault::Fault;
use super::{Backend, SubmitError};
use crate::model::Tokenization;

/// An image's token grids and what they decode to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    /// The image as the model saw it: a PNG file.
    pub input: Bytes,
    /// Width and height before it was cropped to a square and scaled to the model's size, where it was.
    pub resized_from: Option<(u32, u32)>,
    /// C_1 … C_T. The last preview is the reconstruction: no noise is left then.
    pub steps: Vec<TokenizedStep>,
}

/// One step of the recurrence.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizedStep {
    /// h·w codes, row by row.
    pub tokens: Vec<u32>,
    pub preview: StepPreview,
}

/// Why an image wasn't tokenized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizeError {
    /// As jobs are refused; of a full queue, `waiting` counts images to tokenize.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// A fault of the server.
    #[error("a fault in the server interrupted the tokenization")]
    Failed,
}

/// An image to tokenize, and who wants to know.
pub(super) struct Errand {
    /// The model's place among the engine's.
    pub model: usize,
    pub image: DynamicImage,
    pub seed: u64,
    pub reply: oneshot::Sender<Result<Tokenized, TokenizeError>>,
}

/// Tokenizes an image.
pub(super) fn tokenize<B: Backend>(
    backend: &B,
    image: &DynamicImage,
    seed: u64,
) -> Result<Tokenization, Fault> {
    let done = backend.tokenize(image, seed)?;
    if done.tokens.len() != done.previews.len() || done.tokens.is_empty() {
        return Err(Fault::Contract("tokenize returned other numbers of grids and previews".into()));
    }
    Ok(done)
}
