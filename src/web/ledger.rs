//! Whose jobs they are: what the web layer remembers of a job beside what the engine does.
//!
//! There are no accounts. A client that wants to find its jobs again calls itself by a token of its choice, which nobody
//! else should know; with API keys the key's name counts too. Nothing here outlives the job that it is about, so memory
//! is bounded by the engine's own bounds.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::keys::KeyName;
use super::problem::{FieldError, Problem};
use crate::engine::{Engine, JobId, Request};
use crate::picture::Format;

pub(super) const CLIENT: HeaderName = HeaderName::from_static("rdpm-client");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Fewer jobs than these are never looked through for forgotten ones.
const PRUNE_FROM: usize = 512;

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Client {
    key: Option<KeyName>,
    token: Option<String>,
}

/// How a client wants to see a job's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Output {
    pub format: Option<Format>,
    pub scale: u32,
}

impl Default for Output {
    fn default() -> Self {
        Self { format: None, scale: 1 }
    }
}

/// A request's `Idempotency-Key`, and the body that it stands for.
#[derive(Debug)]
pub(super) struct Idempotency {
    key: String,
    body: [u8; 32],
}

/// Jobs by client and by `Idempotency-Key`.
#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    entries: Vec<Entry>,
    by_key: HashMap<(Client, String), ([u8; 32], JobId)>,
    /// Entries after the last time that forgotten jobs were struck off.
    kept: usize,
}

#[derive(Debug)]
struct Entry {
    id: JobId,
    client: Client,
    output: Output,
}

impl Client {
    /// The one who sent these headers.
    ///
    /// # Errors
    /// 422 for a token that is none.
    pub fn new(headers: &HeaderMap, key: Option<KeyName>) -> Result<Self, Problem> {
        let allowed = "16 to 128 letters, digits, -, _, . or ~ of your choice that nobody can guess";
        let token = text_of(headers, &CLIENT, allowed, |token| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            (16..=128).contains(&token.len()) && token.bytes().all(is_plain)
        })?;
        Ok(Self { key, token })
    }

    /// Whether it can be told from others.
    pub fn is_known(&self) -> bool {
        self.key.is_some() || self.token.is_some()
    }
}

impl Idempotency {
    /// The key in these headers, for this body.
    ///
    /// # Errors
    /// 422 for a key that is none.
    pub fn new(headers: &HeaderMap, body: &[u8]) -> Result<Option<Self>, Problem> {
        let allowed = "1 to 255 visible characters, in quotes or without";
        let key = text_of(headers, &IDEMPOTENCY_KEY, allowed, |key| {
            (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
        })?;
        // Blanks and the order of fields don't count.
        let canonical =
            serde_json::from_slice::<Value>(body).map(|body| body.to_string()).unwrap_or_default();
        Ok(key.map(|key| {
            let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(&key).to_owned();
            Self { key, body: Sha256::digest(canonical).into() }
        }))
    }
}

impl Ledger {
    /// Queues a job, or finds the one that an earlier request with the same key made.
    ///
    /// # Errors
    /// 422 where the key came with another body before; what the engine refuses.
    pub fn submit(
        &self,
        engine: &Arc<Engine>,
        request: Request,
        client: Client,
        output: Output,
        idempotency: Option<Idempotency>,
    ) -> Result<JobId, Problem> {
        let mut pages = self.0.lock();
        let slot = idempotency.map(|Idempotency { key, body }| ((client.clone(), key), body));
        if let Some((slot, body)) = &slot
            && let Some(&(known, id)) = pages.by_key.get(slot)
            && engine.contains(id)
        {
            return if known == *body { Ok(id) } else { Err(Problem::key_reused(&slot.1)) };
        }
        let id = engine.submit(request)?;
        if let Some((slot, body)) = slot {
            pages.by_key.insert(slot, (body, id));
        }
        if client.is_known() || output != Output::default() {
            pages.entries.push(Entry { id, client, output });
        }
        pages.prune(engine);
        Ok(id)
    }

    /// A client's jobs, newest first.
    pub fn jobs(&self, client: &Client) -> Vec<JobId> {
        let pages = self.0.lock();
        pages.entries.iter().rev().filter(|entry| entry.client == *client).map(|entry| entry.id).collect()
    }

    /// How a job's images are to be seen.
    pub fn output(&self, id: JobId) -> Output {
        let pages = self.0.lock();
        let entry = pages.entries.iter().rev().find(|entry| entry.id == id);
        entry.map(|entry| entry.output).unwrap_or_default()
    }
}

impl Pages {
    /// Strikes off the jobs that the engine has forgotten, each time that as many as it knew have come again.
    fn prune(&mut self, engine: &Engine) {
        let size = self.entries.len().max(self.by_key.len());
        if size >= PRUNE_FROM.max(2 * self.kept) {
            self.entries.retain(|entry| engine.contains(entry.id));
            self.by_key.retain(|_, (_, id)| engine.contains(*id));
            self.kept = self.entries.len().max(self.by_key.len());
        }
    }
}

/// A header's text where it is there and `is_good`.
fn text_of(
    headers: &HeaderMap,
    name: &HeaderName,
    allowed: &str,
    is_good: impl FnOnce(&str) -> bool,
) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    match value.to_str() {
        Ok(text) if values.next().is_none() && is_good(text) => Ok(Some(text.to_owned())),
        _ => Err(bad_header(name, Some(&String::from_utf8_lossy(value.as_bytes())), allowed)),
    }
}

/// 422: a header that can't be used.
pub(super) fn bad_header(name: &HeaderName, value: Option<&str>, allowed: &str) -> Problem {
    let error = FieldError { field: name.to_string(), value: value.into(), allowed: allowed.into() };
    Problem::invalid(vec![error])
}
