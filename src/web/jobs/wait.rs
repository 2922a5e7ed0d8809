//! Waiting for a job's end.

use axum::http::StatusCode;

use crate::engine::{JobId, Snapshot, Status, Subscription};
use crate::queue::AnyEngine;
use crate::web::problem::Problem;

/// Cancels a job when it is dropped. A job that has ended stays as it is.
pub(in crate::web) struct CancelOnDrop {
    engine: AnyEngine,
    pub id: JobId,
}

impl CancelOnDrop {
    pub fn new(engine: &AnyEngine, id: JobId) -> Self {
        Self { engine: engine.clone(), id }
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.engine.cancel_in_background(self.id);
    }
}

/// Waits for a job's end.
///
/// # Errors
/// Those of [`completed`]; 404 where there is no such job.
pub(in crate::web) async fn wait_until_completed(engine: &AnyEngine, id: JobId) -> Result<Snapshot, Problem> {
    let subscription = engine.subscribe(id, 0);
    let mut subscription = subscription.ok_or_else(|| Problem::not_found("The generation has expired."))?;
    while subscription.next().await.is_some() {}
    completed(engine, &subscription)
}

/// An ended job, if all its images were drawn.
///
/// # Errors
/// 409 where it was canceled, 503 where the server is stopping or the model is not ready, 500 where it failed.
pub(in crate::web) fn completed(
    engine: &AnyEngine,
    subscription: &Subscription,
) -> Result<Snapshot, Problem> {
    let snapshot = subscription.snapshot();
    match snapshot.status {
        Status::Canceled => Err(Problem::new(
            StatusCode::CONFLICT,
            "The generation was canceled before its images were done.",
        )),
        Status::Failed => {
            let not_ready = engine.model_ready(snapshot.request.model()).err();
            Err(not_ready.map_or_else(|| Problem::generation_failed(snapshot.detail), Problem::from))
        }
        _ => Ok(snapshot),
    }
}
