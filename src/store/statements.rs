//! The statements that write.

use std::time::SystemTime;

use rusqlite::{Connection, Transaction, params};

use super::error::StoreError;
use super::files::{FileName, WrittenFiles};
use super::queue::{Change, PictureChange};
use super::record::{Record, milliseconds};
use crate::engine::{EndedJob, JobId, Request};
use crate::model::SamplingSettings;

/// Prepares the rows of an earlier process: those that nobody waits for any more are removed, those that were tried too
/// often fail, the others are to be drawn again.
pub(super) fn begin_process(
    database: &Connection,
    max_attempts: u32,
    detail: &str,
) -> Result<(), StoreError> {
    database.execute("DELETE FROM generations WHERE status = 'accepted' AND NOT resumable", [])?;
    database.execute(
        "UPDATE generations SET status = 'failed', detail = ?1, ended = ?2
         WHERE status = 'accepted' AND attempts >= ?3",
        params![detail, milliseconds(SystemTime::now()), max_attempts],
    )?;
    Ok(())
}

/// Whether a row names a file.
pub(super) fn is_named(database: &Connection, name: &FileName) -> Result<bool, StoreError> {
    let mut statement = database.prepare(
        "SELECT EXISTS (SELECT 1 FROM pictures WHERE file = ?1)
             OR EXISTS (SELECT 1 FROM generations WHERE events = ?1)",
    )?;
    Ok(statement.query_row([name.as_str()], |row| row.get(0))?)
}

/// Writes that a job was accepted.
pub(super) fn accept(
    transaction: &Transaction<'_>,
    id: JobId,
    created: SystemTime,
    record: &Record,
) -> Result<bool, StoreError> {
    release_key(transaction, id, record)?;
    let mut statement = transaction.prepare(
        "INSERT INTO generations (id, owner_key, owner_token, model, request, status, resumable, created,
             idempotency_key, body_hash)
         VALUES (?1, ?2, ?3, ?4, ?5, 'accepted', ?6, ?7, ?8, ?9) ON CONFLICT (id) DO NOTHING",
    )?;
    let Record { owner, model, request, resumable, idempotency } = record;
    let changed = statement.execute(params![
        id.to_string(),
        owner.key,
        owner.token,
        model,
        request,
        resumable,
        milliseconds(created),
        idempotency.map(|idempotency| idempotency.key),
        idempotency.map(|idempotency| idempotency.body),
    ])?;
    Ok(changed > 0)
}

/// Writes that a process begins to draw a job.
pub(super) fn start(transaction: &Transaction<'_>, id: JobId) -> Result<bool, StoreError> {
    let sql = "UPDATE generations SET attempts = attempts + 1 WHERE id = ?1 AND status = 'accepted'";
    Ok(transaction.execute(sql, [id.to_string()])? > 0)
}

/// Takes the idempotency key from a generation that can't be read any more.
fn release_key(transaction: &Transaction<'_>, id: JobId, record: &Record) -> Result<(), StoreError> {
    if let Some(idempotency) = &record.idempotency {
        let sql = "UPDATE generations SET idempotency_key = NULL WHERE idempotency_key = ?1 AND id <> ?2";
        transaction.prepare(sql)?.execute(params![idempotency.key, id.to_string()])?;
    }
    Ok(())
}

/// Writes that a job has ended.
pub(super) fn finish(
    transaction: &Transaction<'_>,
    record: &Record,
    job: &EndedJob,
    files: &WrittenFiles,
) -> Result<bool, StoreError> {
    let snapshot = &job.snapshot;
    // It may be missing, for example because the disk was full when the job was accepted.
    accept(transaction, snapshot.id, snapshot.created, record)?;
    let bytes = record.request.len() + files.events.1;
    let bytes = bytes + files.pictures.iter().map(|(_, size)| size).sum::<usize>();
    let mut statement = transaction.prepare(
        "UPDATE generations SET status = ?2, created = ?3, started = ?4, ended = ?5, detail = ?6, events = ?7,
             bytes = ?8, pictures = ?9
         WHERE id = ?1 AND status = 'accepted'",
    )?;
    let changed = statement.execute(params![
        snapshot.id.to_string(),
        snapshot.status.as_str(),
        milliseconds(snapshot.created),
        snapshot.started.map(milliseconds),
        snapshot.ended.map(milliseconds),
        snapshot.detail,
        files.events.0.as_str(),
        bytes,
        files.pictures.len(),
    ])?;
    if changed == 0 {
        return Ok(false);
    }
    let created = milliseconds(snapshot.ended.unwrap_or(snapshot.created));
    for (image, (file, size)) in snapshot.images.iter().zip(&files.pictures) {
        let picture = Picture::new(&snapshot.request, image.index);
        let gallery = record.owner.gallery();
        let mut statement = transaction.prepare(
            "INSERT INTO pictures (generation, image, owner, model, class, style, words, seed, created, file, bytes)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        statement.execute(params![
            snapshot.id.to_string(),
            image.index,
            gallery,
            record.model,
            picture.class,
            picture.style,
            picture.words,
            snapshot.request.seed(),
            created,
            file.as_str(),
            size,
        ])?;
        let number = transaction.last_insert_rowid();
        insert_text(transaction, number, gallery.as_deref(), &picture.text(&record.model))?;
    }
    Ok(true)
}

