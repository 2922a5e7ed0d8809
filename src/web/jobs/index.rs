//! The jobs that clients know by their ids: those of the engine, with the owner and the picture format of each, and those of
//! the store, where there is one.
//!
//! An entry lives at most as long as its job in the engine, so memory is bounded by the engine's own limits.

use std::time::Duration;

use axum::http::StatusCode;
use parking_lot::Mutex;

use super::idempotency::{IdempotencyKey, IdempotencyStore};
use super::note::Note;
use crate::engine::{ClientId, Engine, JobId, Request, Snapshot};
use crate::queue::{self, AnyEngine, Gateway, Submitted};
use crate::request::PictureFormat;
use crate::store::{Owner, Record, Store, StoreError, StoredGeneration, Written};
use crate::web::access::Client;
use crate::web::problem::Problem;

/// With fewer entries than this, expired ones aren't looked for.
const PRUNE_FROM: usize = 512;
/// How long an answer waits until the store has written that the job was accepted.
const WRITE_TIMEOUT: Duration = Duration::from_secs(1);

/// Jobs by client and by `Idempotency-Key`.
#[derive(Debug)]
pub(in crate::web) struct JobIndex {
    entries: Mutex<Entries>,
    store: Option<Store>,
}

#[derive(Debug, Default)]
struct Entries {
    jobs: Vec<Entry>,
    idempotency: IdempotencyStore,
    /// The number of entries after the last pruning.
    pruned_size: usize,
}

#[derive(Debug)]
struct Entry {
    id: JobId,
    owner: Owner,
    format: PictureFormat,
}

/// A job to submit, for a client.
#[derive(Debug)]
pub(in crate::web) struct Submission {
    pub request: Request,
    pub client: Client,
    pub format: PictureFormat,
    pub key: Option<IdempotencyKey>,
    /// Whether the client can ask for the job later. One that waits for the answer can't.
    pub resumable: bool,
}

/// A job that was submitted.
#[derive(Debug, Clone, Copy)]
pub(in crate::web) struct SubmittedJob {
    pub id: JobId,
    /// Whether this submission made it, and not an earlier one with the same key.
    pub is_new: bool,
}

impl SubmittedJob {
    fn earlier(id: JobId) -> Self {
        Self { id, is_new: false }
    }
}

impl JobIndex {
    /// Keeps jobs in a store, if there is one.
    pub fn new(store: Option<Store>) -> Self {
        Self { entries: Mutex::default(), store }
    }

    /// The store.
    pub fn store(&self) -> Option<&Store> {
        self.store.as_ref()
    }

    /// Submits the jobs again that an earlier process accepted and didn't finish. Blocks.
    pub fn resume(&self, engine: &AnyEngine) {
        let (Some(store), AnyEngine::Embedded(engine)) = (&self.store, engine) else { return };
        let mut resumed = 0;
        for pending in store.pending() {
            let Some((request, format)) = pending.request(engine.models()) else {
                tracing::warn!(job = %pending.id, model = pending.model, "a kept request is no longer allowed");
                store.abandon(pending.id);
                continue;
            };
            let group = pending.owner.key().map_or("restarted".into(), |name| format!("key {name}"));
            let request = request.with_client(Some(ClientId::new(group)));
            let observer = store.observer_of(&pending);
            match engine.resume(pending.id, pending.created(), request, Some(observer)) {
                Ok(()) => {
                    resumed += 1;
                    self.entries.lock().add(pending.id, pending.owner, format);
                }
                // It stays as it is, for the next process.
                Err(error) => tracing::warn!(job = %pending.id, %error, "a job can't be resumed"),
            }
        }
        if resumed > 0 {
            tracing::info!(jobs = resumed, "jobs of the last process are drawn again");
        }
    }

    /// Submits a job, or finds the one that an earlier request with the same key made.
    ///
    /// # Errors
    /// 422 where the key was used with another body before; the errors of [`AnyEngine::submit`].
    pub async fn submit(&self, engine: &AnyEngine, submission: Submission) -> Result<SubmittedJob, Problem> {
        let engine = match engine {
            AnyEngine::Embedded(engine) => engine,
            AnyEngine::Queue(gateway) => return submit_to_queue(gateway, submission).await,
        };
        if let (Some(store), Some(key)) = (&self.store, &submission.key) {
            // Where the store can't be read, the key is a new one.
            let found = store.find_key(key.hashes(&submission.client)).await.unwrap_or_default();
            match found {
                Some((id, true, has_ended)) if has_ended || engine.contains(id) => {
                    return Ok(SubmittedJob::earlier(id));
                }
                Some((_, false, _)) => return Err(key.reused()),
                _ => {}
            }
        }
        let (submitted, written) = self.submit_now(engine, submission)?;
        if let Some(written) = written {
            // Then a crash loses no job that a client was told of.
            let _ = tokio::time::timeout(WRITE_TIMEOUT, written).await;
        }
        Ok(submitted)
    }

