//! Connections: accepting them, bounding them, and ending them in order.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::IntoResponse;
use axum::serve::{Listener, ListenerExt};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::ClassPictures;
use super::http_metrics::{Counted, HttpMetrics};
use super::options::Options;
use super::problem::Problem;
use crate::engine::Engine;

/// After the engine has stopped, clients have so long to read the rest of their answers.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// The longest head of a request.
const MAX_HEAD: usize = 32 * 1024;
/// What a connection may buffer in each direction.
const BUFFER: usize = 64 * 1024;
/// So many connections beyond the limit are told so at a time; the rest are closed without a word.
const REFUSALS: usize = 64;
/// How long one of them may take to hear it.
const REFUSE_WITHIN: Duration = Duration::from_secs(1);

/// Serves the site until `signal` resolves, then shuts the engine down (answering 503 to new jobs meanwhile), which ends the
/// open event streams with a final event; then stops listening and returns when the last answers are sent, or 5
/// seconds later.
///
/// # Errors
/// Any of the listener.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    pictures: ClassPictures,
    options: &Options,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let metrics = HttpMetrics::default();
    let app = super::site(Arc::clone(&engine), pictures, options, &metrics);
    let server = Server::new(app, options, metrics.connections);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop(engine, signal, options.drain));
    // Steps are small messages that should arrive when they happen.
    let mut listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    loop {
        // `accept` deals with its errors itself: it waits where there are too many open files.
        tokio::select! {
            (connection, peer) = listener.accept() => server.take(connection, peer, connections.watcher()),
            () = &mut stop => break,
        }
    }
    drop(listener);
    // A client that neither reads nor leaves must not keep the server up.
    let _ = tokio::time::timeout(LAST_ANSWERS, connections.shutdown()).await;
    Ok(())
}

/// Resolves when `signal` has and the engine has been shut down.
async fn stop(engine: Arc<Engine>, signal: impl Future<Output = ()>, drain: Duration) {
    signal.await;
    tracing::info!(?drain, "shutting down");
    // Shutting down blocks, and streams must go on meanwhile.
    if let Err(error) = tokio::task::spawn_blocking(move || engine.shutdown(drain)).await {
        tracing::error!(%error, "the engine could not be shut down");
    }
}

struct Server {
    app: Router,
    room: Arc<Semaphore>,
    open: Gauge,
    refusals: Arc<Semaphore>,
    http: http1::Builder,
    write_timeout: Duration,
}

impl Server {
    fn new(app: Router, options: &Options, open: Gauge) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_header_size(MAX_HEAD)
            .max_buf_size(BUFFER);
        Self {
            app,
            room: Arc::new(Semaphore::new(options.max_connections)),
            open,
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            http,
            write_timeout: options.write_timeout,
        }
    }

    /// Serves a connection on a task of its own; one too many is told to come back later.
    fn take(&self, connection: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let mut io = TimeoutStream::new(connection);
        io.set_write_timeout(Some(self.write_timeout));
        let io = TokioIo::new(Box::pin(io));
        if let Ok(place) = Arc::clone(&self.room).try_acquire_owned() {
            let service = self.app.clone().map_request(move |request: hyper::Request<Incoming>| {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                request
            });
            let served = watcher.watch(self.http.serve_connection(io, TowerToHyperService::new(service)));
            let open = Counted::new(&self.open);
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                drop((place, open));
            });
        } else if let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() {
            let refuse = |_| async { Ok::<_, Infallible>(Problem::overloaded().into_response()) };
            let mut http = self.http.clone();
            http.keep_alive(false);
            let served = watcher.watch(http.serve_connection(io, service_fn(refuse)));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REFUSE_WITHIN, served).await;
                drop(place);
            });
        }
    }
}
