//! Connections: accepting, limiting and closing them.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_io_timeout::TimeoutStream;
use tower::ServiceExt;

use super::access::{ClientPermits, LocalAddress, network};
use super::files::ClassPictures;
use super::http_metrics::{GaugeGuard, HttpMetrics};
use super::http2::{Exchanges, Rewound, builder, with_body_to_its_end};
use super::listener::{Connection, Listener};
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
    listener: impl Into<Listener>,
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
    listener: impl Into<Listener>,
    admin: Option<TcpListener>,
    engine: impl Into<AnyEngine>,
    pictures: ClassPictures,
    options: &Options,
    signal: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let (mut listener, mut admin) = (listener.into(), admin.map(Listener::Tcp));
    let engine = engine.into();
    let metrics = HttpMetrics::default();
    let site = site::with_metrics(engine.clone(), pictures, options, &metrics);
    // Behind a proxy, and on a Unix socket, all connections have one address.
    let has_addresses = options.trust_proxy.is_none() && matches!(listener, Listener::Tcp(_));
    let per_address = options.max_connections_per_address.filter(|_| has_addresses);
    let limit = ConnectionPermits::new(options.max_connections, per_address.unwrap_or(usize::MAX));
    let refusals_per_address = if per_address.is_some() { MAX_REFUSALS_PER_ADDRESS } else { MAX_REFUSALS };
    let refusals = ConnectionPermits::new(MAX_REFUSALS, refusals_per_address);
    let (stopped, stopping) = watch::channel(());
    let server = Server::new(site.public, [limit, refusals], options, metrics.connections, stopping.clone());
    let permits = [ConnectionPermits::new(MAX_ADMIN, MAX_ADMIN), ConnectionPermits::new(1, 1)];
    let admin_server = Server::new(site.admin, permits, options, Gauge::default(), stopping);
    let connections = GracefulShutdown::new();
    let mut stop = pin!(stop(engine, signal, options.drain));
    loop {
        tokio::select! {
            connection = accept(Some(&mut listener)) => server.accept(connection, connections.watcher()),
            connection = accept(admin.as_mut()) => admin_server.accept(connection, connections.watcher()),
            () = &mut stop => break,
        }
    }
    drop((listener, admin, stopped));
    // A client that keeps its connection open must not keep the server up, nor must a receiver that is slow.
    let last_responses = tokio::time::timeout(LAST_RESPONSES, connections.shutdown());
    let last_webhooks = site.webhooks.close(options.drain.min(LAST_RESPONSES));
    let _ = tokio::join!(last_responses, last_webhooks);
    Ok(())
}

