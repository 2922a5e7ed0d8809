//! Errors of the store.

use std::io;

/// Why the store could not read or write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    #[error("a file: {0}")]
    File(#[from] io::Error),
    #[error("the store was made by a newer version of this program")]
    NewerVersion,
    #[error("a kept generation can't be read: {0}")]
    Invalid(String),
    #[error("the store's thread has ended or is too far behind")]
    Unavailable,
}
