//! A NATS server, gateways and workers as processes, and a client that reads what they answer.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats_server::{free_port, jetstream_server, wait_until_it_listens};
use crate::program::{Program, rdpm};

/// One system at a time: the machine is small, and the tests are about time.
static ONE: Mutex<()> = Mutex::new(());

/// The longest time that anything takes, unless it hangs.
const LIMIT: Duration = Duration::from_secs(120);

/// A process that is killed when this is dropped.
pub struct Process(pub Child);

impl Process {
    pub fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: it sends a signal to a child that wasn't waited for.
        assert_eq!(unsafe { libc::kill(self.0.id() as i32, signal) }, 0);
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A NATS server with JetStream in a folder of its own, and the processes that use it.
pub struct System {
    _one: MutexGuard<'static, ()>,
    pub folder: TempDir,
    pub port: u16,
    pub nats: Option<Process>,
    /// Further arguments of gateways and workers.
    pub arguments: Vec<String>,
}

impl System {
    pub fn start() -> Self {
        let mut system = Self::without_server();
        system.start_nats(&[]);
        system
    }

    pub fn without_server() -> Self {
        let arguments = ["--queue-ack-wait", "1", "--model", "fashion-mnist"].map(String::from).to_vec();
        Self { _one: ONE.lock(), folder: TempDir::new().unwrap(), port: free_port(), nats: None, arguments }
    }

    pub fn start_nats(&mut self, arguments: &[&str]) {
        let log = fs::File::create(self.folder.path().join("nats.log")).unwrap();
        let mut command = jetstream_server(self.port, &self.folder.path().join("jetstream"));
        self.nats = Some(Process::start(command.args(arguments).stderr(log)));
        wait_until_it_listens(self.port);
    }

    pub fn queue(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A command of the program with this queue.
    pub fn rdpm(&self, command: &str) -> Command {
        let mut rdpm = rdpm();
        rdpm.arg(command).args(["--queue", &self.queue()]).args(&self.arguments);
        rdpm
    }

    pub fn gateway(&self) -> Gateway {
        self.gateway_with(&[])
    }

    pub fn gateway_with(&self, arguments: &[&str]) -> Gateway {
        let mut command = self.rdpm("serve");
        Gateway::start(command.args(["--port", "0"]).args(arguments))
    }

    pub fn worker(&self) -> Process {
        self.worker_with(&[])
    }

    pub fn worker_with(&self, arguments: &[&str]) -> Process {
        let mut command = self.rdpm("work");
        Process::start(command.args(arguments).stdout(Stdio::null()))
    }
}

/// A gateway, or a server with an engine of its own.
pub struct Gateway {
    pub program: Program,
    pub url: String,
    pub http: Client,
}

impl Gateway {
    pub fn start(command: &mut Command) -> Self {
        let (program, address) = Program::start(command, "http://");
        Self { program, url: format!("http://{address}"), http: Client::new() }
    }

