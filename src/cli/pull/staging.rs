//! A model's folder while it is put together, out of sight, and how it then gets its place.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail, ensure};
use rdpm::model::Config;
use ureq::http::{StatusCode, header};

use super::address::Address;
use super::checksum_list::{ChecksumList, LIST_FILE, ListedFile, MAX_LIST, PART, VALIDATOR};
use super::client::{Client, body_error, text};
use super::download::{Download, with_retries};
use super::hash::FileHash;

/// How to make the list, for whoever publishes a model.
const HOW_TO: &str = "sha256sum $(find . -type f ! -name SHA256SUMS | sed 's|^\\./||') > SHA256SUMS";

/// Downloads the list of a model's files.
///
/// # Errors
/// If the server can't be reached, if there is no valid list, and if its hash is not the pinned one.
pub fn fetch_list(client: &Client, address: &Address) -> anyhow::Result<ChecksumList> {
    let content = with_retries(|| fetch_list_once(client, address))?;
    if let Some(pin) = address.pin() {
        let hash = FileHash::of(&content);
        ensure!(
            hash == pin,
            "{} has the hash {hash} instead of {pin}, which is pinned",
            address.file(LIST_FILE)
        );
    }
    ChecksumList::parse(&content).with_context(|| address.to_string())
}

fn fetch_list_once(client: &Client, address: &Address) -> anyhow::Result<Vec<u8>> {
    let url = address.file(LIST_FILE);
    let mut response = client.get(address, LIST_FILE, None)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => bail!("{url} does not exist (404). Make it in the model's folder: {HOW_TO}"),
        status => bail!("{url} is answered with status {}", status.as_u16()),
    }
    let kind = text(response.headers(), header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    ensure!(!kind.starts_with("text/html"), "{url} is answered with a web page instead of a list of files");
    let announced = response.body().content_length();
    let mut content = Vec::new();
    // One byte more than allowed, so that a longer list is noticed.
    let read = response.body_mut().as_reader().take(MAX_LIST + 1).read_to_end(&mut content);
    read.map_err(|error| body_error(error, LIST_FILE))?;
    ensure!(
        content.len() as u64 <= MAX_LIST && announced.is_none_or(|length| length <= MAX_LIST),
        "{url} has more than {MAX_LIST} bytes"
    );
    Ok(content)
}

/// A folder beside the one that a model gets.
pub struct Staging<'a> {
    pub client: &'a Client,
    pub address: &'a Address,
    pub list: &'a ChecksumList,
    pub folder: PathBuf,
    /// Folders that may have some of the files.
    pub earlier: Vec<PathBuf>,
    /// Bytes that all files may have together.
    pub max_bytes: u64,
}

impl Staging<'_> {
    /// Puts all files of the list into the folder: those that are there from an interrupted attempt, those of earlier folders,
    /// and then those of the server. The configuration is checked before the other files are downloaded.
    ///
    /// # Errors
    /// If a file can't be downloaded or written, if the files are too large, and if the configuration is not a model's.
    pub fn fill(&self) -> anyhow::Result<()> {
        fs::create_dir_all(&self.folder).with_context(|| self.not_written())?;
        self.remove_others(&self.folder, "").with_context(|| self.not_written())?;
        let (mut size, mut is_checked) = (0, false);
        for file in &self.list.files {
            if !is_checked && !file.is_configuration() {
                self.check()?;
                is_checked = true;
            }
            size += self.add(file, self.max_bytes - size)?;
            ensure!(
                size <= self.max_bytes,
                "the model is too large: its files have more bytes than --max-bytes of `rdpm pull` allows"
            );
        }
        self.check()?;
        fs::write(self.folder.join(LIST_FILE), &self.list.text).with_context(|| self.not_written())
    }

    /// Adds a file of at most `limit` bytes, and returns its size.
    fn add(&self, file: &ListedFile, limit: u64) -> anyhow::Result<u64> {
        let path = self.folder.join(&file.name);
        let is_right = |path: &Path| FileHash::of_file(path).is_ok_and(|hash| hash == file.hash);
        if !is_right(&path) {
            let earlier = self.earlier.iter().map(|folder| folder.join(&file.name));
            match earlier.into_iter().find(|path| is_right(path)) {
                Some(earlier) => copy(&earlier, &path).with_context(|| self.not_written())?,
                None => {
                    Download::new(self.client, self.address, file, &self.folder, limit).run()?;
                }
            }
        }
        Ok(fs::metadata(&path).with_context(|| self.not_written())?.len())
    }

    /// Checks that the files are those of a model that this program can read.
    fn check(&self) -> anyhow::Result<()> {
        let hidden = format!("{}{}", self.folder.display(), std::path::MAIN_SEPARATOR);
        let address = format!("{}/", self.address.to_string().trim_end_matches('/'));
        let config = Config::read(&self.folder);
        // The folder is none that the user knows.
        config.map(drop).map_err(|error| anyhow!("{}", error.to_string().replace(&hidden, &address)))
    }

    /// Removes what an attempt with another list has left.
    fn remove_others(&self, folder: &Path, prefix: &str) -> io::Result<()> {
        let names: HashSet<&str> = self.list.files.iter().map(|file| file.name.as_str()).collect();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                if names.contains(name.as_str()) {
                    fs::remove_dir_all(entry.path())?;
                } else {
                    self.remove_others(&entry.path(), &format!("{name}/"))?;
                    // It stays if it is not empty.
                    let _ = fs::remove_dir(entry.path());
                }
            } else {
                let whole = name.strip_suffix(PART).or(name.strip_suffix(VALIDATOR)).unwrap_or(&name);
                if !names.contains(whole) {
                    fs::remove_file(entry.path())?;
                }
            }
        }
        Ok(())
    }

    fn not_written(&self) -> String {
        format!("{} can't be written", self.folder.display())
    }
}

/// Adds a file of an earlier folder: the same one on the disk if possible, otherwise a copy.
fn copy(earlier: &Path, path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::hard_link(earlier, path).or_else(|_| fs::copy(earlier, path).map(drop))
}

/// Gives a filled folder its place, at once for all readers. The folder that is there is removed.
///
/// # Errors
/// If the folders can't be renamed. The old one is at its place then.
pub fn publish(staging: &Path, folder: &Path) -> anyhow::Result<()> {
    let published = if fs::symlink_metadata(folder).is_ok() {
        exchange(staging, folder)
    } else {
        fs::rename(staging, folder)
    };
    published.with_context(|| format!("{} can't be renamed to {}", staging.display(), folder.display()))
}

/// Replaces a folder by another.
fn exchange(staging: &Path, folder: &Path) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, staging, CWD, folder, RenameFlags::EXCHANGE).is_ok() {
            return fs::remove_dir_all(staging);
        }
    }
    // Not all file systems can do it at once.
    let old = staging.with_extension("old");
    if old.exists() {
        fs::remove_dir_all(&old)?;
    }
    fs::rename(folder, &old)?;
    if let Err(error) = fs::rename(staging, folder) {
        fs::rename(&old, folder)?;
        return Err(error);
    }
    fs::remove_dir_all(&old)
}
