//! Generations and their pictures on disk, so that they outlive the process.
//!
//! A store is a folder:
//!
//! | path | contents |
//! |---|---|
//! | `rdpm.sqlite` | the database (SQLite, WAL mode): requests, states, the pictures of galleries, idempotency keys |
//! | `files/ab/abcd…` | pictures and event logs, each named by the SHA-256 of its content |
//! | `tmp/` | files that are being written |
//!
//! A generation is written when it is accepted and when it ends. One that was accepted and had not ended when the process did is
//! [pending](Store::pending) in the next, which draws it again: its request is kept with its seed, so its tokens are the same.
//!
//! If the folder can't be written, nothing else fails: what can't be kept is counted, and the store [is
//! degraded](Store::is_degraded) until it works again.
//!
//! | Question | File |
//! |---|---|
//! | Whose is a generation? | `owner` |
//! | What is written, and when? | `record`, `observer`, `queue` |
//! | Who writes, and in which order? | `writer`, `statements`, `files`, `event_log` |
//! | What is removed? | `retention` |
//! | How is it read? | `reader`, `stored`, `gallery` |
//! | How is the database made? | `schema` |
//! | How is it copied while it is used? | `backup` |
//!
//! What belongs here: what is kept and how. What doesn't: HTTP (`web`), drawing (`engine`).

mod backup;
mod error;
mod event_log;
mod files;
mod gallery;
mod metrics;
mod observer;
mod options;
mod owner;
mod queue;
mod reader;
mod record;
mod retention;
mod schema;
mod statements;
mod stored;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

pub use backup::backup;
pub use error::StoreError;
pub use gallery::{Archive, GalleryFilter, GalleryGroup, GalleryPage, GalleryPicture, GalleryRange};
pub use observer::Written;
pub use options::Options;
pub use owner::Owner;
pub use queue::PictureChange;
pub use record::{Idempotency, Record};
pub use stored::StoredGeneration;

use files::Files;
use metrics::Metrics;
use observer::RecordObserver;
use queue::{Change, Message, Queue};
use reader::Reader;
use writer::Writer;

use crate::engine::{JobId, Observer};

/// A store that is open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    queue: Queue,
    reader: Reader,
    files: Files,
    metrics: Metrics,
    degraded: Arc<AtomicBool>,
    undo: Duration,
}

impl Store {
    /// Opens a store and starts its thread. If its folder can't be written, the store is degraded and tries again.
    ///
    /// # Errors
    /// Where the thread can't be started.
    pub fn open(options: Options) -> std::io::Result<Self> {
        let (metrics, degraded) = (Metrics::default(), Arc::new(AtomicBool::new(false)));
        let files = Files::new(&options.folder);
        let undo = options.undo;
        let reader = Reader::new(options.folder.clone(), metrics.clone());
        let (queue, waiting) = Queue::new(metrics.clone());
        let mut writer = Writer {
            options,
            files: files.clone(),
            metrics: metrics.clone(),
            degraded: Arc::clone(&degraded),
            waiting,
            database: None,
        };
        writer.open();
        std::thread::Builder::new().name("rdpm-store".into()).spawn(move || writer.run())?;
        Ok(Self { queue, reader, files, metrics, degraded, undo })
    }

    /// An observer that keeps the job that it is given to, and what resolves when the job's acceptance was written.
    pub fn observer(&self, record: Record) -> (Arc<dyn Observer>, Written) {
        RecordObserver::observe(self.queue.clone(), record)
    }

    /// An observer that keeps the end of a job that was [pending](Store::pending).
    pub fn observer_of(&self, pending: &StoredGeneration) -> Arc<dyn Observer> {
        RecordObserver::observe(self.queue.clone(), pending.record()).0
    }

    /// Ends a generation that was pending and can't be drawn.
    pub fn abandon(&self, id: JobId) {
        self.queue.send(Message::Abandoned(id));
    }

