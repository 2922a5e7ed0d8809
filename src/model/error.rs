//! The error type of the model layer.

use std::path::PathBuf;

/// An error of the model layer.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// A file or folder is missing or can't be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    /// `config.json` is invalid; `reason` names the key and the allowed values.
    #[error("{}: {reason}", path.display())]
    Config { path: PathBuf, reason: String },
    /// The tensors don't match the configuration; `reason` names the tensor, the expected and the actual shape.
    #[error("{}: {reason}", path.display())]
    Weights { path: PathBuf, reason: String },
    /// The requested device isn't available.
    #[error("device {requested:?}: {reason}")]
    Device { requested: String, reason: String },
    /// The device can't compute in the requested precision.
    #[error("precision {requested}: {reason}")]
    Precision { requested: &'static str, reason: &'static str },
    /// The folder has no weights for one pass.
    #[error("passes 1: {} doesn't exist; use 2 or auto", path.display())]
    OnePass { path: PathBuf },
    /// A sampling setting is out of range.
    #[error("{field} is {value}; allowed: {allowed}")]
    Setting { field: &'static str, value: String, allowed: String },
    /// An input image can't be used.
    #[error("image: {0}")]
    Image(String),
    /// A tensor operation failed, for example for lack of device memory.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// Whether the device ran out of memory. The same operation may succeed with fewer images.
    pub fn is_out_of_memory(&self) -> bool {
        // candle passes the messages of the driver and of cuBLAS on as text only.
        let Self::Tensor(error) = self else { return false };
        let text = error.to_string();
        ["CUDA_ERROR_OUT_OF_MEMORY", "CUBLAS_STATUS_ALLOC_FAILED", "out of memory"]
            .iter()
            .any(|words| text.contains(words))
    }
}
