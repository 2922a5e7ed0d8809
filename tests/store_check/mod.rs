//! Checks the folder of a store.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use sha2::{Digest, Sha256};

/// The database of a store.
pub fn database(store: &Path) -> Connection {
    Connection::open(store.join("rdpm.sqlite")).unwrap()
}

/// Checks that the database is sound, and that each file is whole: its name is the hash of its content. Returns the names of the
/// files, and those that the database names.
pub fn check(store: &Path) -> (BTreeSet<String>, BTreeSet<String>) {
    let database = database(store);
    let sound: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let broken: usize =
        database.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0)).unwrap();
    assert_eq!(broken, 0);
    let sql = "SELECT file FROM pictures UNION SELECT events FROM generations WHERE events IS NOT NULL";
    let mut statement = database.prepare(sql).unwrap();
    let named = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    (files(store), named)
}

/// The names of the files, each of which is checked.
fn files(store: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in fs::read_dir(store.join("files")).unwrap() {
        for file in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let hash = Sha256::digest(fs::read(&path).unwrap());
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(path.file_name().unwrap().to_str(), Some(hash.as_str()), "a half-written file");
            names.insert(hash);
        }
    }
    names
}