/// What a picture shows.
struct Picture<'a> {
    class: &'a str,
    style: Option<&'a str>,
    words: Option<&'a str>,
}

impl<'a> Picture<'a> {
    fn new(request: &'a Request, index: u32) -> Self {
        let (config, settings, seed) = (&request.model().config, request.settings(), request.seed());
        let options = settings.options();
        let drawn = |text: for<'c> fn(&SamplingSettings, &'c _, u64, u32) -> Option<&'c str>| {
            text(settings, config, seed, index)
        };
        Self {
            class: config.classes.get(settings.class()).map_or("", String::as_str),
            style: options.style.as_deref().or_else(|| drawn(SamplingSettings::drawn_style)),
            words: options.prompt.as_deref().or_else(|| drawn(SamplingSettings::subject)),
        }
    }

    fn text(&self, model: &str) -> String {
        let parts = [self.words, self.style, Some(self.class), Some(model)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Makes a picture's text searchable in its owner's gallery.
pub(super) fn insert_text(
    transaction: &Transaction<'_>,
    number: i64,
    gallery: Option<&str>,
    text: &str,
) -> Result<(), StoreError> {
    if let Some(gallery) = gallery {
        let sql = "INSERT INTO picture_text (rowid, owner, text) VALUES (?1, ?2, ?3)";
        transaction.prepare(sql)?.execute(params![number, owner_word(gallery), text])?;
    }
    Ok(())
}

/// A gallery's owner as one word of the search index.
pub(super) fn owner_word(gallery: &str) -> String {
    use sha2::{Digest, Sha256};
    super::files::hex(&Sha256::digest(gallery)[..16])
}

/// Writes that a job of an earlier process can't be drawn.
pub(super) fn abandon(transaction: &Transaction<'_>, id: JobId, detail: &str) -> Result<bool, StoreError> {
    let sql = "UPDATE generations SET status = 'failed', detail = ?2, ended = ?3
               WHERE id = ?1 AND status = 'accepted'";
    let now = milliseconds(SystemTime::now());
    Ok(transaction.execute(sql, params![id.to_string(), detail, now])? > 0)
}

/// Changes a picture of a gallery. Returns whether there is one.
pub(super) fn change(transaction: &Transaction<'_>, change: &Change) -> Result<bool, StoreError> {
    let Change { gallery, generation, image, kind } = change;
    let generation = generation.to_string();
    let (column, value, condition) = match kind {
        PictureChange::Favourite(favourite) => ("favourite", Some(i64::from(*favourite)), "deleted IS NULL"),
        PictureChange::Delete => ("deleted", Some(milliseconds(SystemTime::now())), "deleted IS NULL"),
        PictureChange::Restore => ("deleted", None, "deleted IS NOT NULL"),
    };
    // Nothing of a client is in the statement's text.
    let sql = format!(
        "UPDATE pictures SET {column} = ?4 WHERE owner = ?1 AND generation = ?2 AND image = ?3 AND {condition}"
    );
    let changed = transaction.prepare(&sql)?.execute(params![gallery, generation, image, value])?;
    let sql = "UPDATE generations SET favourites = (
                   SELECT count(*) FROM pictures WHERE generation = ?1 AND favourite = 1 AND deleted IS NULL
               ) WHERE id = ?1";
    transaction.prepare(sql)?.execute([generation])?;
    Ok(changed > 0)
}

/// The pictures and the bytes of the store.
pub(super) fn totals(database: &Connection) -> Result<(i64, i64), StoreError> {
    let sql = "SELECT COALESCE(SUM(pictures), 0), COALESCE(SUM(bytes), 0) FROM generations";
    Ok(database.prepare(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Writes to the database without changing it.
pub(super) fn probe(database: &Connection) -> Result<(), StoreError> {
    let sql = "UPDATE generations SET attempts = attempts
               WHERE rowid = (SELECT max(rowid) FROM generations)";
    database.execute(sql, [])?;
    let version: i64 = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    database.pragma_update(None, "user_version", version)?;
    Ok(())
}
