//! One attempt to send a web hook: resolve the host, check its addresses, connect to one of these, send the request.
//!
//! A connection is made for each attempt, to an address that was checked in this attempt. Redirects are not followed.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Host;

use super::address::{WebhookNetwork, is_public};
use super::target::Target;

/// Addresses of a host at most that are tried in an attempt.
const MAX_ADDRESSES: usize = 4;
/// The longest time of connecting to one address.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What is read of an answer's body, in bytes and in time. Nothing in it matters; most receivers want it to be read.
const MAX_ANSWER: usize = 4096;
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// The buffer of a connection, which an answer's head must fit in.
const BUFFER: usize = 16 * 1024;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    /// No address of the host is allowed.
    #[error("{0}")]
    Refused(&'static str),
    #[error("{0}")]
    Failed(BoxError),
}

impl SendError {
    pub fn failed(error: impl Into<BoxError>) -> Self {
        Self::Failed(error.into())
    }
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: StatusCode,
    /// How long it asks to wait, with 429 or 503.
    pub retry_after: Option<Duration>,
}

/// Connects to receivers.
pub(super) struct Connector {
    networks: Vec<WebhookNetwork>,
    tls: Option<TlsConnector>,
}

impl Connector {
    /// With the system's certificates of authorities.
    pub fn new(networks: Vec<WebhookNetwork>) -> Self {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (count, _) = roots.add_parsable_certificates(found.certs);
        if count == 0 {
            let reason = found.errors.first().map(ToString::to_string).unwrap_or_default();
            tracing::warn!(
                reason,
                "the system has no certificates of authorities: web hooks to https addresses will fail"
            );
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let tls = config.with_safe_default_protocol_versions().map(|config| {
            let mut config = config.with_root_certificates(roots).with_no_client_auth();
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        });
        let tls = tls.inspect_err(|error| tracing::error!(%error, "web hooks have no TLS"));
        Self { networks, tls: tls.ok() }
    }

    /// Whether web hooks may go to an address.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, address: IpAddr, is_https: bool) -> Result<(), &'static str> {
        if self.networks.iter().any(|network| network.contains(address)) {
            return Ok(());
        }
        match (is_public(address), is_https) {
            (true, true) => Ok(()),
            (true, false) => Err("without https, only addresses in --webhook-networks are allowed"),
            (false, _) => Err("the address is private or special, and not in --webhook-networks"),
        }
    }

    /// Sends a request and returns the answer. Must be given a time limit.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(&self, target: &Target, headers: HeaderMap, body: Bytes) -> Result<Answer, SendError> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.path.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, target.authority.clone());
        let connection = self.connect(&self.addresses(target).await?).await?;
        if !target.is_https {
            return exchange(connection, request).await;
        }
        let tls = self.tls.as_ref().ok_or_else(|| SendError::failed("there is no TLS"))?;
        let name = match &target.host {
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(SendError::failed)?,
            Host::Ipv4(address) => ServerName::from(IpAddr::from(*address)),
            Host::Ipv6(address) => ServerName::from(IpAddr::from(*address)),
        };
        exchange(tls.connect(name, connection).await.map_err(SendError::failed)?, request).await
    }

    /// The addresses of a host that are allowed, at least one.
    async fn addresses(&self, target: &Target) -> Result<Vec<SocketAddr>, SendError> {
        let found: Vec<SocketAddr> = match (&target.host, target.ip()) {
            (Host::Domain(name), _) => {
                let found = tokio::net::lookup_host((name.as_str(), target.port)).await;
                found.map_err(SendError::failed)?.collect()
            }
            (_, address) => {
                address.map(|address| SocketAddr::new(address, target.port)).into_iter().collect()
            }
        };
        let (mut allowed, mut refused) = (Vec::new(), "the name leads to no address");
        for address in found {
            match self.check(address.ip(), target.is_https) {
                Ok(()) => allowed.push(address),
                Err(reason) => refused = reason,
            }
        }
        allowed.truncate(MAX_ADDRESSES);
        if allowed.is_empty() { Err(SendError::Refused(refused)) } else { Ok(allowed) }
    }

    /// Connects to the first of these addresses that answers.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, SendError> {
        let mut last = SendError::failed("there is no address");
        for &address in addresses {
            match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => last = SendError::failed(error),
                Err(_) => last = SendError::failed("the host doesn't accept connections"),
            }
        }
        Err(last)
    }
}

/// Sends a request over a connection, which is closed afterwards.
async fn exchange<C>(connection: C, request: Request<Full<Bytes>>) -> Result<Answer, SendError>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut http = http1::Builder::new();
    http.max_buf_size(BUFFER);
    let (mut sender, connection) =
        http.handshake(TokioIo::new(connection)).await.map_err(SendError::failed)?;
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await.map_err(SendError::failed)?;
        let answer = Answer { status: response.status(), retry_after: retry_after(&response) };
        let rest = Limited::new(response.into_body(), MAX_ANSWER).collect();
        let _ = tokio::time::timeout(ANSWER_TIME, rest).await;
        Ok(answer)
    });
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // What has arrived can still be read.
        _ = connection => exchange.await,
    }
}

/// The header `Retry-After`, as seconds or as a date, where it means that the receiver is busy.
fn retry_after(response: &axum::http::Response<Incoming>) -> Option<Duration> {
    let status = response.status();
    if status != StatusCode::TOO_MANY_REQUESTS && status != StatusCode::SERVICE_UNAVAILABLE {
        return None;
    }
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok())
}
