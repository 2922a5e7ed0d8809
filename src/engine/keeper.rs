//! The thread that looks after jobs on the clock: it tells waiting ones where they stand, ends those whose time is up or
//! whose readers have left, and forgets old ones. It has no device, so a step that hangs doesn't stop it.

use std::sync::Arc;
use std::time::Duration;

use super::job::{End, Job};
use super::shared::Shared;

/// Between two rounds while jobs live. A job logs a new place at most once a round.
const ROUND: Duration = Duration::from_millis(200);
/// Between two rounds while none does: only old jobs are to be forgotten.
const IDLE_ROUND: Duration = Duration::from_secs(5);
/// For the client of a job that took longer than [`job_timeout`](super::Options::job_timeout).
const TOO_LATE: &str =
    "The job took longer than this server allows. Try again later, or ask for fewer images.";

/// Looks after the jobs until the engine stops.
pub(super) fn run(shared: &Arc<Shared>) {
    while shared.rest(ROUND, IDLE_ROUND) {
        for job in shared.store.live() {
            if let Some(end) = due(&job, shared) {
                shared.end(&job, end);
            }
        }
        shared.tell_places();
        shared.store.prune();
    }
}

/// How a job must end now, if it must.
fn due(job: &Job, shared: &Shared) -> Option<End> {
    let options = &shared.options;
    if options.job_timeout.is_some_and(|limit| job.accepted.elapsed() >= limit) {
        return Some(End::Failed(TOO_LATE));
    }
    let deserted = job.deserted()?;
    (deserted.elapsed() >= options.disconnect_grace).then_some(End::Canceled)
}
