//! The supervisor: a thread that watches the engine and the event loop, and ends the process where they don't work any more,
//! so that systemd or a container runtime starts it again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// The time between two checks.
const ROUND: Duration = Duration::from_millis(200);
/// Time that the shutdown after a failure gets beyond the drain, before the process ends without it.
const LAST_SHUTDOWN: Duration = Duration::from_secs(10);
/// The status of a process that failed, as opposed to one that has invalid settings.
const FAILED: i32 = 1;

/// Watches until the engine, of which `failure` says so, or the event loop fails. The returned receiver then gets the reason. If the process runs
/// `drain` and 10 seconds later still, it is ended.
///
/// `timeout` is the longest time without progress; `None` is no limit. Must be called on the event loop.
pub fn watch(
    failure: impl Fn() -> Option<String> + Send + 'static,
    timeout: Option<Duration>,
    drain: Duration,
) -> std::io::Result<oneshot::Receiver<String>> {
    let event_loop = heartbeat();
    let (report, failed) = oneshot::channel();
    std::thread::Builder::new().name("rdpm-supervisor".into()).spawn(move || {
        let failure = wait_for_failure(failure, &event_loop, timeout);
        tracing::error!(failure, "the server can't go on; it ends, to be started again");
        let _ = report.send(failure);
        std::thread::sleep(drain + LAST_SHUTDOWN);
        tracing::error!("the shutdown takes too long; the process ends without it");
        std::process::exit(FAILED);
    })?;
    Ok(failed)
}

/// Returns the reason of the first failure.
fn wait_for_failure(
    failure: impl Fn() -> Option<String>,
    event_loop: &Mutex<Instant>,
    timeout: Option<Duration>,
) -> String {
    loop {
        std::thread::sleep(ROUND);
        if let Some(failure) = failure() {
            return failure;
        }
        let silent = event_loop.lock().elapsed();
        if timeout.is_some_and(|timeout| silent >= timeout + ROUND) {
            return format!("the event loop makes no progress for {} s", silent.as_secs());
        }
    }
}

/// The time at which the event loop last ran a task.
fn heartbeat() -> Arc<Mutex<Instant>> {
    let last = Arc::new(Mutex::new(Instant::now()));
    let beat = Arc::clone(&last);
    tokio::spawn(async move {
        loop {
            *beat.lock() = Instant::now();
            tokio::time::sleep(ROUND).await;
        }
    });
    last
}
