//! What is written of a generation beside what the engine knows.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::owner::Owner;
use crate::engine::{Request, SerializedRequest};
use crate::picture::PictureError;
use crate::request::PictureFormat;

/// A generation to keep.
#[derive(Debug, Clone)]
pub struct Record {
    pub(super) owner: Owner,
    pub(super) model: String,
    /// A [`StoredRequest`] as JSON.
    pub(super) request: String,
    pub(super) resumable: bool,
    pub(super) idempotency: Option<Idempotency>,
}

/// What follows a generation into the database of what its client asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredRequest {
    #[serde(flatten)]
    pub request: SerializedRequest,
    #[serde(flatten)]
    pub pictures: PictureFormat,
}

/// An `Idempotency-Key` with whose it is, and the body of its request: SHA-256 hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idempotency {
    pub key: [u8; 32],
    pub body: [u8; 32],
}

impl Record {
    /// A record of a checked request. A job that is not `resumable` isn't drawn after a restart: its client waits for
    /// the answer to the request itself.
    ///
    /// # Errors
    /// Where the image that the job starts from can't be encoded.
    pub fn new(
        owner: Owner,
        job: &Request,
        pictures: PictureFormat,
        resumable: bool,
        idempotency: Option<Idempotency>,
    ) -> Result<Self, PictureError> {
        let request = StoredRequest { request: SerializedRequest::new(job)?, pictures };
        // Texts, numbers and truth values are valid JSON.
        let request = serde_json::to_string(&request).unwrap_or_default();
        Ok(Self { owner, model: job.model().name().to_owned(), request, resumable, idempotency })
    }
}

/// Milliseconds since 1970.
pub(super) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    i64::try_from(since).unwrap_or(i64::MAX)
}
