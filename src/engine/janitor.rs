//! The janitor: a thread that publishes queue positions, ends jobs whose time limit has passed or whose subscribers have
//! left, and evicts old jobs. It owns no device, so a step that hangs doesn't stop it.

use std::sync::Arc;
use std::time::Duration;

use super::job::{End, Job};
use super::options::Options;
use super::scheduler::Scheduler;
use super::supervision::{IDLE_ROUND, ThreadStatus};

/// The time between two rounds while jobs live. A job logs at most one queue position in a round. While no job lives, a round
/// only evicts old jobs, and [`IDLE_ROUND`] is between two.
const ROUND: Duration = Duration::from_millis(200);
/// For the client of a job that took longer than [`job_timeout`](super::Options::job_timeout).
const TIMED_OUT: &str =
    "The job took longer than this server allows. Try again later, or ask for fewer images.";

/// Runs until the engine stops.
pub(super) fn run(scheduler: &Arc<Scheduler>, status: &ThreadStatus) {
    loop {
        status.wait_for(IDLE_ROUND);
        if !scheduler.wait_for_round(ROUND, IDLE_ROUND) {
            return;
        }
        status.begin("a round");
        for job in scheduler.store.live() {
            if let Some(end) = due_end(&job, &scheduler.options) {
                scheduler.end_job(&job, end);
            }
        }
        scheduler.publish_positions();
        scheduler.store.evict();
    }
}

/// How the job must end now, if it must.
fn due_end(job: &Job, options: &Options) -> Option<End> {
    if options.job_timeout.is_some_and(|limit| job.accepted.elapsed() >= limit) {
        return Some(End::Failed(TIMED_OUT));
    }
    let abandoned = job.abandoned()?;
    (abandoned.elapsed() >= options.disconnect_grace).then_some(End::Canceled)
}
