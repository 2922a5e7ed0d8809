//! What is removed: generations that ended too long ago, the oldest ones beyond the limits, and pictures that were deleted.
//! Generations with a favourite stay.

use rusqlite::{Connection, Transaction, params};

use super::error::StoreError;
use super::files::{FileName, Files};
use super::options::Options;
use super::statements::is_named;

/// Generations that are removed in one transaction.
const BATCH: i64 = 200;

/// Removes what exceeds the limits at the time `now`.
pub(super) fn prune(
    database: &mut Connection,
    files: &Files,
    options: &Options,
    now: i64,
) -> Result<(), StoreError> {
    let undo = i64::try_from(options.undo.as_millis()).unwrap_or(i64::MAX);
    remove_deleted(database, files, now.saturating_sub(undo))?;
    if let Some(age) = options.max_age {
        let oldest = now.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        loop {
            let sql = "SELECT id FROM generations
                       WHERE favourites = 0 AND status <> 'accepted' AND ended < ?1 ORDER BY ended LIMIT ?2";
            let ids = texts(database, sql, params![oldest, BATCH])?;
            if ids.is_empty() {
                break;
            }
            remove(database, files, &ids)?;
        }
    }
    loop {
        let sql = "SELECT COALESCE(SUM(pictures), 0), COALESCE(SUM(bytes), 0) FROM generations
                   WHERE favourites = 0 AND status <> 'accepted'";
        let (pictures, bytes): (u64, u64) =
            database.prepare(sql)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let pictures = pictures.saturating_sub(options.max_pictures.unwrap_or(u64::MAX));
        let bytes = bytes.saturating_sub(options.max_bytes.unwrap_or(u64::MAX));
        if pictures == 0 && bytes == 0 {
            return Ok(());
        }
        let ids = oldest(database, pictures, bytes)?;
        if ids.is_empty() {
            return Ok(());
        }
        remove(database, files, &ids)?;
    }
}

/// The oldest generations that have together at least so many pictures and bytes, or the first of these.
fn oldest(database: &Connection, mut pictures: u64, mut bytes: u64) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT id, pictures, bytes FROM generations
               WHERE favourites = 0 AND status <> 'accepted' ORDER BY ended LIMIT ?1";
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query([BATCH])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()?
        && (pictures > 0 || bytes > 0)
    {
        ids.push(row.get(0)?);
        pictures = pictures.saturating_sub(row.get(1)?);
        bytes = bytes.saturating_sub(row.get(2)?);
    }
    Ok(ids)
}

/// Removes pictures that were deleted before a time, and generations that have none left.
fn remove_deleted(database: &mut Connection, files: &Files, before: i64) -> Result<(), StoreError> {
    let mut candidates = Vec::new();
    let transaction = database.transaction()?;
    let sql = "SELECT DISTINCT generation FROM pictures WHERE deleted < ?1";
    let generations = texts(&transaction, sql, [before])?;
    for id in generations {
        let sql = "SELECT file FROM pictures WHERE generation = ?1 AND deleted < ?2";
        candidates.extend(texts(&transaction, sql, params![id, before])?);
        transaction
            .execute("DELETE FROM pictures WHERE generation = ?1 AND deleted < ?2", params![id, before])?;
        let sql = "SELECT events FROM generations WHERE id = ?1 AND events IS NOT NULL
                       AND NOT EXISTS (SELECT 1 FROM pictures WHERE generation = ?1)";
        candidates.extend(texts(&transaction, sql, [&id])?);
        transaction.execute(
            "DELETE FROM generations WHERE id = ?1
                 AND NOT EXISTS (SELECT 1 FROM pictures WHERE generation = ?1)",
            [&id],
        )?;
        transaction.execute(
            "UPDATE generations SET pictures = (SELECT count(*) FROM pictures WHERE generation = ?1) WHERE id = ?1",
            [&id],
        )?;
    }
    transaction.commit()?;
    remove_files(database, files, &candidates)
}

/// Removes generations with their pictures.
fn remove(database: &mut Connection, files: &Files, ids: &[String]) -> Result<(), StoreError> {
    let mut candidates = Vec::new();
    let transaction = database.transaction()?;
    for id in ids {
        candidates.extend(files_of(&transaction, id)?);
        transaction.prepare("DELETE FROM generations WHERE id = ?1")?.execute([id])?;
    }
    transaction.commit()?;
    remove_files(database, files, &candidates)
}

fn files_of(transaction: &Transaction<'_>, id: &str) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT file FROM pictures WHERE generation = ?1
               UNION SELECT events FROM generations WHERE id = ?1 AND events IS NOT NULL";
    texts(transaction, sql, [id])
}

/// Removes the files that no row names any more.
fn remove_files(database: &Connection, files: &Files, candidates: &[String]) -> Result<(), StoreError> {
    for name in candidates {
        let Ok(name) = name.parse::<FileName>() else { continue };
        if !is_named(database, &name)? {
            files.remove(&name)?;
        }
    }
    Ok(())
}

fn texts(
    database: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<String>, StoreError> {
    let mut statement = database.prepare(sql)?;
    let texts = statement.query_map(parameters, |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(texts)
}
