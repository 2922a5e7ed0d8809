//! HTTP/2 without TLS, where the client begins with it.

use std::process::Command;
use std::time::Duration;

use axum::body::Body;
use hyper::client::conn::http2;
use hyper::{Request, Response, body::Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rdpm::web::Options;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::common::{STEPS, Server, with_timeout};
use crate::site;

const SHORT: Duration = Duration::from_millis(300);

/// Runs curl with HTTP/2. Returns the version, the status and the body.
async fn curl(server: &Server, path: &str, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new("curl");
    command.args(["--silent", "--http2-prior-knowledge", "--write-out", "\n%{http_version} %{http_code}"]);
    command.args(arguments).arg(server.url(path));
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.into(), body.into())
}

#[tokio::test]
async fn requests_and_streams_work() {
    let (server, _script) = Server::with_web_options(site()).await;
    assert_eq!(curl(&server, "/health/ready", &[]).await.0, "2 200");
    let body = json!({"class": 0, "seed": 3}).to_string();
    let (status, created) = curl(&server, "/api/v1/generations", &["--json", &body]).await;
    assert_eq!(status, "2 202");
    let created: Value = serde_json::from_str(&created).unwrap();
    let (status, events) = curl(&server, created["links"]["events"].as_str().unwrap(), &[]).await;
    assert_eq!((status.as_str(), events.matches("event: step").count()), ("2 200", STEPS));
    // Links have the host of the request.
    let body = json!({"prompt": "circle", "response_format": "url"}).to_string();
    let (_, images) = curl(&server, "/v1/images/generations", &["--json", &body]).await;
    assert!(images.contains(&server.url("/v1/images/files/")), "{images}");
    // The checks of hosts and origins hold.
    assert_eq!(curl(&server, "/", &["--header", "host: evil.example"]).await.0, "2 403");
    let foreign = ["--header", "origin: https://evil.example", "--json", r#"{"class": 0}"#];
    assert_eq!(curl(&server, "/api/v1/generations", &foreign).await.0, "2 403");
    let own = format!("origin: {}", server.url(""));
    let own = ["--header", own.trim_end_matches('/'), "--json", r#"{"class": 0}"#];
    assert_eq!(curl(&server, "/api/v1/generations", &own).await.0, "2 202");
}

struct Client {
    sender: http2::SendRequest<Body>,
    ended: JoinHandle<hyper::Result<()>>,
}

impl Client {
    /// Connects, with what the server may send of a response before the client has read it, in bytes.
    async fn connect(server: &Server, window: u32) -> Self {
        let connection = TokioIo::new(TcpStream::connect(server.address).await.unwrap());
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(connection).await.unwrap();
        Self { sender, ended: tokio::spawn(connection) }
    }

    async fn get(&mut self, server: &Server, path: &str) -> Response<Incoming> {
        let request = Request::get(server.url(path)).body(Body::empty()).unwrap();
        with_timeout(self.sender.send_request(request)).await.unwrap()
    }
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let timeouts = Options { header_timeout: SHORT, keep_alive_timeout: SHORT, ..site() };
    let (server, _script) = Server::with_web_options(timeouts).await;
    let mut client = Client::connect(&server, 65_535).await;
    assert_eq!(client.get(&server, "/health/live").await.status(), 200);
    let _ = with_timeout(client.ended).await;
    // So is one without a request.
    let silent = Client::connect(&server, 65_535).await;
    let _ = with_timeout(silent.ended).await;
}

#[tokio::test]
async fn client_that_reads_nothing_is_cut_off() {
    let (server, _script) = Server::with_web_options(Options { write_timeout: SHORT, ..site() }).await;
    let mut client = Client::connect(&server, 1024).await;
    let response = client.get(&server, "/openapi.json").await;
    assert_eq!(response.status(), 200);
    let _ = with_timeout(client.ended).await;
    drop(response);
}

#[tokio::test]
async fn stream_without_news_is_kept_open() {
    let timeouts =
        Options { write_timeout: SHORT, header_timeout: SHORT, keep_alive_timeout: SHORT, ..site() };
    let (server, script) = Server::with_web_options(timeouts).await;
    script.pause();
    let created: Value = server.post(&json!({"class": 0})).await.json().await.unwrap();
    let mut client = Client::connect(&server, 65_535).await;
    let response = client.get(&server, created["links"]["events"].as_str().unwrap()).await;
    tokio::time::sleep(4 * SHORT).await;
    script.resume();
    let body = axum::body::to_bytes(Body::new(response.into_body()), usize::MAX);
    let text = String::from_utf8(with_timeout(body).await.unwrap().to_vec()).unwrap();
    assert_eq!(text.matches("event: step").count(), STEPS);
}
