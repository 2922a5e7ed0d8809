//! One attacker: an address, its connections, and what it is answered.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rand::RngExt;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::Answers;

/// How long an attacker holds what it has.
const HOLD: Duration = Duration::from_secs(8);

pub struct Attacker {
    pub name: &'static str,
    source: IpAddr,
    server: SocketAddr,
    http: Client,
    answers: Answers,
}

impl Attacker {
    pub fn new(name: &'static str, source: IpAddr, server: SocketAddr, answers: &Answers) -> Self {
        let http = Client::builder().local_address(source).timeout(Duration::from_secs(60)).build().unwrap();
        Self { name, source, server, http, answers: Answers::clone(answers) }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("http://{}{path}", self.server))
    }

    pub fn post_json(&self, path: &str, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.post(path).header("content-type", "application/json").body(body)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("http://{}{path}", self.server))
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.http.delete(format!("http://{}{path}", self.server))
    }

    /// Sends a request and counts its answer. Returns the status and the JSON of the answer; `None` where the server closed the
    /// connection, as it may.
    pub async fn send(&self, request: RequestBuilder) -> Option<(u16, Value)> {
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                self.count(status, response.headers().contains_key("retry-after"));
                Some((status, response.json().await.unwrap_or_default()))
            }
            Err(error) => {
                let kind = if error.is_timeout() { "no answer" } else { "closed" };
                self.count_as(kind.into());
                None
            }
        }
    }

    /// Counts a status, which must be an honest one.
    fn count(&self, status: u16, has_retry_after: bool) {
        let is_honest = status < 500 || (status == 503 && has_retry_after);
        assert!(is_honest, "{}: {status}", self.name);
        self.count_as(status.to_string());
    }

    pub fn count_as(&self, answer: String) {
        *self.answers.lock().entry((self.name, answer)).or_default() += 1;
    }

    /// A connection; `None` where the server doesn't take it.
    pub async fn connect(&self) -> Option<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((self.source, 0).into()).ok()?;
        timeout(HOLD, socket.connect(self.server)).await.ok()?.ok()
    }

    /// A connection on which this was sent, as far as the server took it.
    pub async fn connect_and_send(&self, bytes: &[u8]) -> Option<TcpStream> {
        let mut connection = self.connect().await?;
        let _ = timeout(HOLD, connection.write_all(bytes)).await;
        Some(connection)
    }

    /// Holds connections for a while, then reads what they were answered.
    pub async fn hold(&self, connections: Vec<TcpStream>) {
        sleep(HOLD).await;
        for mut connection in connections {
            let mut answer = [0; 2048];
            let read = timeout(Duration::from_millis(1), connection.read(&mut answer)).await;
            let text = match read {
                Ok(Ok(length)) => String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase(),
                _ => String::new(),
            };
            match text.strip_prefix("http/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()) {
                Some(status) => self.count(status, text.contains("retry-after")),
                None => self.count_as("held".into()),
            }
        }
    }

    /// A job that has ended: its path. `None` where the server refuses.
    pub async fn ended_job(&self, body: &Value) -> Option<String> {
        let (_, job) = self.send(self.post("/api/v1/generations?wait=true").json(body)).await?;
        Some(job["links"]["self"].as_str()?.to_owned())
    }

    /// A pause of a random length, so that attacks mix.
    pub async fn pause(&self, milliseconds: u64) {
        let length = rand::rng().random_range(milliseconds / 2..=milliseconds);
        sleep(Duration::from_millis(length)).await;
    }
}
