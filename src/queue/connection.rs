//! Connecting to the servers.

use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};

use super::error::QueueError;
use super::names::Names;
use super::options::QueueOptions;
use super::streams;

/// The time that a request to the servers may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
/// The time between two attempts to connect.
const RETRY: Duration = Duration::from_secs(1);
/// The pause before a stream or a subscription that has ended is opened again.
pub(super) const REOPEN: Duration = Duration::from_millis(300);

/// A connection whose streams exist. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connection {
    pub client: Client,
    pub jetstream: Context,
    pub events: Stream,
    pub work: Stream,
}

/// Checks what can be checked without a server: addresses and files.
///
/// # Errors
/// [`QueueError::Connect`] for an address, [`QueueError::File`] for a file.
pub(super) async fn check(options: &QueueOptions) -> Result<(), QueueError> {
    servers(options)?;
    connect_options(options).await.map(drop)
}

fn servers(options: &QueueOptions) -> Result<Vec<ServerAddr>, QueueError> {
    let parse = |server: &String| {
        let address = server.parse::<ServerAddr>();
        // The address may contain a password.
        address.map_err(|_| QueueError::Connect("an address is no NATS address".into()))
    };
    options.servers.iter().map(parse).collect()
}

async fn connect_options(options: &QueueOptions) -> Result<ConnectOptions, QueueError> {
    let mut connect = ConnectOptions::new()
        .name(format!("rdpm {}", env!("CARGO_PKG_VERSION")))
        .connection_timeout(TIMEOUT)
        .request_timeout(Some(TIMEOUT))
        // A server that hangs is left after two.
        .ping_interval(Duration::from_secs(5))
        .require_tls(options.tls)
        .event_callback(async |event| match event {
            Event::Connected => tracing::info!("connected to the queue"),
            Event::Disconnected => tracing::warn!("the connection to the queue is lost"),
            event => tracing::warn!(%event, "the queue's connection"),
        });
    // The client doesn't take them from the address.
    for server in servers(options)? {
        match (server.username(), server.password()) {
            (Some(user), Some(password)) => {
                connect = connect.user_and_password(user.to_owned(), password.to_owned());
            }
            (Some(token), None) if !token.is_empty() => connect = connect.token(token.to_owned()),
            _ => {}
        }
    }
    if let Some(path) = &options.credentials {
        let read = connect.credentials_file(path).await;
        connect = read.map_err(|error| file_error(path, &error))?;
    }
    if let Some(path) = &options.nkey {
        let seed = std::fs::read_to_string(path).map_err(|error| file_error(path, &error))?;
        connect = connect.nkey(seed.trim().to_owned());
    }
    if let Some(path) = &options.ca {
        std::fs::metadata(path).map_err(|error| file_error(path, &error))?;
        connect = connect.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &options.certificate {
        for path in [certificate, key] {
            std::fs::metadata(path).map_err(|error| file_error(path, &error))?;
        }
        connect = connect.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(connect)
}

fn file_error(path: &std::path::Path, error: &std::io::Error) -> QueueError {
    QueueError::File { path: path.to_owned(), reason: error.to_string() }
}

/// Connects, and creates or checks the streams.
pub(super) async fn connect(options: &QueueOptions, names: &Names) -> Result<Connection, QueueError> {
    let connecting = connect_options(options).await?.connect(servers(options)?).await;
    let client = connecting.map_err(|error| match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            QueueError::Unauthorized
        }
        _ => QueueError::Connect(error.to_string()),
    })?;
    let mut jetstream = jetstream::new(client.clone());
    jetstream.set_timeout(TIMEOUT);
    let events = streams::ensure_stream(&jetstream, streams::event_stream(names, options)).await?;
    let work = streams::ensure_stream(&jetstream, streams::work_stream(names, options)).await?;
    Ok(Connection { client, jetstream, events, work })
}

/// The same, again and again until it succeeds. Each other reason of failure is logged, and given to `report`.
pub(super) async fn connect_until_it_works(
    options: &QueueOptions,
    names: &Names,
    report: impl Fn(&QueueError),
) -> Connection {
    let mut last = String::new();
    loop {
        match connect(options, names).await {
            Ok(connection) => return connection,
            Err(error) => {
                let reason = error.to_string();
                if reason != last {
                    tracing::error!(%error, "the queue can't be used; trying again");
                    last = reason;
                }
                report(&error);
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