    fn submit_now(
        &self,
        engine: &Engine,
        submission: Submission,
    ) -> Result<(SubmittedJob, Option<Written>), Problem> {
        let Submission { request, client, format, key, resumable } = submission;
        let request = request.with_client(Some(client.engine_id()));
        let stored = key.as_ref().map(|key| key.hashes(&client));
        let (observer, written) = match &self.store {
            Some(store) => match Record::new(client.owner(), &request, format, resumable, stored) {
                Ok(record) => {
                    let (observer, written) = store.observer(record);
                    (Some(observer), Some(written))
                }
                Err(error) => {
                    tracing::error!(%error, "a request can't be kept");
                    (None, None)
                }
            },
            None => (None, None),
        };
        // Held while the job is submitted, so that two requests with one key can't both submit.
        let mut entries = self.entries.lock();
        if let Some(key) = &key
            && let Some(id) = entries.idempotency.find(&client, key, |id| engine.contains(id))?
        {
            return Ok((SubmittedJob::earlier(id), None));
        }
        let id = engine.submit_observed(request, observer)?;
        entries.add(id, client.owner(), format);
        if let Some(key) = key {
            entries.idempotency.insert(client, key, id);
        }
        entries.prune(engine);
        Ok((SubmittedJob { id, is_new: true }, written))
    }

    /// Makes sure that the engine knows a job: where it has forgotten it, the job is read from the store. Returns whether there is
    /// one.
    ///
    /// # Errors
    /// 410 where no model that is served now can have drawn it, 503 where that can't be found out.
    pub async fn recall(&self, engine: &AnyEngine, id: JobId) -> Result<bool, Problem> {
        engine.load(id).await?;
        if engine.contains(id) {
            return Ok(true);
        }
        let (Some(store), AnyEngine::Embedded(engine)) = (&self.store, engine) else { return Ok(false) };
        let Some(stored) = store.load(id).await.map_err(unreadable)? else { return Ok(false) };
        let Some((request, format)) = stored.request(engine.models()) else {
            return Err(model_gone(&stored));
        };
        self.entries.lock().add(id, stored.owner.clone(), format);
        engine.restore(stored.into_ended(request));
        Ok(true)
    }

    /// Forgets a job of the store, whose pictures have changed, so that it is read again.
    pub fn forget(&self, engine: &AnyEngine, id: JobId) {
        if let AnyEngine::Embedded(engine) = engine {
            engine.forget(id);
        }
    }

    /// A client's jobs, newest first.
    ///
    /// # Errors
    /// 503 where the store can't be read.
    pub async fn jobs_of(
        &self,
        engine: &AnyEngine,
        client: &Client,
        limit: u32,
    ) -> Result<Vec<Snapshot>, Problem> {
        let owner = client.owner();
        let own: Vec<JobId> = match engine {
            AnyEngine::Embedded(_) => {
                let entries = self.entries.lock();
                let own = entries.jobs.iter().rev().filter(|entry| entry.owner == owner);
                own.map(|entry| entry.id).collect()
            }
            AnyEngine::Queue(gateway) => {
                let is_own = |note: &str| Note::read(note).is_some_and(|note| note.owner == owner);
                gateway.notes().into_iter().filter(|(_, note)| is_own(note)).map(|(id, _)| id).collect()
            }
        };
        let mut jobs: Vec<Snapshot> = own.into_iter().filter_map(|id| engine.get(id)).collect();
        if let Some(store) = &self.store {
            let stored = store.list(owner, limit).await.map_err(unreadable)?;
            let forgotten = stored
                .into_iter()
                .filter(|stored| stored.has_ended() && !jobs.iter().any(|known| known.id == stored.id));
            let forgotten: Vec<Snapshot> = forgotten
                .filter_map(|stored| Some(stored.snapshot(stored.request(engine.models())?.0)))
                .collect();
            jobs.extend(forgotten);
            // Stable: jobs of one millisecond stay in their order.
            jobs.sort_by_key(|job| std::cmp::Reverse(job.created));
        }
        jobs.truncate(limit as usize);
        Ok(jobs)
    }

