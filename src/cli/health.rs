//! `rdpm health`: checks whether a server on this machine is ready. For container runtimes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use clap::Args;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::output::print;
use super::serve::{UNIX, plain};

const PATH: &str = "/health/ready";

#[derive(Debug, Args)]
pub struct Health {
    /// Configuration file of the server, for its address and port.
    #[arg(long, env = "RDPM_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address or Unix socket that the server listens on.
    #[arg(long, env = "RDPM_HOST", default_value = "127.0.0.1")]
    host: String,
    /// Port that the server listens on.
    #[arg(long, env = "RDPM_PORT", default_value_t = 3000)]
    port: u16,
    /// The server's second address, if it has one.
    #[arg(long, env = "RDPM_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Time limit of the answer, in seconds.
    #[arg(long, env = "RDPM_HEALTH_TIMEOUT", default_value_t = 5, value_name = "SECONDS")]
    timeout: u64,
}

impl Health {
    pub fn run(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let limit = Duration::from_secs(self.timeout);
        let status = runtime.block_on(async { tokio::time::timeout(limit, self.ask()).await });
        let status = status.with_context(|| format!("no answer within {limit:?}"))??;
        if status != StatusCode::OK {
            bail!("not ready: {PATH} answers {status}");
        }
        print("ready\n")
    }

    async fn ask(&self) -> anyhow::Result<StatusCode> {
        #[cfg(unix)]
        if let (None, Some(path)) = (self.admin_listen, self.host.strip_prefix(UNIX)) {
            let stream = tokio::net::UnixStream::connect(path).await;
            let stream = stream.with_context(|| format!("{path} can't be reached"))?;
            return status(stream, "localhost".into()).await;
        }
        let address = match self.admin_listen {
            Some(address) => (reachable(&address.ip().to_string()), address.port()),
            None => (reachable(plain(&self.host)), self.port),
        };
        let stream = TcpStream::connect(&address)
            .await
            .with_context(|| format!("{}:{} can't be reached", address.0, address.1))?;
        // An address is allowed by every server, unlike the name that leads to it.
        let host = stream.peer_addr()?.to_string();
        status(stream, host).await
    }
}

/// The status that the server answers with.
async fn status(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: String,
) -> anyhow::Result<StatusCode> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(PATH).header(header::HOST, host).body(Body::empty())?;
    Ok(sender.send_request(request).await?.status())
}

/// The address to connect to: a server that listens on all addresses is reached by the loopback address.
fn reachable(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V4(address)) if address.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(address)) if address.is_unspecified() => Ipv6Addr::LOCALHOST.to_string(),
        _ => host.to_owned(),
    }
}
