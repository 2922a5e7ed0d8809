//! Waiting for a job's end.

use std::sync::Arc;

use axum::http::StatusCode;

use super::App;
use super::problem::Problem;
use crate::engine::{Engine, JobId, Snapshot, Status, Subscription};

/// Cancels a job when it is dropped. One that has ended stays as it is.
pub(super) struct CancelOnDrop(pub Arc<Engine>, pub JobId);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel(self.1);
    }
}

/// The job when all its images are there.
///
/// # Errors
/// What [`outcome`] says; 404 where the job is gone.
pub(super) async fn finished(app: &App, id: JobId) -> Result<Snapshot, Problem> {
    let subscription = app.engine.subscribe(id, 0);
    let mut subscription = subscription.ok_or_else(|| Problem::not_found("The generation is gone."))?;
    while subscription.next().await.is_some() {}
    outcome(app, &subscription)
}

/// A job that has ended, if it did so well.
///
/// # Errors
/// 409 where somebody canceled it, 503 where the server is stopping or the model is out of order, 500 where it failed.
pub(super) fn outcome(app: &App, subscription: &Subscription) -> Result<Snapshot, Problem> {
    let snapshot = subscription.snapshot();
    match snapshot.status {
        Status::Canceled => Err(Problem::new(
            StatusCode::CONFLICT,
            "The generation was canceled before its images were done.",
        )),
        Status::Failed => {
            let not_ready = app.engine.model_ready(&snapshot.model.config.name).err();
            Err(not_ready.map_or_else(|| Problem::generation_failed(snapshot.detail), Problem::from))
        }
        _ => Ok(snapshot),
    }
}
