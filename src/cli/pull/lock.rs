//! Locks between processes that pull the same model.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::report::warn;

/// A locked file. The lock ends when this is dropped, or with the process.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Locks a file, which is created if it is missing, and waits while another process has the lock.
    ///
    /// # Errors
    /// If the file can't be created or locked.
    pub fn acquire(path: &Path) -> anyhow::Result<Self> {
        loop {
            let lock = Self::wait(path).with_context(|| format!("{} can't be locked", path.display()))?;
            // The process that had the lock before may have removed the file.
            if lock.is_current() {
                return Ok(lock);
            }
        }
    }

    fn wait(path: &Path) -> io::Result<Self> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                warn(format!("waits for another process that has locked {}", path.display()));
                file.lock()?;
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self { file, path: path.to_owned() })
    }

    /// Whether the locked file is still the one at its path.
    fn is_current(&self) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let id = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
            let (own, there) = (self.file.metadata().map(id), std::fs::metadata(&self.path).map(id));
            own.ok().zip(there.ok()).is_some_and(|(own, there)| own == there)
        }
        #[cfg(not(unix))]
        {
            self.path.exists()
        }
    }

    /// Ends the lock and removes its file.
    pub fn remove(self) {
        // While it is locked, so that no other process can have locked it meanwhile.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Keeps a file locked for reading as long as this process lives, if that is possible. [`is_used`] says so to other processes.
pub fn keep_used(path: &Path) {
    if let Ok(file) = File::open(path)
        && file.lock_shared().is_ok()
    {
        std::mem::forget(file);
    }
}

/// Whether a process keeps a file locked for reading.
pub fn is_used(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Opens the file of a lock. One that is there is only read, since that is allowed in a folder that is not writable.
fn open(path: &Path) -> io::Result<File> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            OpenOptions::new().read(true).append(true).create(true).open(path)
        }
        opened => opened,
    }
}
