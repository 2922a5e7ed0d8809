//! Supervision of the engine's threads: whether one has ended by a panic, or makes no progress.
//!
//! Each thread has a guard that records its end ([`ThreadGuard`](super::scheduler::ThreadGuard)), and says what it does and by
//! when it must do something else ([`ThreadStatus`]). Reading that takes no thread and none of the scheduler's locks, so
//! [`Engine::failure`](super::Engine::failure) answers whatever hangs.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How often a thread that waits shows that it still runs: one that never wakes up is stalled, too.
pub(super) const IDLE_ROUND: Duration = Duration::from_secs(5);

/// Why an engine doesn't work any more. It can't heal that: the process must be restarted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// A thread ended by a panic. All jobs have failed.
    #[error("the thread {thread} ended by a panic")]
    ThreadEnded {
        /// Its name, for example `rdpm-worker-0`.
        thread: String,
    },
    /// A thread makes no progress. It may still continue; then the engine works again.
    #[error("the thread {thread} makes no progress: {activity} has taken {} s", time.as_secs())]
    Stalled {
        /// Its name, for example `rdpm-worker-0`.
        thread: String,
        /// What it does.
        activity: &'static str,
        /// For how long it has done that.
        time: Duration,
    },
}

/// The threads of an engine.
pub(super) struct Supervision {
    /// See [`Options::step_timeout`](super::Options::step_timeout).
    timeout: Option<Duration>,
    threads: Mutex<Vec<Arc<ThreadStatus>>>,
    /// The first thread that ended by a panic.
    ended: OnceLock<String>,
}

/// What a thread does.
pub(super) struct ThreadStatus {
    name: String,
    timeout: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    activity: &'static str,
    since: Instant,
    /// When the thread must do something else.
    deadline: Option<Instant>,
}

impl Supervision {
    pub fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, threads: Mutex::new(Vec::new()), ended: OnceLock::new() }
    }

    /// The status of a new thread.
    pub fn add(&self, name: String) -> Arc<ThreadStatus> {
        let state = State { activity: "starting", since: Instant::now(), deadline: None };
        let status = ThreadStatus { name, timeout: self.timeout, state: Mutex::new(state) };
        let status = Arc::new(status);
        self.threads.lock().push(Arc::clone(&status));
        status
    }

    /// Records that a thread ends by a panic.
    pub fn record_panic(&self, thread: &ThreadStatus) {
        self.ended.get_or_init(|| thread.name.clone());
    }

    /// Why the engine doesn't work, if it doesn't. Of several stalled threads, the first: the others may wait for it.
    pub fn failure(&self) -> Option<Failure> {
        if let Some(thread) = self.ended.get() {
            return Some(Failure::ThreadEnded { thread: thread.clone() });
        }
        let threads = self.threads.lock();
        threads
            .iter()
            .filter_map(|thread| thread.stalled())
            .min_by_key(|stalled| stalled.0)
            .map(|(_, failure)| failure)
    }
}

impl ThreadStatus {
    /// Says that the thread begins something that must end within the time limit.
    pub fn begin(&self, activity: &'static str) {
        self.set(activity, self.timeout);
    }

    /// Says that the thread does nothing any more.
    pub fn wait(&self) {
        self.set("waiting", None);
    }

    /// Says that the thread waits for at most `time`.
    pub fn wait_for(&self, time: Duration) {
        self.set("waiting", self.timeout.map(|timeout| timeout + time));
    }

    fn set(&self, activity: &'static str, time: Option<Duration>) {
        let since = Instant::now();
        *self.state.lock() = State { activity, since, deadline: time.map(|time| since + time) };
    }

    /// If the thread is stalled: since when, and the failure.
    fn stalled(&self) -> Option<(Instant, Failure)> {
        let State { activity, since, deadline } = *self.state.lock();
        deadline.filter(|deadline| *deadline <= Instant::now())?;
        Some((since, Failure::Stalled { thread: self.name.clone(), activity, time: since.elapsed() }))
    }
}
