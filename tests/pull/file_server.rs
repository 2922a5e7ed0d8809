//! A server of files that a test controls: with ranges and entity tags, over real connections, with or without TLS.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::serve::Listener;
use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
    pub if_range: Option<String>,
    pub status: u16,
    /// Bytes of the body that were sent, at most.
    pub sent: usize,
}

/// What a server does instead of sending a file.
#[derive(Debug, Clone)]
pub enum Fault {
    Status(u16),
    Redirect(String),
    /// Announces the whole body, and closes the connection after so many bytes.
    Cut(usize),
    /// Announces the whole body, and sends nothing after so many bytes.
    Stall(usize),
    /// Sends the whole file, whichever part is asked for.
    NoRanges,
    /// Sends the file without announcing its length, and more and more bytes after it.
    Endless,
    /// Answers with this type of content.
    Typed(&'static str),
}

#[derive(Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    /// For the next requests of a path.
    faults: Mutex<HashMap<String, VecDeque<Fault>>>,
    /// For all further requests of a path.
    lasting: Mutex<HashMap<String, Fault>>,
    received: Mutex<Vec<Received>>,
    /// The value that the header `Authorization` must have.
    authorization: Mutex<Option<String>>,
    tags: Mutex<Tags>,
}

/// How a server identifies versions of files.
#[derive(Debug, Clone, Copy, Default)]
pub enum Tags {
    #[default]
    Strong,
    /// Entity tags that don't promise the same bytes.
    Weak,
    Dates,
    None,
}

pub struct FileServer {
    pub address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    runtime: Runtime,
}

impl FileServer {
    pub fn start() -> Self {
        let (runtime, listener, address) = listen();
        let shared = Arc::new(Shared::default());
        let app = app(&shared);
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, scheme: "http", shared, runtime }
    }

    /// With a certificate and its key, as PEM files.
    pub fn start_with_tls(certificate: &str, key: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().map(Result::unwrap).collect();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let config = config.with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap();
        let (runtime, listener, address) = listen();
        let shared = Arc::new(Shared::default());
        let app = app(&shared);
        let listener = TlsListener { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, scheme: "https", shared, runtime }
    }

    /// Publishes a model's files below a path, with their list.
    pub fn publish(&self, path: &str, folder: &Path, names: &[&str]) {
        for name in names {
            self.put(&format!("{path}/{name}"), std::fs::read(folder.join(name)).unwrap());
        }
        self.list(path);
    }

    /// Puts a file to a path.
    pub fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        self.shared.files.lock().insert(path.to_owned(), content.into());
    }

    /// Writes the list of the files below a path anew, and returns its hash.
    pub fn list(&self, path: &str) -> String {
        let (mut files, mut list) = (self.shared.files.lock(), String::new());
        for (name, content) in files.iter() {
            let name = name.strip_prefix(path).and_then(|name| name.strip_prefix('/'));
            if let Some(name) = name.filter(|name| *name != "SHA256SUMS") {
                list += &format!("{}  {name}\n", hash(content));
            }
        }
        let sum = hash(list.as_bytes());
        files.insert(format!("{path}/SHA256SUMS"), list.into());
        sum
    }

    /// Does this at the next request of a path.
    pub fn fail_once(&self, path: &str, fault: Fault) {
        self.shared.faults.lock().entry(path.to_owned()).or_default().push_back(fault);
    }

    /// Does this at all requests of a path, or nothing any more.
    pub fn fail(&self, path: &str, fault: impl Into<Option<Fault>>) {
        match fault.into() {
            Some(fault) => self.shared.lasting.lock().insert(path.to_owned(), fault),
            None => self.shared.lasting.lock().remove(path),
        };
    }

    /// Answers only requests with this header `Authorization`.
    pub fn protect(&self, authorization: &str) {
        *self.shared.authorization.lock() = Some(authorization.to_owned());
    }

    pub fn identify_by(&self, tags: Tags) {
        *self.shared.tags.lock() = tags;
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The same with a user.
    pub fn url_of(&self, user: &str, path: &str) -> String {
        format!("{}://{user}@{}{path}", self.scheme, self.address)
    }

    /// The requests since the last call.
    pub fn received(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.received.lock())
    }

    /// The paths of the requests since the last call.
    pub fn paths(&self) -> Vec<String> {
        self.received().into_iter().map(|request| request.path).collect()
    }

    /// Ends the server. Its port stays bound and refuses connections.
    pub fn stop(self) -> TcpSocket {
        self.runtime.shutdown_timeout(Duration::from_secs(10));
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address).unwrap();
        socket
    }
}

