//! Generations as they are read from the store.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::StoreError;
use super::event_log::EventLog;
use super::files::{FileName, Files};
use super::owner::Owner;
use super::record::{Idempotency, Record, StoredRequest};
use crate::engine::{EndedJob, Event, FinishedImage, JobId, ModelHandle, Request, Snapshot, Status};
use crate::request::PictureFormat;

/// The columns of a generation.
const COLUMNS: &str =
    "id, owner_key, owner_token, model, request, status, created, started, ended, detail, events";

/// A generation that was read.
#[derive(Debug, Clone)]
pub struct StoredGeneration {
    pub id: JobId,
    pub owner: Owner,
    /// The name of the model that drew it.
    pub model: String,
    request: StoredRequest,
    status: Status,
    created: SystemTime,
    started: Option<SystemTime>,
    ended: Option<SystemTime>,
    detail: Option<String>,
    events_file: Option<String>,
    images: Vec<FinishedImage>,
    events: Vec<Arc<Event>>,
}

impl StoredGeneration {
    fn from_row(row: &Row<'_>) -> Result<Self, StoreError> {
        let invalid = |what: &str| StoreError::Invalid(what.to_owned());
        let (id, request, status): (String, String, String) = (row.get(0)?, row.get(4)?, row.get(5)?);
        let status = ENDED.into_iter().find(|ended| ended.as_str() == status).unwrap_or(Status::Queued);
        Ok(Self {
            id: id.parse().map_err(|_| invalid("its id"))?,
            owner: Owner { key: row.get(1)?, token: row.get(2)? },
            model: row.get(3)?,
            request: serde_json::from_str(&request).map_err(|_| invalid("its request"))?,
            status,
            created: time(row.get(6)?),
            started: row.get::<_, Option<i64>>(7)?.map(time),
            ended: row.get::<_, Option<i64>>(8)?.map(time),
            detail: row.get(9)?,
            events_file: row.get(10)?,
            images: Vec::new(),
            events: Vec::new(),
        })
    }

    /// Whether it has ended; otherwise it waits or is drawn.
    pub fn has_ended(&self) -> bool {
        self.status.is_terminal()
    }

    /// Its job and the format of its pictures. `None` if these models, those that are served now, can't have drawn it.
    pub fn request(&self, models: &[ModelHandle]) -> Option<(Request, PictureFormat)> {
        let StoredRequest { request, pictures } = self.request.clone();
        Some((request.read(models).ok()?, pictures))
    }

    /// The state of its job, with the images that were read.
    pub fn snapshot(&self, request: Request) -> Snapshot {
        Snapshot {
            id: self.id,
            request,
            status: self.status,
            queue_position: None,
            created: self.created,
            started: self.started,
            ended: self.ended,
            detail: self.detail.clone().map(Cow::Owned),
            images: self.images.clone(),
            last_event: self.events.len() as u64,
        }
    }

    /// Its job for an engine.
    pub fn into_ended(self, request: Request) -> EndedJob {
        EndedJob { snapshot: self.snapshot(request), events: self.events }
    }

    /// When it was accepted.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// A record of it, to be written at its end.
    pub(super) fn record(&self) -> Record {
        Record {
            owner: self.owner.clone(),
            model: self.model.clone(),
            request: serde_json::to_string(&self.request).unwrap_or_default(),
            resumable: true,
            idempotency: None,
        }
    }
}

const ENDED: [Status; 3] = [Status::Completed, Status::Failed, Status::Canceled];

fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(milliseconds).unwrap_or_default())
}

/// An ended generation with its images and events.
pub(super) fn load(
    database: &Connection,
    files: &Files,
    id: JobId,
) -> Result<Option<StoredGeneration>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM generations WHERE id = ?1 AND status <> 'accepted'");
    let mut statement = database.prepare(&sql)?;
    let mut rows = statement.query([id.to_string()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut generation = StoredGeneration::from_row(row)?;
    let sql = "SELECT image, file FROM pictures WHERE generation = ?1 AND deleted IS NULL ORDER BY image";
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query([id.to_string()])?;
    while let Some(row) = rows.next()? {
        let name: FileName = row.get::<_, String>(1)?.parse()?;
        let (index, png) = (row.get(0)?, files.read(&name)?.into());
        generation.images.push(FinishedImage { index, png, tokens: None });
    }
    let events = match &generation.events_file {
        Some(name) => {
            let EventLog { events, tokens } = EventLog::decode(&files.read(&name.parse()?)?)?;
            for image in &mut generation.images {
                let grids = tokens.iter().find(|(index, _)| *index == image.index);
                image.tokens = grids.map(|(_, grids)| grids.as_slice().into());
            }
            events
        }
        None => vec![Arc::new(last_event(&generation))],
    };
    generation.events = without_deleted(events, &generation.images);
    Ok(Some(generation))
}

/// The only event of a generation whose events were not written.
fn last_event(generation: &StoredGeneration) -> Event {
    match generation.status {
        Status::Canceled => Event::Canceled,
        Status::Completed => Event::Completed,
        _ => Event::Failed { detail: generation.detail.clone().unwrap_or_default().into() },
    }
}

/// The events without the steps of pictures that were deleted. The numbers of the events stay.
fn without_deleted(events: Vec<Arc<Event>>, images: &[FinishedImage]) -> Vec<Arc<Event>> {
    let is_completed = events.last().is_some_and(|last| **last == Event::Completed);
    if !is_completed {
        return events;
    }
    let kept = |event: Arc<Event>| match &*event {
        Event::Step(progress) => {
            let mut progress = progress.clone();
            progress.images.retain(|image| images.iter().any(|kept| kept.index == image.index));
            Arc::new(Event::Step(progress))
        }
        _ => event,
    };
    events.into_iter().map(kept).collect()
}

/// The generations that were accepted and have not ended, the oldest first.
pub(super) fn pending(database: &Connection) -> Result<Vec<StoredGeneration>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM generations WHERE status = 'accepted' ORDER BY created, rowid");
    collect(database, &sql, [])
}

/// An owner's generations, the newest first, without images and events.
pub(super) fn list(
    database: &Connection,
    owner: &Owner,
    limit: u32,
) -> Result<Vec<StoredGeneration>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM generations WHERE owner_key IS ?1 AND owner_token IS ?2
         ORDER BY created DESC, rowid DESC LIMIT ?3"
    );
    collect(database, &sql, params![owner.key, owner.token, limit])
}

fn collect(
    database: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<StoredGeneration>, StoreError> {
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query(parameters)?;
    let mut generations = Vec::new();
    while let Some(row) = rows.next()? {
        generations.push(StoredGeneration::from_row(row)?);
    }
    Ok(generations)
}

/// The generation that a request with this key made, its body, and whether it has ended.
pub(super) fn find_key(
    database: &Connection,
    idempotency: &Idempotency,
) -> Result<Option<(JobId, bool, bool)>, StoreError> {
    let sql = "SELECT id, body_hash, status <> 'accepted' FROM generations WHERE idempotency_key = ?1";
    let found: Option<(String, Vec<u8>, bool)> = database
        .prepare(sql)?
        .query_row([&idempotency.key[..]], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, body, has_ended)) = found else { return Ok(None) };
    let id = id.parse().map_err(|_| StoreError::Invalid("its id".into()))?;
    Ok(Some((id, body == idempotency.body, has_ended)))
}
