//! The time limit of request bodies.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

/// Middleware that responses 408 where a request's body isn't read to its end within `limit`. After that handlers have no time
/// limit; the timeouts of tower-http don't make this distinction.
pub(in crate::web) async fn limit_body_time(
    State(limit): State<Duration>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (guard, body_read) = oneshot::channel::<Infallible>();
    let response = next.run(request.map(|body| with_guard(body, guard)));
    tokio::pin!(response);
    tokio::select! {
        response = &mut response => return response,
        // The reader of the body drops it at its end, and the guard with it.
        _ = body_read => {}
        () = tokio::time::sleep(limit) => return StatusCode::REQUEST_TIMEOUT.into_response(),
    }
    response.await
}

/// The body, with a guard that is dropped together with it: at its end, or when the client disconnects.
fn with_guard(body: Body, guard: impl Send + 'static) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &guard;
        frame
    }))
}
