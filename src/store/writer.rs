//! The store's thread: it alone writes, so that drawing never waits for the disk.
//!
//! Messages that wait together are one transaction. Files are written before the rows that name them, and removed after: a crash
//! at any moment leaves no row without its file, and the files that it leaves without a row are removed at the next start.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::Connection;

use super::error::StoreError;
use super::event_log::EventLog;
use super::files::{FileName, Files, WrittenFiles};
use super::metrics::Metrics;
use super::options::Options;
use super::queue::{Message, Waiting};
use super::record::milliseconds;
use super::retention;
use super::schema;
use super::statements;
use crate::engine::EndedJob;

/// Messages of one transaction at most.
const MAX_BATCH: usize = 64;
/// How long the thread waits for a message, and the time between two looks at the limits while something is stored.
const ROUND: Duration = Duration::from_secs(2);
/// The time between two looks at the limits while nothing is stored.
const IDLE_ROUND: Duration = Duration::from_secs(60);
/// A generation that so many processes began to draw and did not finish fails: what ends the process must not do so forever.
const MAX_ATTEMPTS: u32 = 10;

/// For the client of a job that the server could not draw after restarts.
pub(super) const ABANDONED: &str = "The server restarted before the job was done and could not resume it.";

pub(super) struct Writer {
    pub options: Options,
    pub files: Files,
    pub metrics: Metrics,
    pub degraded: Arc<AtomicBool>,
    pub waiting: Waiting,
    /// `None` while it can't be opened.
    pub database: Option<Connection>,
}

impl Writer {
    /// Opens the store. An error makes it degraded; it is tried again later.
    pub fn open(&mut self) {
        let opened = self.try_open();
        self.report(&opened, "open");
    }

    fn try_open(&mut self) -> Result<(), StoreError> {
        self.files.create()?;
        let database = schema::open(&self.options.folder)?;
        statements::begin_process(&database, MAX_ATTEMPTS, ABANDONED)?;
        let is_named = |name: &FileName| {
            statements::is_named(&database, name).map_err(|error| io::Error::other(error.to_string()))
        };
        let removed = self.files.sweep(is_named)?;
        if removed > 0 {
            tracing::info!(removed, "the store removed files that an earlier process left");
        }
        self.database = Some(database);
        self.prune()
    }

