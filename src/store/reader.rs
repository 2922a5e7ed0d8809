//! Reading, beside the thread that writes: SQLite in WAL mode lets both work at once.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::StoreError;
use super::metrics::Metrics;
use super::schema;

/// Reads at once at most. Further ones wait.
const CONNECTIONS: usize = 2;

/// Connections for reading. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    folder: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    metrics: Metrics,
}

impl Reader {
    pub fn new(folder: PathBuf, metrics: Metrics) -> Self {
        Self { folder, idle: Arc::default(), permits: Arc::new(Semaphore::new(CONNECTIONS)), metrics }
    }

    /// Reads on a thread that may wait for the disk.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| StoreError::Unavailable)?;
        let reader = self.clone();
        let result = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            reader.read_now(read)
        });
        result.await.map_err(|_| StoreError::Unavailable)?
    }

    /// Reads on this thread.
    pub fn read_now<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let result = self.with_connection(read);
        if let Err(error) = &result {
            self.metrics.record_failure("read");
            tracing::warn!(%error, "the store can't be read");
        }
        result
    }

    fn with_connection<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = self.idle.lock().pop();
        let database = match idle {
            Some(database) => database,
            None => schema::open_for_reading(&self.folder)?,
        };
        let result = read(&database);
        // One that failed may be in any state.
        if result.is_ok() {
            self.idle.lock().push(database);
        }
        result
    }
}
