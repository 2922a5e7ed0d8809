//! The web layer: the page, the JSON API and its event streams, over HTTP.
//!
//! What belongs here: routes, checking what clients send, and turning jobs into JSON. What doesn't: how images are made
//! (`engine` and below). Bodies are documented where they are defined: `generation` (jobs), `events` (the stream),
//! `models`, `problem` (every error).
//!
//! | method and path | answer |
//! |---|---|
//! | `GET /` | the page |
//! | `GET /static/{file}` | its scripts and styles, from inside the binary |
//! | `POST /api/v1/generations` | 202 and a job |
//! | `GET /api/v1/generations/{id}` | the job and its images |
//! | `DELETE /api/v1/generations/{id}` | cancels; 200 and the job |
//! | `GET /api/v1/generations/{id}/events` | the job as server-sent events |
//! | `GET /api/v1/generations/{id}/images/{index}.png` | one finished image |
//! | `GET /api/v1/models`, `GET /api/v1/classes` | what is served |
//! | `GET /api/v1/models/{model}/classes/{index}.png` | a sample picture of a class |
//! | `GET /health/live`, `GET /health/ready` | for supervisors and load balancers |

mod create;
mod events;
mod generation;
mod generations;
mod health;
mod layers;
mod models;
mod page;
mod pictures;
mod problem;
mod static_files;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;

pub use pictures::ClassPictures;

use crate::engine::Engine;

/// The largest request body, in bytes. A full request has about 200.
const BODY_LIMIT: usize = 64 * 1024;
/// After the engine has stopped, clients have so long to read the rest of their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// What handlers work with.
#[derive(Clone)]
struct App {
    engine: Arc<Engine>,
    pictures: Arc<ClassPictures>,
}

/// The whole site as a router, to be served or called in-process.
pub fn app(engine: Arc<Engine>, pictures: ClassPictures) -> Router {
    let routes = Router::new()
        .route("/", get(page::index))
        .route("/static/{*path}", get(static_files::file))
        .route("/api/v1/generations", axum::routing::post(generations::create))
        .route("/api/v1/generations/{id}", get(generations::show).delete(generations::cancel))
        .route("/api/v1/generations/{id}/events", get(events::stream))
        .route("/api/v1/generations/{id}/images/{file}", get(generations::image))
        .route("/api/v1/models", get(models::models))
        .route("/api/v1/classes", get(models::classes))
        .route("/api/v1/models/{model}/classes/{file}", get(models::picture))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(App { engine, pictures: Arc::new(pictures) });
    layers::around(routes)
}

/// Serves until `signal` resolves, then shuts the engine down (answering 503 to new jobs meanwhile), which ends the
/// open event streams with a final event; then stops listening and returns when the last answers are sent, or 5
/// seconds later. `drain` is the time that jobs get to end by themselves.
///
/// # Errors
/// Any of the listener.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    engine: Arc<Engine>,
    signal: impl Future<Output = ()> + Send + 'static,
    drain: Duration,
) -> io::Result<()> {
    let (sender, stopped) = tokio::sync::oneshot::channel();
    let stop = async move {
        signal.await;
        tracing::info!(?drain, "shutting down");
        // Shutting down blocks, and streams must go on meanwhile.
        if let Err(error) = tokio::task::spawn_blocking(move || engine.shutdown(drain)).await {
            tracing::error!(%error, "the engine could not be shut down");
        }
        let _ = sender.send(());
    };
    // A client that neither reads nor leaves must not keep the server up.
    let too_late = async move {
        match stopped.await {
            Ok(()) => tokio::time::sleep(LAST_ANSWERS).await,
            Err(_) => std::future::pending().await,
        }
    };
    // Steps are small messages that should arrive when they happen.
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    tokio::select! {
        ended = async { axum::serve(listener, app).with_graceful_shutdown(stop).await } => ended,
        () = too_late => Ok(()),
    }
}
