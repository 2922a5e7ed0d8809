//! Connections: accepting, limiting and closing them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::IntoResponse;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::access::{ClientPermits, LocalAddress, network};
use super::files::ClassPictures;
use super::http_metrics::{GaugeGuard, HttpMetrics};
use super::options::Options;
use super::problem::Problem;
use super::site;
use crate::queue::AnyEngine;

/// Time that clients get to read their responses after the engine has stopped.
const LAST_RESPONSES: Duration = Duration::from_secs(5);
/// The longest request line and headers, in bytes.
const MAX_HEAD: usize = 32 * 1024;
/// The buffer of a connection in each direction, in bytes.
const BUFFER: usize = 64 * 1024;
/// Connections beyond the limit that are answered with 503 at once; further ones are closed without an answer.
const MAX_REFUSALS: usize = 64;
/// Those of one address.
const MAX_REFUSALS_PER_ADDRESS: usize = 16;
/// Open connections of the operator's listener.
const MAX_ADMIN: usize = 64;
/// Time limit of such an answer.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves the site until `signal` resolves. Then shuts the engine down (new jobs are answered with 503 meanwhile), which ends
/// open event streams with a final event, stops listening, and returns when the last responses are sent or after 5 seconds.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    engine: impl Into<AnyEngine>,
    pictures: ClassPictures,
    options: &Options,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    serve_with_admin(listener, None, engine, pictures, options, signal).await
}

/// The same as [`serve`], with a second listener for the operator. It serves `/health/…` and `/metrics` without a key, and its
/// connections don't count as clients'.
///
/// # Errors
/// Those of the listeners.
pub async fn serve_with_admin(
    mut listener: TcpListener,
    mut admin: Option<TcpListener>,
    engine: impl Into<AnyEngine>,
    pictures: ClassPictures,
    options: &Options,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let engine = engine.into();
    let metrics = HttpMetrics::default();
    let site = site::with_metrics(engine.clone(), pictures, options, &metrics);
    let per_address = options.max_connections_per_address.filter(|_| options.trust_proxy.is_none());
    let limit = ConnectionPermits::new(options.max_connections, per_address.unwrap_or(usize::MAX));
    let refusals_per_address = if per_address.is_some() { MAX_REFUSALS_PER_ADDRESS } else { MAX_REFUSALS };
    let refusals = ConnectionPermits::new(MAX_REFUSALS, refusals_per_address);
    let server = Server::new(site.public, limit, refusals, options, metrics.connections);
    let (limit, refusals) = (ConnectionPermits::new(MAX_ADMIN, MAX_ADMIN), ConnectionPermits::new(1, 1));
    let admin_server = Server::new(site.admin, limit, refusals, options, Gauge::default());
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop(engine, signal, options.drain));
    loop {
        tokio::select! {
            (connection, peer) = accept(Some(&mut listener)) => server.accept(connection, peer, connections.watcher()),
            (connection, peer) = accept(admin.as_mut()) => admin_server.accept(connection, peer, connections.watcher()),
            () = &mut stop => break,
        }
    }
    drop((listener, admin));
    // A client that keeps its connection open must not keep the server up.
    let _ = tokio::time::timeout(LAST_RESPONSES, connections.shutdown()).await;
    Ok(())
}

/// The next connection; never, where there is no listener. Errors are handled: it waits where too many files are open.
async fn accept(listener: Option<&mut TcpListener>) -> (TcpStream, SocketAddr) {
    match listener {
        Some(listener) => Listener::accept(listener).await,
        None => std::future::pending().await,
    }
}

/// Shuts the engine down after `signal` has resolved.
async fn stop(engine: AnyEngine, signal: impl Future<Output = ()>, drain: Duration) {
    signal.await;
    tracing::info!(?drain, "shutting down");
    // Shutting down blocks; streams must go on meanwhile.
    if let Err(error) = tokio::task::spawn_blocking(move || engine.shutdown(drain)).await {
        tracing::error!(%error, "the engine could not be shut down");
    }
}

/// Permits for connections that may be open, by network.
type ConnectionPermits = ClientPermits<IpAddr>;

struct Server {
    app: Router,
    limit: ConnectionPermits,
    refusals: ConnectionPermits,
    open: Gauge,
    http: http1::Builder,
    write_timeout: Duration,
}

impl Server {
    fn new(
        app: Router,
        limit: ConnectionPermits,
        refusals: ConnectionPermits,
        options: &Options,
        open: Gauge,
    ) -> Self {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(options.header_timeout)
            .max_header_size(MAX_HEAD)
            .max_buf_size(BUFFER);
        Self { app, limit, refusals, open, http, write_timeout: options.write_timeout }
    }

    /// Serves a connection on its own task; where too many are open, answers one request: 503, or a health check.
    fn accept(&self, connection: TcpStream, peer: SocketAddr, watcher: Watcher) {
        // Step events are small messages that should not be delayed.
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY");
        }
        let local = connection.local_addr().ok().map(LocalAddress);
        let with_addresses = move |request: hyper::Request<Incoming>| {
            let mut request: Request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            local.and_then(|local| request.extensions_mut().insert(local));
            request
        };
        let mut io = TimeoutStream::new(connection);
        io.set_write_timeout(Some(self.write_timeout));
        let io = TokioIo::new(Box::pin(io));
        if let Some(permit) = self.limit.try_acquire(network(peer.ip())) {
            let service = self.app.clone().map_request(with_addresses);
            let served = watcher.watch(self.http.serve_connection(io, TowerToHyperService::new(service)));
            let open = GaugeGuard::new(&self.open);
            tokio::spawn(async move {
                if let Err(error) = served.await {
                    tracing::debug!(%peer, %error, "connection ended");
                }
                drop((permit, open));
            });
        } else if let Some(permit) = self.refusals.try_acquire(network(peer.ip())) {
            let app = self.app.clone();
            let answer = move |request: hyper::Request<Incoming>| {
                let app = app.clone();
                async move {
                    if request.uri().path().starts_with("/health/") {
                        return app.oneshot(with_addresses(request)).await;
                    }
                    Ok(Problem::overloaded().into_response())
                }
            };
            let mut http = self.http.clone();
            http.keep_alive(false);
            let served = watcher.watch(http.serve_connection(io, service_fn(answer)));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, served).await;
                drop(permit);
            });
        }
    }
}
