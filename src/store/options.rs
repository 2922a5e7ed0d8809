//! The options of a store.

use std::path::PathBuf;
use std::time::Duration;

/// Where a store is, and how much it keeps. Generations with a favourite are kept whatever the limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder. It is created if it isn't there.
    pub folder: PathBuf,
    /// How long a generation is kept after its end; `None` is no limit.
    pub max_age: Option<Duration>,
    /// Pictures at most; the oldest are removed first. `None` is no limit.
    pub max_pictures: Option<u64>,
    /// Bytes of files and rows at most; the oldest are removed first. `None` is no limit.
    pub max_bytes: Option<u64>,
    /// How long the deletion of a picture can be undone.
    pub undo: Duration,
}

impl Options {
    /// The default of [`Options::max_pictures`].
    pub const MAX_PICTURES: u64 = 100_000;
    /// The default of [`Options::max_bytes`].
    pub const MAX_BYTES: u64 = 10 << 30;

    /// The defaults for a folder: no limit of age, 100,000 pictures, 10 GiB, ten minutes to undo.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            max_age: None,
            max_pictures: Some(Self::MAX_PICTURES),
            max_bytes: Some(Self::MAX_BYTES),
            undo: Duration::from_secs(600),
        }
    }
}
