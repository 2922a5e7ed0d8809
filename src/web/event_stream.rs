//! Server-sent events: how many streams may be open, and what all of them have in common.

use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::http_metrics::Counted;
use super::problem::Problem;

/// Shorter than the idle timeouts of common proxies (nginx: 60 s).
const HEARTBEAT: Duration = Duration::from_secs(15);

/// The event streams that are open.
pub(super) struct EventStreams {
    room: Arc<Semaphore>,
    open: Gauge,
}

/// Room for one stream, until it is dropped.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

impl EventStreams {
    /// Room for `most`, counted by a gauge.
    pub fn new(most: usize, open: &Gauge) -> Self {
        Self { room: Arc::new(Semaphore::new(most)), open: open.clone() }
    }

    /// Room for one more. To be asked for before the job is subscribed to: who is refused hasn't left it.
    ///
    /// # Errors
    /// 503 where there is none.
    pub fn enter(&self) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Problem::too_many_streams())?;
        Ok(Place { _permit: permit, _counted: Counted::new(&self.open) })
    }
}

impl Place {
    /// The answer that streams `events`. The place is free again when the client is gone, or after the last one.
    pub fn stream<E: Into<BoxError>>(
        self,
        events: impl Stream<Item = Result<Event, E>> + Send + 'static,
    ) -> Response {
        let events = events.map(move |event| {
            let _held = &self;
            event
        });
        let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx would hold events back to fill its buffers.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}