    /// A server with an engine of its own, which draws what workers must draw.
    pub fn embedded() -> Self {
        Self::start(rdpm().args(["serve", "--port", "0", "--model", "fashion-mnist"]))
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Response {
        self.try_send(method, path, headers, body).await.unwrap()
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> reqwest::Result<Response> {
        let mut request = self.http.request(method, format!("{}{path}", self.url)).timeout(LIMIT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    /// Posts a generation, which must be accepted, and returns its id.
    pub async fn post(&self, body: &Value) -> String {
        self.post_with(&[], body).await
    }

    pub async fn post_with(&self, headers: &[(&str, &str)], body: &Value) -> String {
        let response = self.send(Method::POST, "/api/v1/generations", headers, Some(body)).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        answer["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a status is the answer to a request.
    pub async fn wait_for(&self, path: &str, status: StatusCode) {
        let started = Instant::now();
        loop {
            let found = self.get(path).await.status();
            if found == status {
                return;
            }
            assert!(started.elapsed() < LIMIT, "{path} answers {found}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until this number of workers is listed.
    pub async fn wait_for_workers(&self, count: usize) -> Value {
        let started = Instant::now();
        loop {
            let workers = self.json("/api/v1/workers").await;
            if workers["workers"].as_array().unwrap().len() == count {
                return workers;
            }
            assert!(started.elapsed() < LIMIT, "{workers}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a job has ended and returns it.
    pub async fn ended(&self, id: &str) -> Value {
        let started = Instant::now();
        loop {
            let job = self.json(&format!("/api/v1/generations/{id}")).await;
            if !["queued", "running"].contains(&job["status"].as_str().unwrap()) {
                return job;
            }
            assert!(started.elapsed() < LIMIT, "{job}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a job has this number of events, or has ended.
    pub async fn wait_for_events(&self, id: &str, count: usize) {
        let mut stream = self.stream(id, 0).await;
        while stream.events.len() < count && stream.next().await {}
    }

    pub async fn stream(&self, id: &str, after: u64) -> Stream {
        let after = after.to_string();
        let headers = [("last-event-id", after.as_str())];
        let path = format!("/api/v1/generations/{id}/events");
        let response = self.send(Method::GET, &path, &headers, None).await;
        assert_eq!(response.status(), StatusCode::OK);
        Stream::new(response)
    }

    /// All events of a job, which must end.
    pub async fn events(&self, id: &str) -> Vec<StreamEvent> {
        let mut stream = self.stream(id, 0).await;
        while stream.next().await {}
        stream.events
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct StreamEvent {
    pub id: u64,
    pub name: String,
    pub data: Value,
}

/// An open event stream and what it has sent so far.
pub struct Stream {
    response: Response,
    buffer: String,
    pub events: Vec<StreamEvent>,
}

impl Stream {
    pub fn new(response: Response) -> Self {
        Self { response, buffer: String::new(), events: Vec::new() }
    }

    /// Reads the next event. Returns false at the end, also where the connection is lost.
    pub async fn next(&mut self) -> bool {
        loop {
            while let Some(end) = self.buffer.find("\n\n") {
                let block: String = self.buffer.drain(..end + 2).collect();
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim_start)
                };
                let Some(name) = field("event") else { continue };
                let id = field("id").map_or(0, |id| id.parse().unwrap());
                let data = field("data").map_or(Value::Null, |data| serde_json::from_str(data).unwrap());
                self.events.push(StreamEvent { id, name: name.to_owned(), data });
                return true;
            }
            match tokio::time::timeout(LIMIT, self.response.chunk()).await.expect("an event") {
                Ok(Some(chunk)) => self.buffer.push_str(std::str::from_utf8(&chunk).unwrap()),
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

/// A request for images of a seed.
pub fn body(seed: u64, count: u64) -> Value {
    json!({"class": "Bag", "seed": seed, "count": count, "previews": false})
}

/// The tokens of each image and step that hold, in the order of the images. There must be no gap and no double.
pub fn tokens(events: &[StreamEvent]) -> Vec<Vec<Value>> {
    tokens_after(events, 0)
}

/// The same of a job that starts after a step.
pub fn tokens_after(events: &[StreamEvent], from_step: usize) -> Vec<Vec<Value>> {
    let mut images: Vec<Vec<Value>> = Vec::new();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event.id, at as u64 + 1, "events are numbered without gaps");
        if event.name == "redrawn" {
            let number = |name: &str| event.data[name].as_u64().unwrap() as usize;
            let image = &mut images[number("index")];
            assert_eq!(from_step + image.len(), number("last"), "all later steps don't hold");
            image.truncate(number("first") - 1 - from_step);
        }
        if event.name == "step" {
            let step = event.data["step"].as_u64().unwrap() as usize;
            for image in event.data["images"].as_array().unwrap() {
                let index = image["index"].as_u64().unwrap() as usize;
                if images.len() <= index {
                    images.resize(index + 1, Vec::new());
                }
                assert_eq!(
                    from_step + images[index].len() + 1,
                    step,
                    "image {index}: steps come once and in order"
                );
                images[index].push(image["tokens"].clone());
            }
        }
    }
    images
}

/// The tokens that an engine without a queue draws.
pub async fn expected(server: &Gateway, body: &Value) -> Vec<Vec<Value>> {
    let id = server.post(body).await;
    tokens_after(&server.events(&id).await, body["from_step"].as_u64().unwrap_or(0) as usize)
}
