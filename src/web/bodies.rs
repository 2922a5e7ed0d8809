//! Request bodies must arrive in time.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use tokio::sync::oneshot;

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

/// The body, with a guard that is dropped when the body is: at its end, or when the other side is gone.
fn holding(body: Body, guard: impl Send + 'static) -> Body {
    Body::new(body.map_frame(move |frame| {
        let _held = &guard;
        frame
    }))
}
