//! The database: opening it, and its migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

/// The statements that lead from each version of the schema to the next. They are never changed, only added to.
const MIGRATIONS: [&str; 1] = [include_str!("schema.sql")];
/// How long a statement waits for another process, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The name of the database's file in the store's folder.
pub(super) const DATABASE: &str = "rdpm.sqlite";

/// Opens the database for writing, creates it where there is none, and migrates it.
pub(super) fn open(folder: &Path) -> Result<Connection, StoreError> {
    let mut database = Connection::open(folder.join(DATABASE))?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    // Each commit reaches the disk. It costs drawing nothing: the store has its own thread.
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "foreign_keys", true)?;
    migrate(&mut database)?;
    Ok(database)
}

/// Opens the database for reading.
pub(super) fn open_for_reading(folder: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(folder.join(DATABASE), flags)?;
    database.busy_timeout(BUSY_TIMEOUT)?;
    Ok(database)
}

fn migrate(database: &mut Connection) -> Result<(), StoreError> {
    let version: usize = database.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > MIGRATIONS.len() {
        return Err(StoreError::NewerVersion);
    }
    for (at, statements) in MIGRATIONS.iter().enumerate().skip(version) {
        let migration = database.transaction()?;
        migration.execute_batch(statements)?;
        migration.pragma_update(None, "user_version", at + 1)?;
        migration.commit()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_again_keeps_the_schema() {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let database = open(folder.path()).unwrap();
            let version: usize = database.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
            assert_eq!(version, MIGRATIONS.len());
        }
    }

    #[test]
    fn database_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).unwrap().pragma_update(None, "user_version", MIGRATIONS.len() + 1).unwrap();
        assert!(matches!(open(folder.path()), Err(StoreError::NewerVersion)));
    }
}