    /// Handles messages until the last.
    pub fn run(mut self) {
        let (mut last_look, mut stored) = (Instant::now(), false);
        loop {
            let mut batch = Vec::new();
            match self.waiting.receiver.recv_timeout(ROUND) {
                Ok(message) => batch.push(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            batch.extend(self.waiting.receiver.try_iter().take(MAX_BATCH - 1));
            let closed = take_close(&mut batch);
            if !batch.is_empty() {
                self.handle(batch);
                stored = true;
            } else if self.degraded.load(Ordering::Relaxed) {
                self.probe();
            }
            if last_look.elapsed() >= if stored { ROUND } else { IDLE_ROUND } {
                if let Err(error) = self.prune() {
                    self.metrics.record_failure("remove");
                    tracing::warn!(%error, "the store could not be looked after");
                }
                (last_look, stored) = (Instant::now(), false);
            }
            if let Some(closed) = closed {
                let _ = closed.send(());
                return;
            }
        }
    }

    /// Writes messages in one transaction or, if that fails, each in its own.
    fn handle(&mut self, batch: Vec<Message>) {
        let sizes: Vec<usize> = batch.iter().map(Message::byte_size).collect();
        let written = self.write(&batch);
        let results: Vec<Result<bool, StoreError>> = match written {
            Ok(changed) => changed.into_iter().map(Ok).collect(),
            Err(error) if batch.len() == 1 => vec![Err(error)],
            Err(_) => {
                let each = batch.iter().map(|message| {
                    self.write(std::slice::from_ref(message)).map(|changed| changed.first() == Some(&true))
                });
                each.collect()
            }
        };
        for ((message, result), size) in batch.into_iter().zip(results).zip(sizes) {
            if result.is_err() {
                self.metrics.record_failure(message.operation());
            }
            self.report(&result, message.operation());
            match message {
                Message::Accepted { written: Some(written), .. } => {
                    let _ = written.send(());
                }
                Message::Changed(_, reply) => {
                    let _ = reply.send(result);
                }
                _ => {}
            }
            self.waiting.done(size);
        }
    }

    /// Writes messages in one transaction. Returns for each whether it changed anything.
    fn write(&mut self, batch: &[Message]) -> Result<Vec<bool>, StoreError> {
        if self.database.is_none() {
            self.try_open()?;
        }
        let mut new_files = Vec::new();
        let written = self.write_all(batch, &mut new_files);
        if let (Err(_), Some(database)) = (&written, &self.database) {
            for name in new_files {
                // What can't be removed now is removed at the next start.
                if let Ok(false) = statements::is_named(database, &name) {
                    let _ = self.files.remove(&name);
                }
            }
        }
        written
    }

    fn write_all(
        &mut self,
        batch: &[Message],
        new_files: &mut Vec<FileName>,
    ) -> Result<Vec<bool>, StoreError> {
        let mut files = Vec::with_capacity(batch.len());
        for message in batch {
            files.push(match message {
                Message::Ended { job, .. } => Some(self.write_files(job, new_files)?),
                _ => None,
            });
        }
        let Some(database) = &mut self.database else { return Err(StoreError::Unavailable) };
        let transaction = database.transaction()?;
        let mut changed = Vec::with_capacity(batch.len());
        for (message, files) in batch.iter().zip(files) {
            changed.push(match (message, files) {
                (Message::Accepted { id, created, record, .. }, _) => {
                    statements::accept(&transaction, *id, *created, record)?
                }
                (Message::Ended { record, job }, Some(files)) => {
                    statements::finish(&transaction, record, job, &files)?
                }
                (Message::Started(id), _) => statements::start(&transaction, *id)?,
                (Message::Abandoned(id), _) => statements::abandon(&transaction, *id, ABANDONED)?,
                (Message::Changed(change, _), _) => statements::change(&transaction, change)?,
                (Message::Ended { .. } | Message::Close(_), _) => false,
            });
        }
        transaction.commit()?;
        Ok(changed)
    }

    fn write_files(&self, job: &EndedJob, new_files: &mut Vec<FileName>) -> Result<WrittenFiles, StoreError> {
        let mut write = |content: &[u8]| -> Result<(FileName, usize), StoreError> {
            let (name, is_new) = self.files.write(content)?;
            if is_new {
                new_files.push(name.clone());
            }
            Ok((name, content.len()))
        };
        let mut pictures = Vec::new();
        for image in &job.snapshot.images {
            pictures.push(write(&image.png)?);
        }
        Ok(WrittenFiles { pictures, events: write(&EventLog::of(job).encode()?)? })
    }

    /// Removes what exceeds the limits, and updates the gauges.
    fn prune(&mut self) -> Result<(), StoreError> {
        let Some(database) = &mut self.database else { return Ok(()) };
        let now = milliseconds(SystemTime::now());
        retention::prune(database, &self.files, &self.options, now)?;
        let (pictures, bytes) = statements::totals(database)?;
        self.metrics.pictures.set(pictures);
        self.metrics.bytes.set(bytes);
        Ok(())
    }

    /// Looks whether a store that could not be written can be written again.
    fn probe(&mut self) {
        let probed = match &self.database {
            Some(database) => {
                self.files.probe().map_err(StoreError::from).and_then(|()| statements::probe(database))
            }
            None => self.try_open(),
        };
        if probed.is_ok() {
            self.report(&probed, "probe");
        }
    }

    /// Notes whether the store works.
    fn report<T>(&self, result: &Result<T, StoreError>, operation: &'static str) {
        let degraded = result.is_err();
        self.metrics.degraded.set(degraded.into());
        let before = self.degraded.swap(degraded, Ordering::Relaxed);
        match result {
            Err(error) => tracing::error!(%error, operation, "the store can't be written"),
            Ok(_) if before => tracing::info!("the store can be written again"),
            Ok(_) => {}
        }
    }
}

/// Takes out the request to close, which ends the batch.
fn take_close(batch: &mut Vec<Message>) -> Option<Sender<()>> {
    let at = batch.iter().position(|message| matches!(message, Message::Close(_)))?;
    match batch.drain(at..).next() {
        Some(Message::Close(closed)) => Some(closed),
        _ => None,
    }
}
