//! Connections: accepting, limiting and closing them.

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

use super::access::LocalAddress;
use super::files::ClassPictures;
use super::http_metrics::{GaugeGuard, HttpMetrics};
use super::options::Options;
use super::problem::Problem;
use super::site;
use crate::engine::Engine;

/// Time that clients get to read their responses after the engine has stopped.
const LAST_RESPONSES: Duration = Duration::from_secs(5);
/// The longest request line and headers, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// The buffer of a connection in each direction, in bytes.
const BUFFER: usize = 64 * 1024;
/// Connections beyond the limit that are answered with 503 at once; further ones are closed without an answer.
const MAX_REFUSALS: usize = 64;
/// Time limit of such an answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the site until `signal` resolves. Then shuts the engine down (new jobs are answered with 503 meanwhile), which ends
/// open event streams with a final event, stops listening, and returns when the last responses are sent or after 5 seconds.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    engine: Arc<Engine>,
    pictures: ClassPictures,
    options: &Options,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let metrics = HttpMetrics::default();
    let app = site::with_metrics(Arc::clone(&engine), pictures, options, &metrics);
    let server = Server::new(app, options, metrics.connections);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop(engine, signal, options.drain));
    // Step events are small messages that should not be delayed.
    let mut listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
    });
    loop {
        // `accept` handles its own errors: it waits where too many files are open.
        tokio::select! {
            (connection, peer) = listener.accept() => server.accept(connection, peer, connections.watcher()),
            () = &mut stop => break,
        }
    }
    drop(listener);
    // A client that keeps its connection open must not keep the server up.
    let _ = tokio::time::timeout(LAST_RESPONSES, connections.shutdown()).await;
    Ok(())
}

/// Shuts the engine down after `signal` has resolved.
async fn stop(engine: Arc<Engine>, signal: impl Future<Output = ()>, drain: Duration) {
    signal.await;
    tracing::info!(?drain, "shutting down");
    // Shutting down blocks; streams must go on meanwhile.
    if let Err(error) = tokio::task::spawn_blocking(move || engine.shutdown(drain)).await {
        tracing::error!(%error, "the engine could not be shut down");
    }
}

struct Server {
    app: Router,
    permits: Arc<Semaphore>,
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
            permits: Arc::new(Semaphore::new(options.max_connections)),
            open,
            refusals: Arc::new(Semaphore::new(MAX_REFUSALS)),
            http,
            write_timeout: options.write_timeout,
        }
    }

    /// Serves a connection on its own task; answers 503 where too many are open.
    fn accept(&self, connection: TcpStream, peer: SocketAddr, watcher: Watcher) {
        let local = connection.local_addr().ok().map(LocalAddress);
        let mut io = TimeoutStream::new(connection);
        io.set_write_timeout(Some(self.write_timeout));
        let io = TokioIo::new(Box::pin(io));
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            let service = self.app.clone().map_request(move |request: hyper::Request<Incoming>| {
                let mut request: Request = request.map(Body::new);
                request.extensions_mut().insert(ConnectInfo(peer));
                local.and_then(|local| request.extensions_mut().insert(local));
                request
            });
            let served = watcher.watch(self.http.serve_connection(io, TowerToHyperService::new(service)));
            let open = GaugeGuard::new(&self.open);
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                drop((permit, open));
            });
        } else if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
            let refuse = |_| async { Ok::<_, Infallible>(Problem::overloaded().into_response()) };
            let mut http = self.http.clone();
            http.keep_alive(false);
            let served = watcher.watch(http.serve_connection(io, service_fn(refuse)));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, served).await;
                drop(permit);
            });
        }
    }
}