pub fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listen() -> (Runtime, TcpListener, SocketAddr) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    (runtime, listener, address)
}

fn app(shared: &Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(Arc::clone(shared))
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let path = uri.path().to_owned();
    let text = |name: header::HeaderName| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    let mut received = Received {
        path: path.clone(),
        authorization: text(header::AUTHORIZATION),
        range: text(header::RANGE),
        if_range: text(header::IF_RANGE),
        status: 0,
        sent: 0,
    };
    let (status, answer_headers, body) = respond(&shared, &mut received);
    received.status = status.as_u16();
    shared.received.lock().push(received);
    let mut response = Response::builder().status(status);
    for (name, value) in answer_headers {
        response = response.header(name, value);
    }
    response.body(body).unwrap()
}

type Answer = (StatusCode, Vec<(header::HeaderName, String)>, Body);

fn respond(shared: &Shared, request: &mut Received) -> Answer {
    let of_status = |status: u16| {
        (StatusCode::from_u16(status).unwrap(), Vec::new(), Body::from(format!("status {status}")))
    };
    let authorization = shared.authorization.lock().clone();
    if authorization.is_some() && authorization != request.authorization {
        return of_status(401);
    }
    let next = shared.faults.lock().get_mut(&request.path).and_then(VecDeque::pop_front);
    let fault = next.or_else(|| shared.lasting.lock().get(&request.path).cloned());
    if let Some(Fault::Status(status)) = fault {
        return of_status(status);
    }
    if let Some(Fault::Redirect(location)) = fault {
        return (StatusCode::FOUND, vec![(header::LOCATION, location)], Body::empty());
    }
    let Some(content) = shared.files.lock().get(&request.path).cloned() else {
        return of_status(404);
    };
    let (name, tag) = match *shared.tags.lock() {
        Tags::Strong => (header::ETAG, format!("\"{}\"", &hash(&content)[..8])),
        Tags::Weak => (header::ETAG, format!("W/\"{}\"", &hash(&content)[..8])),
        Tags::Dates => (header::LAST_MODIFIED, "Sat, 28 Nov 2026 05:08:24 GMT".to_owned()),
        Tags::None => (header::SERVER, "test".to_owned()),
    };
    let mut headers = vec![(header::CONTENT_TYPE, "application/octet-stream".to_owned())];
    headers.push((name, tag.clone()));
    let start: Option<usize> = request.range.as_ref().map(|range| {
        range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')).unwrap().parse().unwrap()
    });
    let start = start.filter(|_| request.if_range.as_ref() == Some(&tag));
    let start = start.filter(|_| !matches!(fault, Some(Fault::NoRanges)));
    if start.is_some_and(|start| start >= content.len()) {
        return of_status(416);
    }
    let status = if start.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    if let Some(start) = start {
        let (last, length) = (content.len() - 1, content.len());
        headers.push((header::CONTENT_RANGE, format!("bytes {start}-{last}/{length}")));
    }
    let body = content[start.unwrap_or(0)..].to_vec();
    request.sent = body.len();
    let announced = (header::CONTENT_LENGTH, body.len().to_string());
    let body = match fault {
        Some(Fault::Cut(count) | Fault::Stall(count)) => {
            headers.push(announced);
            let is_cut = matches!(fault, Some(Fault::Cut(_)));
            let first = Bytes::from(body).slice(..count.min(request.sent));
            request.sent = first.len();
            // What was sent must have arrived before the connection is closed.
            let end = async move {
                tokio::time::sleep(Duration::from_millis(if is_cut { 50 } else { 60_000 })).await;
                Err(io::Error::other("cut"))
            };
            Body::from_stream(stream::iter([Ok(first)]).chain(stream::once(end)))
        }
        Some(Fault::Endless) => {
            let more = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from(vec![0; 10_000])));
            Body::from_stream(stream::iter([Ok(Bytes::from(body))]).chain(more))
        }
        Some(Fault::Typed(kind)) => {
            headers[0].1 = kind.to_owned();
            Body::from(body)
        }
        _ => Body::from(body),
    };
    (status, headers, body)
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, address) = self.listener.accept().await.unwrap();
            // It fails where a client refuses the certificate.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}
