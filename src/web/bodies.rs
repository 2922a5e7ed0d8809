//! Bounds on bodies: requests that must arrive in time, event streams that must not be too many.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{Semaphore, oneshot};

use super::http_metrics::Counted;
use super::problem::Problem;

/// Answers 408 where a request's body isn't read to its end within `deadline`. Once it is, handlers may take as long as
/// they want: that is what tower-http's timeouts don't tell apart.
pub(super) async fn arrive_in_time(
    State(deadline): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (guard, arrived) = oneshot::channel::<Infallible>();
    let answer = next.run(request.map(|body| holding(body, guard)));
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => return answer,
        // Whoever reads the body drops it at its end, and the guard with it.
        _ = arrived => {}
        () = tokio::time::sleep(deadline) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    }
    answer.await
}

/// The event streams that are open.
pub(super) struct Streams {
    room: Arc<Semaphore>,
    open: Gauge,
}

impl Streams {
    /// Room for `most`, counted by a gauge.
    pub fn new(most: usize, open: &Gauge) -> Self {
        Self { room: Arc::new(Semaphore::new(most)), open: open.clone() }
    }
}

/// Lets an event stream begin where there is room for one more, else answers 503.
pub(super) async fn limit_streams(
    State(streams): State<Arc<Streams>>,
    request: Request,
    next: Next,
) -> Response {
    let response = next.run(request).await;
    let content_type = response.headers().get(header::CONTENT_TYPE);
    if !content_type.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    match Arc::clone(&streams.room).try_acquire_owned() {
        Ok(place) => response.map(|body| holding(body, (place, Counted::new(&streams.open)))),
        Err(_) => Problem::too_many_streams().into_response(),
    }
}

/// The body, with a guard that is dropped when the body is: at its end, or when the other side is gone.
fn holding(body: Body, guard: impl Send + 'static) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &guard;
        frame
    }))
}
