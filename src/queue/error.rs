//! Why a queue can't be used.

use std::path::PathBuf;

/// Why the queue can't be used at present. The texts are for operators.
#[derive(Debug, Clone, thiserror::Error)]
pub enum QueueError {
    /// No server could be reached, or it refused the connection.
    #[error("the queue can't be reached: {0}")]
    Connect(String),
    /// The credentials are wrong.
    #[error("the queue's server refused the credentials")]
    Unauthorized,
    /// A file of credentials can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A stream or consumer could be neither found nor created.
    #[error("the stream {name}: {reason}")]
    Stream {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A stream has other settings than it must have.
    #[error("the stream {name} has another {setting} than these options; see rdpm queue plan")]
    Settings {
        /// Its name.
        name: String,
        /// The setting.
        setting: &'static str,
    },
}
