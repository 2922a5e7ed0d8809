//! The download of a file, which goes on where it was interrupted.
//!
//! `NAME.part` is what has arrived, `NAME.part.validator` the entity tag or the date of the version of the file that this is a
//! part of. The server is asked for the rest of that version. If it sends the whole file, the part is replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use indicatif::ProgressBar;
use sha2::{Digest, Sha256};
use ureq::Body;
use ureq::http::{HeaderMap, Response, StatusCode, header};

use super::address::Address;
use super::checksum_list::{ListedFile, PART, VALIDATOR};
use super::client::{Client, Rest, Unreachable, body_error, text};
use super::hash::{BUFFER, FileHash};
use super::report::progress;

/// The pauses before further attempts.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(300), Duration::from_millis(1000), Duration::from_millis(2000)];
/// If so many new bytes have arrived in all attempts, they are counted anew.
const PROGRESS: u64 = 1024 * 1024;
/// Bytes of a validator at most.
const MAX_VALIDATOR: usize = 1024;

/// Repeats what fails because the server can't be reached, after pauses.
///
/// # Errors
/// That of the last attempt, and each other error at once.
pub fn with_retries<T>(mut attempt: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<T> {
    for pause in PAUSES {
        match attempt() {
            Err(error) if error.is::<Unreachable>() => std::thread::sleep(pause),
            ended => return ended,
        }
    }
    attempt()
}

/// A file that is being downloaded.
pub struct Download<'a> {
    client: &'a Client,
    address: &'a Address,
    file: &'a ListedFile,
    /// Bytes that the file may have.
    limit: u64,
    path: PathBuf,
    part: PathBuf,
    validator: PathBuf,
    bar: ProgressBar,
}

impl<'a> Download<'a> {
    /// Prepares the download of a file to a folder.
    pub fn new(
        client: &'a Client,
        address: &'a Address,
        file: &'a ListedFile,
        folder: &Path,
        limit: u64,
    ) -> Self {
        let with = |ending: &str| folder.join(format!("{}{ending}", file.name));
        Self {
            client,
            address,
            file,
            limit,
            path: with(""),
            part: with(PART),
            validator: with(VALIDATOR),
            bar: progress(&file.name),
        }
    }

    /// Downloads the file and returns its size.
    ///
    /// # Errors
    /// [`Unreachable`] after several attempts; what has arrived is kept then. Other errors if the server doesn't have the file,
    /// if it is larger than the limit, if it can't be written, and if its hash is wrong twice.
    pub fn run(self) -> anyhow::Result<u64> {
        let hash = self.complete()?;
        if hash != self.file.hash {
            // The part may be one of another version, or damaged.
            self.discard()?;
            let hash = self.complete()?;
            if hash != self.file.hash {
                self.discard()?;
                bail!(
                    "{} has the wrong hash: {hash} instead of {} in SHA256SUMS",
                    self.address.file(&self.file.name),
                    self.file.hash
                );
            }
        }
        self.bar.finish_and_clear();
        fs::rename(&self.part, &self.path).with_context(|| self.not_written())?;
        remove(&self.validator)?;
        Ok(fs::metadata(&self.path).with_context(|| self.not_written())?.len())
    }

    /// Downloads what is missing, in several attempts if necessary, and returns the hash of all.
    fn complete(&self) -> anyhow::Result<FileHash> {
        loop {
            let before = self.arrived();
            match with_retries(|| self.attempt()) {
                Err(error) if error.is::<Unreachable>() && self.arrived() >= before + PROGRESS => {}
                ended => return ended,
            }
        }
    }

    /// Bytes that have arrived.
    fn arrived(&self) -> u64 {
        fs::metadata(&self.part).map_or(0, |metadata| metadata.len())
    }

