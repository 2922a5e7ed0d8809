//! The cache of pulled models: a folder for each address, with a folder for each version of its model.
//!
//! | in the folder of an address | |
//! |---|---|
//! | `address` | the address, for people |
//! | `current` | the name of the version that was pulled last |
//! | `0123456789abcdef/` | a complete version, named by the hash of its `SHA256SUMS` |
//! | `part/` | a version that is being downloaded |
//! | `lock` | locked by the process that pulls |
//!
//! The version before the current one is kept, and each one that a process uses.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use tempfile::NamedTempFile;

use super::address::Address;
use super::checksum_list::{ChecksumList, LIST_FILE};
use super::client::{Client, Unreachable};
use super::hash::FileHash;
use super::lock::{Lock, is_used, keep_used};
use super::report::{inform, warn};
use super::staging::{Staging, fetch_list, publish};

/// Bytes that the files of a model may have together, unless `--max-bytes` says otherwise: 8 GiB.
pub const MAX_BYTES: u64 = 8 << 30;
/// Digits of the hash that names a version.
const VERSION_DIGITS: usize = 16;

/// The folder of the cache: that of `--cache`, or else the user's.
///
/// # Errors
/// If the user has no folder for it.
pub fn cache_folder(setting: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(folder) = setting {
        return std::path::absolute(folder).with_context(|| format!("{} can't be used", folder.display()));
    }
    let xdg = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = || std::env::home_dir().filter(|folder| folder.is_absolute()).map(|home| home.join(".cache"));
    match xdg.or_else(home) {
        Some(folder) => Ok(folder.join("rdpm")),
        None => bail!("there is no folder for pulled models; set --cache or RDPM_CACHE"),
    }
}

/// What the cache has of an address.
pub struct CachedModel<'a> {
    address: &'a Address,
    folder: PathBuf,
}

impl<'a> CachedModel<'a> {
    /// The folder need not exist.
    pub fn new(cache: &Path, address: &'a Address) -> Self {
        Self { address, folder: cache.join(address.folder_name()) }
    }

    /// Brings the copy up to date, checks the content of its files, and returns its folder.
    ///
    /// # Errors
    /// If the server can't be reached, if the model is invalid or too large, and if the cache can't be written.
    pub fn pull(&self, max_bytes: u64) -> anyhow::Result<PathBuf> {
        let _lock = self.lock()?;
        self.update(max_bytes, ChecksumList::is_intact_in)
    }

    /// Brings the copy up to date and returns its folder, which stays as long as this process lives. If the server can't be
    /// reached, it is that of the last complete copy.
    ///
    /// # Errors
    /// As [`pull`](Self::pull); if the server can't be reached, only if there is no copy of the pinned version or, without a pin,
    /// of any.
    pub fn use_folder(&self) -> anyhow::Result<PathBuf> {
        let _lock = self.lock()?;
        let folder = match self.update(MAX_BYTES, ChecksumList::is_in) {
            Err(error) if error.is::<Unreachable>() => match self.current() {
                Some(folder) if self.address.pin().is_none() => {
                    let (address, folder_name) = (self.address, folder.display());
                    warn(format!("{address} can't be pulled; the copy in {folder_name} is used: {error:#}"));
                    folder
                }
                _ => return Err(error),
            },
            updated => updated?,
        };
        keep_used(&folder.join(LIST_FILE));
        Ok(folder)
    }

    fn lock(&self) -> anyhow::Result<Lock> {
        Lock::acquire(&self.folder.join("lock"))
    }

    /// Downloads what is new, and returns the folder of the version that the server has.
    fn update(
        &self,
        max_bytes: u64,
        is_complete: impl Fn(&ChecksumList, &Path) -> bool,
    ) -> anyhow::Result<PathBuf> {
        let is_there = |hash: FileHash| {
            let folder = self.version(hash);
            let list = ChecksumList::of_folder(&folder).filter(|list| list.hash == hash);
            list.is_some_and(|list| is_complete(&list, &folder))
        };
        // What a pinned version contains is known without the server.
        if let Some(pin) = self.address.pin().filter(|pin| is_there(*pin)) {
            return Ok(self.version(pin));
        }
        let client = Client::new(self.address);
        let list = fetch_list(&client, self.address)?;
        let folder = self.version(list.hash);
        if !is_there(list.hash) {
            let part = self.folder.join("part");
            let earlier = self.versions();
            let (client, address) = (&client, self.address);
            Staging { client, address, list: &list, folder: part.clone(), earlier, max_bytes }.fill()?;
            publish(&part, &folder)?;
            self.write("address", &format!("{address}\n"))?;
            inform(format!("{address} was pulled into {}", folder.display()));
        }
        let before = self.current();
        if before.as_ref() != Some(&folder) {
            self.write("current", &format!("{}\n", list.hash.short(VERSION_DIGITS)))?;
            self.remove_versions_except(&[Some(&folder), before.as_ref()]);
        }
        Ok(folder)
    }

    /// The folder of a version.
    fn version(&self, hash: FileHash) -> PathBuf {
        self.folder.join(hash.short(VERSION_DIGITS))
    }

    /// The folder of the version that was pulled last, if it is complete.
    fn current(&self) -> Option<PathBuf> {
        let name = fs::read_to_string(self.folder.join("current")).ok()?;
        let folder = self.folder.join(name.trim_end());
        let list = ChecksumList::of_folder(&folder)?;
        (self.version(list.hash) == folder && list.is_in(&folder)).then_some(folder)
    }

    /// The folders of all versions.
    fn versions(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.join(LIST_FILE).is_file()).collect()
    }

    /// Removes old versions that no process uses. They are only in the way if that fails.
    fn remove_versions_except(&self, kept: &[Option<&PathBuf>]) {
        for folder in self.versions() {
            let is_part = folder.ends_with("part");
            if !is_part && !kept.contains(&Some(&folder)) && !is_used(&folder.join(LIST_FILE)) {
                let _ = fs::remove_dir_all(&folder);
            }
        }
    }

    /// Writes a small file at once.
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        let written = NamedTempFile::new_in(&self.folder).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)
        });
        written.map(drop).with_context(|| format!("{} can't be written", path.display()))
    }
}