    /// The generations that an earlier process accepted and didn't finish, the oldest first. Blocks.
    pub fn pending(&self) -> Vec<StoredGeneration> {
        self.reader.read_now(stored::pending).unwrap_or_default()
    }

    /// A generation that has ended, with its images and events.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub async fn load(&self, id: JobId) -> Result<Option<StoredGeneration>, StoreError> {
        let files = self.files.clone();
        self.reader.read(move |database| stored::load(database, &files, id)).await
    }

    /// An owner's generations, the newest first, without images and events.
    ///
    /// # Errors
    /// [`StoreError`] if they can't be read.
    pub async fn list(&self, owner: Owner, limit: u32) -> Result<Vec<StoredGeneration>, StoreError> {
        self.reader.read(move |database| stored::list(database, &owner, limit)).await
    }

    /// The generation that an earlier request with this key made, whether the body was the same, and whether it has ended.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub async fn find_key(&self, key: Idempotency) -> Result<Option<(JobId, bool, bool)>, StoreError> {
        self.reader.read(move |database| stored::find_key(database, &key)).await
    }

    /// A page of an owner's gallery.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub async fn gallery(
        &self,
        owner: Owner,
        filter: GalleryFilter,
        range: GalleryRange,
    ) -> Result<GalleryPage, StoreError> {
        let Some(gallery) = owner.gallery() else {
            return Ok(GalleryPage { pictures: Vec::new(), next: None });
        };
        self.reader.read(move |database| gallery::page(database, &gallery, &filter, range)).await
    }

    /// The models, classes and styles of the pictures of an owner's gallery that match a filter.
    ///
    /// # Errors
    /// [`StoreError`] if they can't be read.
    pub async fn gallery_groups(
        &self,
        owner: Owner,
        filter: GalleryFilter,
    ) -> Result<Vec<GalleryGroup>, StoreError> {
        let Some(gallery) = owner.gallery() else { return Ok(Vec::new()) };
        self.reader.read(move |database| gallery::groups(database, &gallery, &filter)).await
    }

    /// A picture's PNG file, and the owner of its generation. `None` if there is none, or it was deleted.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be read.
    pub async fn picture(
        &self,
        generation: JobId,
        image: u32,
    ) -> Result<Option<(Owner, Vec<u8>)>, StoreError> {
        let files = self.files.clone();
        self.reader.read(move |database| gallery::picture(database, &files, generation, image)).await
    }

    /// A ZIP file of pictures of an owner's gallery.
    ///
    /// # Errors
    /// [`StoreError`] if they can't be read.
    pub async fn archive(&self, owner: Owner, pictures: Vec<(JobId, u32)>) -> Result<Archive, StoreError> {
        let (files, gallery) = (self.files.clone(), owner.gallery().unwrap_or_default());
        self.reader.read(move |database| gallery::archive(database, &files, &gallery, &pictures)).await
    }

    /// Changes a picture of an owner's gallery. Returns whether there is one.
    ///
    /// # Errors
    /// [`StoreError`] if it can't be written.
    pub async fn change(
        &self,
        owner: Owner,
        generation: JobId,
        image: u32,
        kind: PictureChange,
    ) -> Result<bool, StoreError> {
        let Some(gallery) = owner.gallery() else { return Ok(false) };
        let (reply, changed) = oneshot::channel();
        self.queue.send(Message::Changed(Change { gallery, generation, image, kind }, reply));
        changed.await.map_err(|_| StoreError::Unavailable)?
    }

    /// How long the deletion of a picture can be undone.
    pub fn undo_time(&self) -> Duration {
        self.undo
    }

    /// Whether the last attempt to write failed.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Registers the store's metrics.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Writes what waits, at most for `timeout`, and closes the store: what is sent after is not kept. Blocks.
    pub fn close(&self, timeout: Duration) {
        let (closed, wait) = channel();
        self.queue.send(Message::Close(closed));
        if wait.recv_timeout(timeout).is_err() {
            tracing::error!("the store did not write everything in time");
        }
    }
}