    /// Downloads what is missing in one request, and returns the hash of all.
    fn attempt(&self) -> anyhow::Result<FileHash> {
        let mut writer = Writer::open(&self.part).with_context(|| self.not_written())?;
        let validator = fs::read_to_string(&self.validator).ok().filter(|text| !text.is_empty());
        if writer.length > 0 && FileHash::from(writer.hasher.clone()) == self.file.hash {
            return Ok(self.file.hash);
        }
        let rest = validator.as_deref().map(|validator| Rest { start: writer.length, validator });
        let rest = rest.filter(|rest| rest.start > 0);
        let mut response = self.client.get(self.address, &self.file.name, rest.as_ref())?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && rest.is_some() {
            response = self.client.get(self.address, &self.file.name, None)?;
        }
        match response.status() {
            StatusCode::OK => {
                writer.clear().with_context(|| self.not_written())?;
                self.write_validator(response.headers()).with_context(|| self.not_written())?;
            }
            StatusCode::PARTIAL_CONTENT if rest.is_some() => {
                if first_byte(response.headers()) != Some(writer.length) {
                    self.discard()?;
                    bail!(Unreachable(format!("the server sends another part of {}", self.file.name)));
                }
            }
            status => {
                let url = self.address.file(&self.file.name);
                bail!("{url}, which SHA256SUMS lists, is answered with status {}", status.as_u16());
            }
        }
        self.receive(response, &mut writer)?;
        writer.file.sync_all().with_context(|| self.not_written())?;
        Ok(writer.hasher.into())
    }

    /// Appends the body of a response.
    fn receive(&self, mut response: Response<Body>, writer: &mut Writer) -> anyhow::Result<()> {
        let announced = response.body().content_length();
        let end = announced.map(|length| writer.length.saturating_add(length));
        self.check_size(end.unwrap_or(0))?;
        self.bar.set_position(writer.length);
        self.bar.reset_eta();
        if let Some(end) = end {
            self.bar.set_length(end);
        }
        let (mut reader, mut buffer) = (response.body_mut().as_reader(), vec![0; BUFFER]);
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(body_error(error, &self.file.name)),
            };
            self.check_size(writer.length + count as u64)?;
            writer.append(&buffer[..count]).with_context(|| self.not_written())?;
            self.bar.set_position(writer.length);
        }
        if end.is_some_and(|end| writer.length < end) {
            bail!(Unreachable(format!("the connection ended within {}", self.file.name)));
        }
        Ok(())
    }

    fn check_size(&self, size: u64) -> anyhow::Result<()> {
        ensure!(
            size <= self.limit,
            "the model is too large: with {}, its files have more bytes than --max-bytes of `rdpm pull` allows",
            self.file.name
        );
        Ok(())
    }

    /// Keeps what identifies the version of the file: a strong entity tag or else its date.
    fn write_validator(&self, headers: &HeaderMap) -> io::Result<()> {
        let tag = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
        let validator = tag.or_else(|| text(headers, header::LAST_MODIFIED));
        match validator.filter(|validator| validator.len() <= MAX_VALIDATOR) {
            Some(validator) => fs::write(&self.validator, validator),
            None => remove(&self.validator),
        }
    }

    fn discard(&self) -> anyhow::Result<()> {
        let removed = remove(&self.part).and_then(|()| remove(&self.validator));
        removed.with_context(|| format!("{} can't be removed", self.part.display()))
    }

    fn not_written(&self) -> String {
        format!("{} can't be written", self.part.display())
    }
}

/// Writes a part, and computes the hash of all that is in it.
struct Writer {
    file: File,
    hasher: Sha256,
    length: u64,
}

impl Writer {
    /// Opens a part at its end. It is created if it is missing.
    fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let (mut hasher, mut length, mut buffer) = (Sha256::new(), 0, vec![0; BUFFER]);
        if file.metadata()?.is_file() {
            loop {
                let count = file.read(&mut buffer)?;
                if count == 0 {
                    break;
                }
                hasher.update(&buffer[..count]);
                length += count as u64;
            }
        }
        Ok(Self { file, hasher, length })
    }

    /// Removes all that was written.
    fn clear(&mut self) -> io::Result<()> {
        if self.length > 0 {
            self.file.set_len(0)?;
            self.file.rewind()?;
            (self.hasher, self.length) = (Sha256::new(), 0);
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// The first byte that a partial response has.
fn first_byte(headers: &HeaderMap) -> Option<u64> {
    text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
