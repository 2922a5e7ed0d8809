//! Files by the SHA-256 of their content, so that equal pictures are one file and a half-written one is never read.
//!
//! A file is written to `tmp/` and synced, and then renamed to `files/ab/abcd…`. A crash leaves nothing else than a file in
//! `tmp/` or one that no row of the database names; [`Files::sweep`] removes both.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

/// Bytes that must be free for the store to work again after a failure: about what a generation takes.
const ROOM: usize = 1 << 20;

/// The name of a file: 64 lower-case hexadecimal digits, and so never a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FileName(String);

impl FileName {
    fn of(content: &[u8]) -> Self {
        Self(hex(&Sha256::digest(content)))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FileName {
    type Err = io::Error;

    fn from_str(text: &str) -> io::Result<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 64 && text.bytes().all(is_digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, "the database names a file that can't be one"))
        }
    }
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The files of a generation.
pub(super) struct WrittenFiles {
    /// Each with its size, in the order of the images.
    pub pictures: Vec<(FileName, usize)>,
    pub events: (FileName, usize),
}

/// The files of a store. Only the writer's thread writes and removes.
#[derive(Debug, Clone)]
pub(super) struct Files {
    files: PathBuf,
    temporary: PathBuf,
}

impl Files {
    /// The files below the store's folder.
    pub fn new(folder: &Path) -> Self {
        Self { files: folder.join("files"), temporary: folder.join("tmp") }
    }

    /// Creates the folders.
    pub fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.files)?;
        fs::create_dir_all(&self.temporary)
    }

    /// Writes a file, durably, and returns its name and whether it is new.
    pub fn write(&self, content: &[u8]) -> io::Result<(FileName, bool)> {
        let name = FileName::of(content);
        let path = self.path(&name);
        if path.exists() {
            return Ok((name, false));
        }
        let mut file = NamedTempFile::new_in(&self.temporary)?;
        file.write_all(content)?;
        file.as_file().sync_all()?;
        let folder = self.folder(&name);
        if !folder.exists() {
            fs::create_dir(&folder)?;
            sync_folder(&self.files)?;
        }
        file.persist(&path).map_err(|error| error.error)?;
        sync_folder(&folder)?;
        Ok((name, true))
    }

    /// Reads a file. Its content is what was written: another is an error.
    pub fn read(&self, name: &FileName) -> io::Result<Vec<u8>> {
        let content = fs::read(self.path(name))?;
        if FileName::of(&content) == *name {
            Ok(content)
        } else {
            let error = format!("{} was changed or damaged", self.path(name).display());
            Err(io::Error::new(io::ErrorKind::InvalidData, error))
        }
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &FileName) -> io::Result<()> {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what a crash left: temporary files, and files that are not named. Returns their number.
    pub fn sweep(&self, is_named: impl Fn(&FileName) -> io::Result<bool>) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.temporary)? {
            fs::remove_file(entry?.path())?;
            removed += 1;
        }
        for folder in fs::read_dir(&self.files)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for entry in fs::read_dir(folder.path())? {
                // Other names are not this program's to remove.
                let Ok(name) = entry?.file_name().to_string_lossy().parse::<FileName>() else { continue };
                if !is_named(&name)? {
                    self.remove(&name)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Writes and removes a file, to see whether the disk takes it.
    pub fn probe(&self) -> io::Result<()> {
        self.create()?;
        let mut file = NamedTempFile::new_in(&self.temporary)?;
        file.write_all(&vec![0; ROOM])?;
        file.as_file().sync_all()
    }

    fn folder(&self, name: &FileName) -> PathBuf {
        self.files.join(&name.0[..2])
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.folder(name).join(&name.0)
    }
}

/// Makes the names in a folder durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path());
        files.create().unwrap();
        (folder, files)
    }

    #[test]
    fn equal_contents_are_one_file() {
        let (_folder, files) = files();
        let (name, is_new) = files.write(b"picture").unwrap();
        assert!(is_new);
        assert_eq!(files.write(b"picture").unwrap(), (name.clone(), false));
        assert_eq!(files.read(&name).unwrap(), b"picture");
    }

    #[test]
    fn changed_file_is_not_read() {
        let (_folder, files) = files();
        let (name, _) = files.write(b"picture").unwrap();
        fs::write(files.path(&name), b"pict").unwrap();
        assert_eq!(files.read(&name).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn sweep_removes_temporary_and_unnamed_files_only() {
        let (_folder, files) = files();
        let (named, _) = files.write(b"named").unwrap();
        let (unnamed, _) = files.write(b"unnamed").unwrap();
        fs::write(files.temporary.join("half"), b"ha").unwrap();
        assert_eq!(files.sweep(|name| Ok(*name == named)).unwrap(), 2);
        assert!(files.read(&named).is_ok() && files.read(&unnamed).is_err());
        assert_eq!(fs::read_dir(&files.temporary).unwrap().count(), 0);
    }

    #[test]
    fn names_are_never_paths() {
        for text in ["", "..", "../../etc/passwd", "/etc/passwd", &"A".repeat(64), &"/".repeat(64)] {
            assert!(text.parse::<FileName>().is_err(), "{text}");
        }
        assert!("0f".repeat(32).parse::<FileName>().is_ok());
    }
}
