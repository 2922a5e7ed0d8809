//! A backup: a copy of the store at one moment, made while it is used.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::files::{FileName, Files};
use super::schema::{self, DATABASE};

/// How long to wait where the database is locked.
const PAUSE: Duration = Duration::from_millis(5);

/// Copies the store in a folder to another, which must not exist or be empty; a server may use the store meanwhile. The copy
/// is a store. Returns the number of files.
///
/// # Errors
/// [`StoreError`] where there is no store, the target isn't empty, or something can't be read or written.
pub fn backup(store: &Path, target: &Path) -> Result<usize, StoreError> {
    fs::create_dir_all(target)?;
    if fs::read_dir(target)?.next().is_some() {
        let error = format!("{} is not empty", target.display());
        return Err(std::io::Error::new(std::io::ErrorKind::AlreadyExists, error).into());
    }
    let source = schema::open_for_reading(store)?;
    let mut copy = Connection::open(target.join(DATABASE))?;
    {
        let pages = Backup::new(&source, &mut copy)?;
        // All pages at once: writers go on meanwhile, and the copy isn't begun again when they change a page.
        while !matches!(pages.step(-1)?, StepResult::Done) {
            std::thread::sleep(PAUSE);
        }
    }
    let (source_files, files) = (Files::new(store), Files::new(target));
    files.create()?;
    let names = names(&copy)?;
    for name in &names {
        match source_files.read(name) {
            Ok(content) => drop(files.write(&content)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => forget(&copy, name)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(names.len())
}

/// The files that the rows name.
fn names(database: &Connection) -> Result<BTreeSet<FileName>, StoreError> {
    let sql = "SELECT file FROM pictures UNION SELECT events FROM generations WHERE events IS NOT NULL";
    let mut statement = database.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut names = BTreeSet::new();
    while let Some(row) = rows.next()? {
        names.insert(row.get::<_, String>(0)?.parse()?);
    }
    Ok(names)
}

/// Removes the rows of a file that retention has removed since the database was copied.
fn forget(copy: &Connection, name: &FileName) -> Result<(), StoreError> {
    copy.execute("DELETE FROM pictures WHERE file = ?1", [name.as_str()])?;
    copy.execute("DELETE FROM generations WHERE events = ?1", [name.as_str()])?;
    Ok(())
}