    /// Whether a client may cancel a job: everybody may who knows the id of one whose client was not known.
    pub fn may_cancel(&self, engine: &AnyEngine, client: &Client, id: JobId) -> bool {
        let (owner, _) = self.about(engine, id);
        client.owner().may_cancel(&owner)
    }

    /// Whether a client may find a job's pictures by their addresses alone: those of a known client are for nobody else, as it
    /// alone may cancel the job.
    pub fn may_read(&self, engine: &AnyEngine, client: &Client, id: JobId) -> bool {
        self.may_cancel(engine, client, id)
    }

    /// The key that signs links to a job's pictures in all processes; `None` where only one has the job.
    pub fn link_key(&self, engine: &AnyEngine, id: JobId) -> Option<String> {
        let AnyEngine::Queue(gateway) = engine else { return None };
        gateway.note(id).and_then(|note| Note::read(&note)).map(|note| note.link_key)
    }

    /// The format of a job's pictures.
    pub fn format(&self, engine: &AnyEngine, id: JobId) -> PictureFormat {
        self.about(engine, id).1
    }

    /// The owner and the picture format of a job; nobody and PNG where nothing is known of it.
    fn about(&self, engine: &AnyEngine, id: JobId) -> (Owner, PictureFormat) {
        match engine {
            AnyEngine::Embedded(_) => {
                let entries = self.entries.lock();
                let entry = entries.jobs.iter().rev().find(|entry| entry.id == id);
                entry.map(|entry| (entry.owner.clone(), entry.format)).unwrap_or_default()
            }
            AnyEngine::Queue(gateway) => {
                let note = gateway.note(id).and_then(|note| Note::read(&note));
                note.map(|note| (note.owner, note.format)).unwrap_or_default()
            }
        }
    }
}

impl Entries {
    /// Adds a job, unless it is there or there is nothing to know about it.
    fn add(&mut self, id: JobId, owner: Owner, format: PictureFormat) {
        let is_needed = owner.is_known() || format != PictureFormat::default();
        if is_needed && !self.jobs.iter().rev().any(|entry| entry.id == id) {
            self.jobs.push(Entry { id, owner, format });
        }
    }

    /// Removes the jobs that the engine has dropped, whenever the number of entries has doubled.
    fn prune(&mut self, engine: &Engine) {
        let size = self.jobs.len().max(self.idempotency.len());
        if size >= PRUNE_FROM.max(2 * self.pruned_size) {
            self.jobs.retain(|entry| engine.contains(entry.id));
            self.idempotency.retain(|id| engine.contains(id));
            self.pruned_size = self.jobs.len().max(self.idempotency.len());
        }
    }
}

/// Gives a job to the workers of a queue.
async fn submit_to_queue(gateway: &Gateway, submission: Submission) -> Result<SubmittedJob, Problem> {
    let Submission { request, client, format, key, .. } = submission;
    let request = request.with_client(Some(client.engine_id()));
    let note = Note::new(client.owner(), format).to_text();
    let hashes = key.as_ref().map(|key| key.hashes(&client));
    let hashes = hashes.map(|hashes| (hex(&hashes.key), hex(&hashes.body)));
    match gateway.submit(queue::Submission { request, note, key: hashes }).await? {
        Submitted::New(id) => Ok(SubmittedJob { id, is_new: true }),
        Submitted::Earlier(id) => Ok(SubmittedJob::earlier(id)),
        // Only a submission with a key can repeat another.
        Submitted::KeyReused => Err(key.map_or_else(|| Problem::key_reused(""), |key| key.reused())),
    }
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 503: the store can't be read. Its reason is in the log.
fn unreadable(_: StoreError) -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "Kept generations can't be read at present. Try again later.",
    )
}

/// 410: the generation is kept, but its model isn't served as it was.
fn model_gone(stored: &StoredGeneration) -> Problem {
    let detail = format!(
        "The model {:?} that drew this generation isn't served any more, or has changed. Its pictures are in the gallery.",
        stored.model
    );
    Problem::new(StatusCode::GONE, detail)
}
