//! Threads for work that takes long: large bodies, large images, animations. They have a lower priority than the threads that
//! draw, answer and do short work, so a few expensive requests don't slow down all others.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// Enough for the large images that are rendered or decoded at once, and two large bodies.
const THREADS: usize = 4;
/// A tenth of the processor time of other threads where there is not enough for all.
#[cfg(target_os = "linux")]
const NICENESS: i32 = 10;

static POOL: LazyLock<ThreadPool> = LazyLock::new(|| {
    ThreadPoolBuilder::new()
        .num_threads(THREADS)
        .thread_name(|_| "rdpm-background".into())
        .start_handler(|_| lower_priority())
        // `run` tells its caller, and the panic hook writes the message.
        .panic_handler(|_| {})
        .build()
        .expect("threads can be started")
});

/// Runs `work` when a thread is free, in the order of the calls, and to its end even where the caller has left.
///
/// # Errors
/// If `work` panics.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, oneshot::error::RecvError> {
    let (sender, result) = oneshot::channel();
    POOL.spawn_fifo(move || drop(sender.send(work())));
    result.await
}

/// Lowers the priority of this thread. Elsewhere than on Linux, it is one of the whole process.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use rustix::process::{getpriority_process, setpriority_process};
    let lowered =
        getpriority_process(None).and_then(|process| setpriority_process(None, (process + NICENESS).min(19)));
    if let Err(error) = lowered {
        tracing::debug!(%error, "a thread for long work keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn only_its_threads_have_a_lower_priority() {
        let priority = || rustix::process::getpriority_process(None).unwrap();
        let before = priority();
        assert_eq!(run(priority).await.unwrap(), (before + NICENESS).min(19));
        assert_eq!(priority(), before);
    }

    #[tokio::test]
    async fn panic_is_told_and_the_threads_go_on() {
        for _ in 0..2 * THREADS {
            assert!(run(|| -> u8 { panic!("expected by this test") }).await.is_err());
        }
        assert_eq!(run(|| 1).await, Ok(1));
    }
}
