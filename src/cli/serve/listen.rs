//! Where the server listens: an address and a port, a Unix socket, or a socket that systemd opened.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use anyhow::{Context, anyhow};
use rdpm::web::Listener;
use tokio::net::TcpListener;

/// How `--host` writes the path of a Unix socket.
pub const UNIX: &str = "unix:";

/// A listener and its address.
pub struct Listening {
    pub listener: Listener,
    /// As people read it.
    pub address: String,
    /// The socket's file, which is removed when this is dropped.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket, which is removed when this is dropped.
pub struct SocketFile(std::path::PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Takes the socket that systemd passed, or else opens one.
pub async fn listen(host: &str, port: u16) -> anyhow::Result<Listening> {
    if let Some(listener) = passed_socket()? {
        let address = match &listener {
            Listener::Tcp(listener) => format!("http://{}", listener.local_addr()?),
            #[cfg(unix)]
            Listener::Unix(_) => "the socket that systemd passed".into(),
        };
        return Ok(Listening { listener, address, file: None });
    }
    if let Some(path) = host.strip_prefix(UNIX) {
        return listen_on_file(Path::new(path)).await;
    }
    let listener =
        TcpListener::bind((plain(host), port)).await.map_err(|error| refused(host, port, error))?;
    let address = format!("http://{}", listener.local_addr()?);
    Ok(Listening { listener: listener.into(), address, file: None })
}

/// A host without the brackets that addresses of IPv6 have before a port.
pub fn plain(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

fn refused(host: &str, port: u16, error: io::Error) -> anyhow::Error {
    let help = match error.kind() {
        ErrorKind::AddrInUse => {
            "; another program uses this port: choose one with --port (RDPM_PORT), or 0 for a free one"
        }
        ErrorKind::PermissionDenied => "; choose a port above 1023 with --port (RDPM_PORT)",
        ErrorKind::AddrNotAvailable => "; choose an address of this machine with --host (RDPM_HOST)",
        _ => "",
    };
    let address = Address(host, port);
    anyhow!("{address} can't be listened on: {error}{help}")
}

struct Address<'a>(&'a str, u16);

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        let host = plain(host);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Opens a Unix socket. A file that a server left behind is replaced.
#[cfg(unix)]
async fn listen_on_file(path: &Path) -> anyhow::Result<Listening> {
    use std::os::unix::fs::FileTypeExt;
    use tokio::net::{UnixListener, UnixStream};

    let name = path.display();
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket {
        match UnixStream::connect(path).await {
            Ok(_) => anyhow::bail!(
                "{name} can't be listened on: another program uses this socket; choose another with --host"
            ),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).with_context(|| format!("{name} can't be replaced"))?;
            }
            Err(_) => {}
        }
    }
    let listener = UnixListener::bind(path).with_context(|| format!("{name} can't be listened on"))?;
    let address = format!("{UNIX}{name}");
    Ok(Listening { listener: listener.into(), address, file: Some(SocketFile(path.to_owned())) })
}

#[cfg(not(unix))]
async fn listen_on_file(path: &Path) -> anyhow::Result<Listening> {
    Err(anyhow!("{}: this system has no Unix sockets", path.display()))
}

/// The socket that systemd passed (`LISTEN_FDS`), if it passed one.
#[cfg(unix)]
fn passed_socket() -> anyhow::Result<Option<Listener>> {
    let mut sockets = listenfd::ListenFd::from_env();
    match sockets.len() {
        0 => return Ok(None),
        1 => {}
        count => anyhow::bail!("systemd passed {count} sockets; the server takes one"),
    }
    if let Ok(Some(listener)) = sockets.take_tcp_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(TcpListener::from_std(listener)?.into()));
    }
    let listener = sockets.take_unix_listener(0).context("the socket that systemd passed can't be used")?;
    let listener = listener.context("the socket that systemd passed can't be used")?;
    listener.set_nonblocking(true)?;
    Ok(Some(tokio::net::UnixListener::from_std(listener)?.into()))
}

#[cfg(not(unix))]
fn passed_socket() -> anyhow::Result<Option<Listener>> {
    Ok(None)
}