/// The next connection; never, where there is no listener.
async fn accept(listener: Option<&mut Listener>) -> Connection {
    match listener {
        Some(listener) => listener.accept().await,
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

/// Permits for connections that may be open, by network. Unix sockets have none.
type ConnectionPermits = ClientPermits<Option<IpAddr>>;

struct Server {
    app: Router,
    limit: ConnectionPermits,
    refusals: ConnectionPermits,
    open: Gauge,
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
    timeouts: Timeouts,
    /// Changes when the server stops.
    stopping: watch::Receiver<()>,
}

#[derive(Clone, Copy)]
struct Timeouts {
    header: Duration,
    keep_alive: Duration,
    write: Duration,
}

impl Server {
    fn new(
        app: Router,
        [limit, refusals]: [ConnectionPermits; 2],
        options: &Options,
        open: Gauge,
        stopping: watch::Receiver<()>,
    ) -> Self {
        let timeouts = Timeouts {
            header: options.header_timeout,
            keep_alive: options.keep_alive_timeout.max(options.header_timeout),
            write: options.write_timeout,
        };
        let mut http1 = http1::Builder::new();
        http1
            .timer(TokioTimer::new())
            // It also runs between two requests.
            .header_read_timeout(timeouts.keep_alive)
            .max_header_size(MAX_HEAD)
            .max_buf_size(BUFFER);
        Self { app, limit, refusals, open, http1, http2: builder(MAX_HEAD), timeouts, stopping }
    }

    /// Serves a connection on its own task; where too many are open, answers one request: 503, or a health check.
    fn accept(&self, connection: Connection, watcher: Watcher) {
        match connection {
            Connection::Tcp(connection, peer) => {
                // Step events are small messages that should not be delayed.
                if let Err(error) = connection.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY");
                }
                let local = connection.local_addr().ok().map(LocalAddress);
                self.serve(connection, Some(peer), local, watcher);
            }
            #[cfg(unix)]
            Connection::Unix(connection) => self.serve(connection, None, None, watcher),
        }
    }

    fn serve(
        &self,
        connection: impl AsyncRead + AsyncWrite + Send + 'static,
        peer: Option<SocketAddr>,
        local: Option<LocalAddress>,
        watcher: Watcher,
    ) {
        let begun = Arc::new(AtomicBool::new(false));
        let has_begun = Arc::clone(&begun);
        let with_addresses = move |request: hyper::Request<Incoming>| {
            begun.store(true, Ordering::Relaxed);
            let mut request: Request = request.map(Body::new);
            peer.and_then(|peer| request.extensions_mut().insert(ConnectInfo(peer)));
            local.and_then(|local| request.extensions_mut().insert(local));
            request
        };
        let mut io = TimeoutStream::new(connection);
        io.set_write_timeout(Some(self.timeouts.write));
        let io = Box::pin(io);
        let client = peer.map(|peer| network(peer.ip()));
        if let Some(permit) = self.limit.try_acquire(client) {
            let (app, http1, http2) = (self.app.clone(), self.http1.clone(), self.http2.clone());
            let (timeouts, mut stopping) = (self.timeouts, self.stopping.clone());
            let open = GaugeGuard::new(&self.open);
            let served = async move {
                let (is_http2, io) = tokio::select! {
                    detected = Rewound::detect(io) => detected?,
                    _ = stopping.changed() => return Ok(()),
                };
                let io = TokioIo::new(io);
                if !is_http2 {
                    let app = app.map_request(with_addresses);
                    return Ok(watcher
                        .watch(http1.serve_connection(io, TowerToHyperService::new(app)))
                        .await?);
                }
                let app = app.map_request(with_body_to_its_end).map_request(with_addresses);
                let exchanges = Exchanges::default();
                let begun = exchanges.clone();
                let service = service_fn(move |request| {
                    let (exchange, app) = (begun.begin(), app.clone());
                    async move { app.oneshot(request).await.map(|response| exchange.with_response(response)) }
                });
                tokio::select! {
                    served = watcher.watch(http2.serve_connection(io, service)) => Ok(served?),
                    () = exchanges.is_over(timeouts.keep_alive, timeouts.write) => Ok(()),
                }
            };
            let is_silent = async move {
                tokio::time::sleep(timeouts.header).await;
                if has_begun.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::spawn(async move {
                let served: Result<(), Box<dyn Error + Send + Sync>> = tokio::select! {
                    served = served => served,
                    () = is_silent => Err("no request in time".into()),
                };
                if let Err(error) = served {
                    tracing::debug!(?peer, %error, "connection ended");
                }
                drop((permit, open));
            });
        } else if let Some(permit) = self.refusals.try_acquire(client) {
            let app = self.app.clone();
            let answer = move |request: hyper::Request<Incoming>| {
                let (app, with_addresses) = (app.clone(), with_addresses.clone());
                async move {
                    if request.uri().path().starts_with("/health/") {
                        return app.oneshot(with_addresses(request)).await;
                    }
                    Ok(Problem::overloaded().into_response())
                }
            };
            let mut http = self.http1.clone();
            http.keep_alive(false);
            let served = watcher.watch(http.serve_connection(TokioIo::new(io), service_fn(answer)));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, served).await;
                drop(permit);
            });
        }
    }
}
