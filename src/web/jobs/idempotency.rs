//! `Idempotency-Key`: sending the same request again gives the same job.

use std::collections::HashMap;
use std::io;

use axum::http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::engine::JobId;
use crate::store::Idempotency;
use crate::web::access::{Client, header_text};
use crate::web::problem::Problem;

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// SHA-256 of a body, independent of white space and the order of fields.
type BodyHash = [u8; 32];

/// A request's `Idempotency-Key`, and the hash of its body.
#[derive(Debug)]
pub(in crate::web) struct IdempotencyKey {
    key: String,
    body: BodyHash,
}

impl IdempotencyKey {
    /// The key in these headers, for the fields of this body.
    ///
    /// # Errors
    /// 422 where it is invalid.
    pub fn read(headers: &HeaderMap, body: &Map<String, Value>) -> Result<Option<Self>, Problem> {
        let allowed = "1 to 255 visible characters, in quotes or without";
        let key = header_text(headers, &HEADER, allowed, |key| {
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        })?;
        Ok(key.map(|key| {
            let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(&key).to_owned();
            Self { key, body: hash(body) }
        }))
    }
}

impl IdempotencyKey {
    /// 422: the key was used with another body.
    pub fn reused(&self) -> Problem {
        Problem::key_reused(&self.key)
    }

    /// The SHA-256 hashes of the key with its client, and of the body.
    pub fn hashes(&self, client: &Client) -> Idempotency {
        let mut hasher = Sha256::new();
        hasher.update(client.secret_text());
        hasher.update([0]);
        hasher.update(&self.key);
        Idempotency { key: hasher.finalize().into(), body: self.body }
    }
}

fn hash(body: &Map<String, Value>) -> BodyHash {
    let mut hasher = Hasher(Sha256::new());
    // The fields are sorted. A hasher takes everything.
    let _ = serde_json::to_writer(&mut hasher, body);
    hasher.0.finalize().into()
}

struct Hasher(Sha256);

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The jobs of idempotency keys; each client has its own keys.
#[derive(Debug, Default)]
pub(super) struct IdempotencyStore(HashMap<(Client, String), (BodyHash, JobId)>);

impl IdempotencyStore {
    /// The job that an earlier request with this key made, if the engine still has it.
    ///
    /// # Errors
    /// 422 where that request had another body.
    pub fn find(
        &self,
        client: &Client,
        key: &IdempotencyKey,
        exists: impl Fn(JobId) -> bool,
    ) -> Result<Option<JobId>, Problem> {
        match self.0.get(&(client.clone(), key.key.clone())) {
            Some(&(body, id)) if exists(id) && body == key.body => Ok(Some(id)),
            Some(&(_, id)) if exists(id) => Err(key.reused()),
            _ => Ok(None),
        }
    }

    pub fn insert(&mut self, client: Client, key: IdempotencyKey, id: JobId) {
        self.0.insert((client, key.key), (key.body, id));
    }

    pub fn retain(&mut self, exists: impl Fn(JobId) -> bool) {
        self.0.retain(|_, (_, id)| exists(*id));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}
