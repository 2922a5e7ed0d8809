//! A real server on a free port, and readers of its responses.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rdpm::engine::{Engine, Options};
use rdpm::web::{self, ClassPictures};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Script, fake_engine, two_model_engine, with_timeout};

/// A server on a free port.
pub struct Server {
    pub address: SocketAddr,
    pub engine: Arc<Engine>,
    pub client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Serves an engine.
    pub async fn start(engine: Arc<Engine>, pictures: ClassPictures) -> Self {
        let options = web::Options { drain: Duration::ZERO, ..web::Options::default() };
        Self::start_with(engine, pictures, options).await
    }

    /// Serves an engine with these options of the web layer.
    pub async fn start_with(engine: Arc<Engine>, pictures: ClassPictures, options: web::Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let signal = async {
            let _ = stopped.await;
        };
        let served_engine = Arc::clone(&engine);
        let served =
            tokio::spawn(
                async move { web::serve(listener, served_engine, pictures, &options, signal).await },
            );
        let client = reqwest::Client::new();
        Self { address, engine, client, stop: Some(stop), served }
    }

    /// Serves one fake model.
    pub async fn with_fake_backend(options: Options) -> (Self, Arc<Script>) {
        let (engine, script) = fake_engine(options);
        (Self::start(engine, ClassPictures::default()).await, script)
    }

    /// Serves two fake models.
    pub async fn with_two_models(options: Options) -> (Self, [Arc<Script>; 2]) {
        let (engine, scripts) = two_model_engine(options);
        (Self::start(engine, ClassPictures::default()).await, scripts)
    }

    /// Serves one fake model with these options of the web layer.
    pub async fn with_web_options(options: web::Options) -> (Self, Arc<Script>) {
        let (engine, script) = fake_engine(super::options());
        (Self::start_with(engine, ClassPictures::default(), options).await, script)
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        with_timeout(self.client.get(self.url(path)).send()).await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    /// Posts a generation request.
    pub async fn post(&self, body: &Value) -> reqwest::Response {
        with_timeout(self.client.post(self.url("/api/v1/generations")).json(body).send()).await.unwrap()
    }

    /// Posts a generation request, which must be accepted.
    pub async fn generate(&self, body: &Value) -> Value {
        let response = self.post(body).await;
        assert_eq!(response.status(), 202);
        response.json().await.unwrap()
    }

    /// All messages of an event stream until the server ends it.
    pub async fn messages(&self, path: &str, last_event_id: Option<&str>) -> Vec<Message> {
        let mut request = self.client.get(self.url(path));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = with_timeout(request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Message::parse(&with_timeout(response.text()).await.unwrap())
    }

    /// Stops the server as a signal would, and waits for its end.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        with_timeout(self.served).await.unwrap().unwrap();
    }
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub id: u64,
    pub event: String,
    pub data: Value,
}

impl Message {
    fn parse(text: &str) -> Vec<Self> {
        let blocks = text.split("\n\n").filter(|block| block.lines().any(|line| !line.starts_with(':')));
        let message = |block: &str| {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.unwrap_or_else(|| panic!("no {name} in {block:?}")).trim_start().to_owned()
            };
            let data = serde_json::from_str(&field("data")).unwrap();
            Self { id: field("id").parse().unwrap(), event: field("event"), data }
        };
        blocks.map(message).collect()
    }
}

/// The body of a response, which must be a problem with this status.
pub async fn problem(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status, "{body}");
    for field in ["type", "title", "detail"] {
        assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {body}");
    }
    body
}

/// The names of the fields that a problem reports.
pub fn fields(problem: &Value) -> Vec<&str> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    assert!(errors.iter().all(|error| error["allowed"].is_string() && error.get("value").is_some()));
    errors.iter().map(|error| error["field"].as_str().unwrap()).collect()
}
