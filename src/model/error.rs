//! The layer's one error type.

use std::path::PathBuf;

/// What can go wrong between a weights folder and an image.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file of the weights folder is missing or can't be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// `config.json` is no valid configuration; `reason` names the key and what is allowed.
    #[error("{}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    /// The tensors don't fit the configuration; `reason` names the tensor, the expected and the found shape.
    #[error("{}: {reason}", path.display())]
    Weights { path: PathBuf, reason: String },
    /// The requested device isn't there.
    #[error("device {requested:?}: {reason}")]
    Device { requested: String, reason: String },
    /// A sampling setting is out of range.
    #[error("{field} is {value}; allowed: {allowed}")]
    Setting { field: &'static str, value: String, allowed: String },
    /// An input image can't be used.
    #[error("image: {0}")]
    Image(String),
    /// A tensor operation failed (out of memory, a fault of the device).
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// Whether the device had too little memory: the same with fewer images may well work.
    pub fn is_out_of_memory(&self) -> bool {
        // candle hands the driver's and cuBLAS's own words on, as text only.
        let Self::Tensor(error) = self else { return false };
        let text = error.to_string();
        ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory"]
            .iter()
            .any(|words| text.contains(words))
    }
}
