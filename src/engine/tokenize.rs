//! Requests to tokenize an image. A worker serves one between two steps, so it waits for at most one step, and the jobs in
//! the batch wait for at most one image.

use bytes::Bytes;
use image::DynamicImage;
use tokio::sync::oneshot;

use super::backend::Backend;
use super::error::TokenizeError;
use super::event::StepPreview;
use super::fault::Fault;
use crate::model::{Caption, Tokenization};

/// The token grids of an image and what they decode to.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    /// The image as the model received it: a PNG file.
    pub input: Bytes,
    /// The width and height in pixels before the image was cropped to a square and scaled; `None` if it wasn't.
    pub resized_from: Option<(u32, u32)>,
    /// C_1 … C_T. The last preview is the reconstruction: no noise is left then.
    pub steps: Vec<TokenizedStep>,
    /// What the image shows; `None` if the model has no captioner.
    pub caption: Option<Caption>,
}

/// One step of the recurrent tokenization.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenizedStep {
    /// h·w codes, row by row.
    pub tokens: Vec<u32>,
    /// Both previews after this step.
    pub preview: StepPreview,
}

/// An image to tokenize, and where to send the result.
pub(super) struct TokenizeRequest {
    /// The model's index among the engine's models.
    pub model: usize,
    pub image: DynamicImage,
    /// The seed of the noise.
    pub seed: u64,
    pub reply: oneshot::Sender<Result<Tokenized, TokenizeError>>,
}

/// Tokenizes an image and checks the backend's result.
pub(super) fn tokenize<B: Backend>(
    backend: &B,
    image: &DynamicImage,
    seed: u64,
) -> Result<Tokenization, Fault> {
    let tokenization = backend.tokenize(image, seed)?;
    let (grids, previews) = (tokenization.tokens.len(), tokenization.previews.len());
    if grids != previews || grids == 0 {
        let fault = format!("tokenize returned {grids} token grids and {previews} previews");
        return Err(Fault::InvalidBackendOutput(fault));
    }
    Ok(tokenization)
}
