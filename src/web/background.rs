//! Threads for work that takes long: large bodies, large images, animations. They have a lower priority than the threads that
//! draw, answer and do short work, so a few expensive requests don't slow down all others.

use std::sync::LazyLock;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

/// Enough for two images that are rendered and two that are decoded at once, and two large bodies.
const THREADS: usize = 6;

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

/// Has this thread wait for all others: it gets what they leave, and a three-hundredth of a processor at least. A low priority
/// alone isn't enough: Linux lets a thread finish its slice of some milliseconds, and the threads that draw, which wait for each
/// other a thousand times a second, would wait for that as often.
#[cfg(target_os = "linux")]
fn lower_priority() {
    use thread_priority::{NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy};
    let policy = ThreadSchedulePolicy::Normal(Idle);
    let thread = thread_priority::thread_native_id();
    if let Err(error) = thread_priority::set_thread_priority_and_policy(thread, ThreadPriority::Min, policy) {
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
    async fn only_its_threads_wait_for_all_others() {
        use thread_priority::NormalThreadSchedulePolicy::{Idle, Other};
        use thread_priority::ThreadSchedulePolicy::Normal;
        let policy = || thread_priority::thread_schedule_policy().unwrap();
        assert_eq!(run(policy).await.unwrap(), Normal(Idle));
        assert_eq!(policy(), Normal(Other));
    }

    #[tokio::test]
    async fn panic_is_told_and_the_threads_go_on() {
        for _ in 0..2 * THREADS {
            assert!(run(|| -> u8 { panic!("expected by this test") }).await.is_err());
        }
        assert_eq!(run(|| 1).await, Ok(1));
    }
}
