//! The number of open event streams, and the response that streams events.

use std::time::Duration;

use axum::BoxError;
use axum::http::{HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use prometheus_client::metrics::gauge::Gauge;

use crate::web::access::{ClientPermit, ClientPermits, LimitKey};
use crate::web::http_metrics::GaugeGuard;
use crate::web::problem::Problem;

/// Shorter than the idle timeouts of common proxies (nginx: 60 s).
const HEARTBEAT: Duration = Duration::from_secs(15);

/// A client may have this part of all event streams.
const PART_OF_CLIENT: usize = 4;

/// The event streams that may be open at once, in all and of one client: otherwise a few clients could have them all, behind a
/// proxy even one.
pub(in crate::web) struct EventStreams {
    permits: ClientPermits<LimitKey>,
    open: Gauge,
}

/// Permission for one stream, until it is dropped.
pub(in crate::web) struct StreamPermit {
    _permit: ClientPermit,
    _open: GaugeGuard,
}

impl EventStreams {
    /// At most `max_streams`, counted by a gauge.
    pub fn new(max_streams: usize, open: &Gauge) -> Self {
        Self {
            permits: ClientPermits::new(max_streams, max_streams.div_ceil(PART_OF_CLIENT)),
            open: open.clone(),
        }
    }

    /// Permission for one more. Must be acquired before subscribing to the job: a refused stream must not count as a
    /// subscriber that disconnected, which could cancel the job.
    ///
    /// # Errors
    /// 503 where too many streams are open, in all or of this client.
    pub fn acquire(&self, client: &LimitKey) -> Result<StreamPermit, Problem> {
        let permit = self.permits.try_acquire(client.clone()).ok_or_else(Problem::too_many_streams)?;
        Ok(StreamPermit { _permit: permit, _open: GaugeGuard::new(&self.open) })
    }
}

impl StreamPermit {
    /// The response that streams `events`. The permit is released after the last one, or when the client disconnects.
    pub fn stream<E: Into<BoxError>>(
        self,
        events: impl Stream<Item = Result<Event, E>> + Send + 'static,
    ) -> Response {
        let events = events.map(move |event| {
            let _permit = &self;
            event
        });
        let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
        // Otherwise nginx buffers events, and others compress them.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}
