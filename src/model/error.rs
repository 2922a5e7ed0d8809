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
