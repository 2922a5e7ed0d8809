//! A receiver of web hooks, over real connections, and the settings with which a server sends to it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rdpm::web::{Options, WebhookOptions};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::common::{Server, with_timeout};
use crate::site;

/// Two secrets, as while one is replaced by the other.
pub const SECRETS: [&[u8]; 2] = [b"a secret of twenty-seven by", b"and another one of some more bytes"];

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

/// What the receiver answers.
pub enum Answer {
    Status(u16),
    With(u16, &'static str, String),
    /// Nothing, as long as the connection is open.
    Silence,
}

/// Answers 204 after the answers that a test prescribes.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<Received>>,
    changed: Notify,
    connections: AtomicUsize,
}

impl Receiver {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state =
            Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&state));
        let counted = Arc::clone(&state);
        let listener = axum::serve::ListenerExt::tap_io(listener, move |_| {
            counted.connections.fetch_add(1, Ordering::SeqCst);
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, state }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits until so many requests have arrived, and returns all.
    pub async fn received(&self, count: usize) -> Vec<Received> {
        let waited = async {
            loop {
                let changed = self.state.changed.notified();
                let received = self.state.received.lock().clone();
                if received.len() >= count {
                    return received;
                }
                changed.await;
            }
        };
        with_timeout(waited).await
    }

    /// Connections that were opened.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

async fn answer(State(state): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let answer = state.answers.lock().pop_front().unwrap_or(Answer::Status(204));
    state.received.lock().push(Received { path: uri.to_string(), headers, body: body.to_vec() });
    state.changed.notify_waiters();
    let status = |status: u16| axum::http::StatusCode::from_u16(status).unwrap();
    match answer {
        Answer::Status(code) => status(code).into_response(),
        Answer::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Answer::Silence => std::future::pending().await,
    }
}

/// Short pauses, and the receivers of this machine.
pub fn webhooks() -> WebhookOptions {
    let hosts = ["127.0.0.1", "localhost"].map(|host| host.parse().unwrap()).to_vec();
    let secrets =
        SECRETS.map(|secret| format!("whsec_{}", STANDARD.encode(secret)).parse().unwrap()).to_vec();
    WebhookOptions {
        pauses: vec![Duration::from_millis(20); 3],
        ..WebhookOptions::new(hosts, vec!["127.0.0.0/8".parse().unwrap()], secrets)
    }
}

/// The settings of a server that sends with these.
pub fn with(webhooks: WebhookOptions) -> Options {
    Options { webhooks: Some(webhooks), ..site() }
}

/// Waits until so many web hooks have had this result.
pub async fn counted(server: &Server, result: &str, count: usize) {
    let line = format!("rdpm_webhook_deliveries_total{{result=\"{result}\"}} {count}");
    let waited = async {
        while !server.get("/metrics").await.text().await.unwrap().lines().any(|found| found == line) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(waited).await;
}

/// Checks the signatures, the time and the form of a message.
pub fn check(received: &Received) {
    let (id, timestamp) = (received.header("webhook-id"), received.header("webhook-timestamp"));
    let seconds: u64 = timestamp.parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!((now - 60..=now).contains(&seconds), "{seconds}");
    let mut signed = format!("{id}.{timestamp}.").into_bytes();
    signed.extend(&received.body);
    let expected = SECRETS.map(|secret| format!("v1,{}", STANDARD.encode(hmac_sha256(secret, &signed))));
    assert_eq!(received.header("webhook-signature"), expected.join(" "));
    assert_eq!(received.header("content-type"), "application/json");
    assert_eq!(received.header("user-agent"), concat!("rdpm/", env!("CARGO_PKG_VERSION")));
}

/// RFC 2104, from the hash alone.
fn hmac_sha256(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        block.iter_mut().zip(secret).for_each(|(byte, secret)| *byte ^= secret);
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}
