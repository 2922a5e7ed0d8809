//! Where the server listens: an address and a port, or a Unix socket.

use std::net::SocketAddr;

use axum::serve;
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

/// Where clients connect to.
#[derive(Debug)]
pub enum Listener {
    /// An address and a port.
    Tcp(TcpListener),
    /// A file, or an abstract name.
    #[cfg(unix)]
    Unix(UnixListener),
}

/// A client's connection.
pub(super) enum Connection {
    Tcp(TcpStream, SocketAddr),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Listener {
    /// The next connection. Errors are handled: it waits where too many files are open.
    pub(super) async fn accept(&mut self) -> Connection {
        match self {
            Self::Tcp(listener) => {
                let (connection, peer) = serve::Listener::accept(listener).await;
                Connection::Tcp(connection, peer)
            }
            #[cfg(unix)]
            Self::Unix(listener) => Connection::Unix(serve::Listener::accept(listener).await.0),
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

#[cfg(unix)]
impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}
