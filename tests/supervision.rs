//! A thread of the engine that ends or makes no progress is a failure of the engine, and the server isn't live.
//!
//! The threads have no hooks for tests, but all of them log. A subscriber panics or blocks at the next log line of one.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Fault, Server, options, request, with_timeout};
use parking_lot::{Condvar, Mutex};
use rdpm::engine::{Engine, Failure, Options};
use reqwest::StatusCode;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Trap {
    Panic,
    Block,
}

/// The trap at the next log line of the thread with this name.
static TRAP: Mutex<Option<(&str, Trap)>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();
/// Whether the thread has come to the trap.
static IS_TRAPPED: AtomicBool = AtomicBool::new(false);
/// The trap is one for all tests.
static SERIAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The names of the threads that log. The publisher's work runs in its thread pool.
const JANITOR: &str = "rdpm-janitor";
const WORKER: &str = "rdpm-worker-0";
const PUBLISHER: &str = "rdpm-encoder";

struct Traps;

impl<S: Subscriber> Layer<S> for Traps {
    fn on_event(&self, _: &Event, _: Context<S>) {
        let mut trap = TRAP.lock();
        let thread = std::thread::current();
        let Some((_, kind)) = trap.filter(|(name, _)| thread.name() == Some(name)) else { return };
        IS_TRAPPED.store(true, Ordering::SeqCst);
        match kind {
            Trap::Panic => {
                *trap = None;
                drop(trap);
                std::panic::resume_unwind(Box::new("the log panics"));
            }
            Trap::Block => CHANGED.wait_while(&mut trap, |trap| trap.is_some()),
        }
    }
}

fn set_trap(trap: Option<(&'static str, Trap)>) {
    *TRAP.lock() = trap;
    IS_TRAPPED.store(false, Ordering::SeqCst);
    CHANGED.notify_all();
}

/// Releases the thread when a test ends, even by a panic: dropping a server waits for its threads' locks.
struct Release;

impl Drop for Release {
    fn drop(&mut self) {
        set_trap(None);
    }
}

/// Lets the one log line come that each thread writes, by a job whose first step fails or whose time is over.
async fn server_with_trap(thread: &'static str, trap: Trap, options: Options) -> Server {
    static INIT: std::sync::Once = std::sync::Once::new();
    INIT.call_once(|| tracing_subscriber::registry().with(Traps).init());
    let limit = (thread == JANITOR).then_some(Duration::ZERO);
    let (server, script) = Server::with_fake_backend(Options { job_timeout: limit, ..options }).await;
    assert_eq!(server.get("/health/live").await.status(), 200);
    set_trap(Some((thread, trap)));
    match thread {
        JANITOR => script.pause(),
        _ => script.fail_steps([Some(Fault::Error)]),
    }
    server.engine.submit(request(&server.engine, 1, 1)).unwrap();
    let trapped = async {
        while !IS_TRAPPED.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    with_timeout(trapped).await;
    // Only the trapped thread stands still.
    script.resume();
    server
}

async fn failure(engine: &Engine) -> Failure {
    let wait = async {
        loop {
            match engine.failure() {
                Some(failure) => return failure,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    with_timeout(wait).await
}

async fn assert_live(server: &Server, live: bool) {
    let status = if live { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let wait = async {
        while server.get("/health/live").await.status() != status {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(wait).await;
    assert_eq!(server.engine.is_alive(), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_ends_is_a_failure() {
    let _serial = SERIAL.lock().await;
    for (trapped, ended) in [(JANITOR, JANITOR), (WORKER, WORKER), (PUBLISHER, "rdpm-publisher-0")] {
        let server = server_with_trap(trapped, Trap::Panic, options()).await;
        assert_eq!(failure(&server.engine).await, Failure::ThreadEnded { thread: ended.into() });
        assert_live(&server, false).await;
        // No job is accepted that would never end.
        assert!(server.engine.ready().is_err());
        assert!(server.engine.submit(request(&server.engine, 2, 1)).is_err());
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_makes_no_progress_is_a_failure_until_it_goes_on() {
    let _serial = SERIAL.lock().await;
    for (trapped, stalled) in [(JANITOR, JANITOR), (WORKER, WORKER), (PUBLISHER, "rdpm-publisher-0")] {
        let limit = Some(Duration::from_millis(300));
        let options = Options { step_timeout: limit, ..options() };
        let server = server_with_trap(trapped, Trap::Block, options).await;
        let _release = Release;
        let Failure::Stalled { thread, time, .. } = failure(&server.engine).await else { panic!() };
        assert_eq!(thread, stalled);
        assert!(Some(time) >= limit);
        assert_live(&server, false).await;
        set_trap(None);
        assert_live(&server, true).await;
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_hangs_is_a_failure_and_ends_at_shutdown() {
    let _serial = SERIAL.lock().await;
    let limit = Some(Duration::from_millis(300));
    let (server, script) = Server::with_fake_backend(Options { step_timeout: limit, ..options() }).await;
    script.pause();
    let id = server.engine.submit(request(&server.engine, 1, 1)).unwrap();
    let Failure::Stalled { thread, activity, .. } = failure(&server.engine).await else { panic!() };
    assert_eq!((thread.as_str(), activity), (WORKER, "a step"));
    assert_live(&server, false).await;
    script.run_steps(1);
    script.permit_steps(100);
    assert_live(&server, true).await;

    // A shutdown doesn't wait for a step that hangs: without the limit it would wait for ten seconds.
    script.pause();
    let id_of_hanging = server.engine.submit(request(&server.engine, 2, 1)).unwrap();
    failure(&server.engine).await;
    let engine = Arc::clone(&server.engine);
    with_timeout(server.stop()).await;
    assert!(engine.get(id).unwrap().status.is_terminal());
    assert!(engine.get(id_of_hanging).unwrap().status.is_terminal());
    script.resume();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokenization_that_hangs_is_a_failure() {
    let _serial = SERIAL.lock().await;
    let limit = Some(Duration::from_millis(300));
    let (server, script) = Server::with_fake_backend(Options { step_timeout: limit, ..options() }).await;
    script.pause_tokenizations(true);
    let engine = Arc::clone(&server.engine);
    let tokenized = tokio::spawn(async move {
        let image = image::DynamicImage::new_luma8(12, 12);
        engine.tokenize(engine.default_model(), image, 1).await
    });
    let Failure::Stalled { activity, .. } = failure(&server.engine).await else { panic!() };
    assert_eq!(activity, "tokenizing an image");
    assert_live(&server, false).await;
    script.pause_tokenizations(false);
    assert!(with_timeout(tokenized).await.unwrap().is_ok());
    assert_live(&server, true).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_engine_is_live() {
    let _serial = SERIAL.lock().await;
    let limit = Some(Duration::from_millis(50));
    let (server, _) = Server::with_fake_backend(Options { step_timeout: limit, ..options() }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.engine.failure(), None);
    let engine = Arc::clone(&server.engine);
    server.stop().await;
    assert_eq!(engine.failure(), None);
}
