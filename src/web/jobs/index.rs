//! The client and the picture format of each job.
//!
//! An entry lives at most as long as its job in the engine, so memory is bounded by the engine's own limits.

use parking_lot::Mutex;

use super::idempotency::{IdempotencyKey, IdempotencyStore};
use super::note::{Note, Owner};
use crate::engine::{Engine, JobId, Request};
use crate::queue::{AnyEngine, Submission, Submitted};
use crate::request::PictureFormat;
use crate::web::access::Client;
use crate::web::problem::Problem;

/// With fewer entries than this, expired ones aren't looked for.
const PRUNE_FROM: usize = 512;

/// Jobs by client and by `Idempotency-Key`.
#[derive(Debug, Default)]
pub(in crate::web) struct JobIndex(Mutex<Entries>);

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
    client: Client,
    format: PictureFormat,
}

impl JobIndex {
    /// Submits a job, or finds the one that an earlier request with the same key made.
    ///
    /// # Errors
    /// 422 where the key was used with another body before; the errors of [`AnyEngine::submit`].
    pub async fn submit(
        &self,
        engine: &AnyEngine,
        request: Request,
        client: Client,
        format: PictureFormat,
        key: Option<IdempotencyKey>,
    ) -> Result<JobId, Problem> {
        match engine {
            AnyEngine::Embedded(engine) => self.submit_to(engine, request, client, format, key),
            AnyEngine::Queue(gateway) => {
                let request = request.with_client(Some(client.engine_id()));
                let note = Note::new(&client, format).to_text();
                let name = key.as_ref().map(|key| key.name().to_owned());
                let key = key.map(|key| key.hashes(&client));
                match gateway.submit(Submission { request, note, key }).await? {
                    Submitted::Job(id) => Ok(id),
                    Submitted::KeyReused => Err(Problem::key_reused(&name.unwrap_or_default())),
                }
            }
        }
    }

    fn submit_to(
        &self,
        engine: &Engine,
        request: Request,
        client: Client,
        format: PictureFormat,
        key: Option<IdempotencyKey>,
    ) -> Result<JobId, Problem> {
        // Held while the job is submitted, so that two requests with one key can't both submit.
        let mut entries = self.0.lock();
        if let Some(key) = &key
            && let Some(id) = entries.idempotency.find(&client, key, |id| engine.contains(id))?
        {
            return Ok(id);
        }
        let id = engine.submit(request.with_client(Some(client.engine_id())))?;
        if let Some(key) = key {
            entries.idempotency.insert(client.clone(), key, id);
        }
        if client.is_known() || format != PictureFormat::default() {
            entries.jobs.push(Entry { id, client, format });
        }
        entries.prune(engine);
        Ok(id)
    }

    /// A client's jobs, newest first.
    pub fn jobs_of(&self, engine: &AnyEngine, client: &Client) -> Vec<JobId> {
        if let AnyEngine::Queue(gateway) = engine {
            let own = Owner::new(client);
            let is_own = |note: &str| Note::read(note).is_some_and(|note| note.owner == own);
            return gateway.notes().into_iter().filter(|(_, note)| is_own(note)).map(|(id, _)| id).collect();
        }
        let entries = self.0.lock();
        entries.jobs.iter().rev().filter(|entry| entry.client == *client).map(|entry| entry.id).collect()
    }

    /// Whether a client may cancel a job: everybody may who knows the id of one whose client was not known.
    pub fn may_cancel(&self, engine: &AnyEngine, client: &Client, id: JobId) -> bool {
        if let AnyEngine::Queue(gateway) = engine {
            let owner = gateway.note(id).and_then(|note| Note::read(&note)).map(|note| note.owner);
            return owner.is_none_or(|owner| owner.may_be_canceled_by(client));
        }
        let entries = self.0.lock();
        let entry = entries.jobs.iter().rev().find(|entry| entry.id == id);
        entry.is_none_or(|entry| !entry.client.is_known() || client.may_cancel(&entry.client))
    }

    /// The key that signs links to a job's pictures in all processes; `None` where only one has the job.
    pub fn link_key(&self, engine: &AnyEngine, id: JobId) -> Option<String> {
        let AnyEngine::Queue(gateway) = engine else { return None };
        gateway.note(id).and_then(|note| Note::read(&note)).map(|note| note.link_key)
    }

    /// The format of a job's pictures.
    pub fn format(&self, engine: &AnyEngine, id: JobId) -> PictureFormat {
        if let AnyEngine::Queue(gateway) = engine {
            let note = gateway.note(id).and_then(|note| Note::read(&note));
            return note.map(|note| note.format()).unwrap_or_default();
        }
        let entries = self.0.lock();
        let entry = entries.jobs.iter().rev().find(|entry| entry.id == id);
        entry.map(|entry| entry.format).unwrap_or_default()
    }
}

impl Entries {
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
