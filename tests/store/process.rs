//! A server with a store, as a process of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::with_timeout;
use crate::program::{Program, rdpm};
use crate::store_check::{check, database};

/// A client's token.
pub const TOKEN: &str = "a-token-of-the-tests";
/// Another client's.
pub const OTHER_TOKEN: &str = "another-token-of-the-tests";

/// A folder with the smallest model and a store.
pub struct Site(TempDir);

impl Site {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eighth");
        fs::create_dir(folder.path().join("weights")).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(model.join(file), folder.path().join("weights").join(file)).unwrap();
        }
        Self(folder)
    }

    pub fn store(&self) -> PathBuf {
        self.0.path().join("store")
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// The arguments of a server on a free port.
    pub fn arguments(&self, more: &[&str]) -> Vec<String> {
        let (weights, store) = (self.0.path().join("weights"), self.store());
        let all = ["serve", "--port", "0", "--drain-timeout", "0", "--max-queue", "4096"];
        let mut all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        all.extend(["--weights".into(), weights.display().to_string()]);
        all.extend(["--store".into(), store.display().to_string()]);
        all.extend(more.iter().map(|&argument| argument.to_owned()));
        all
    }

    pub fn serve(&self, more: &[&str]) -> Process {
        Process::start(rdpm().args(self.arguments(more)))
    }

    pub fn database(&self) -> Connection {
        database(&self.store())
    }

    /// Checks that the database is sound, and that each file is whole: its name is the hash of its content. Returns the names
    /// of the files, and those that the database names.
    pub fn check(&self) -> (BTreeSet<String>, BTreeSet<String>) {
        check(&self.store())
    }
}

/// A running server.
pub struct Process {
    pub program: Program,
    pub address: String,
    client: reqwest::Client,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let (program, address) = Program::start(command, "http://");
        Self { program, address, client: reqwest::Client::new() }
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        self.program.0.kill().unwrap();
        self.program.0.wait().unwrap();
    }

    /// Ends it as a signal does.
    pub fn stop(mut self) {
        let process = self.program.0.id().to_string();
        assert!(Command::new("kill").arg(process).status().unwrap().success());
        assert!(self.program.0.wait().unwrap().success());
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Sends a request of the client with [`TOKEN`].
    pub async fn send(&self, method: Method, path: &str) -> Response {
        with_timeout(self.request(method, path).header("rdpm-client", TOKEN).send()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    pub async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.json().await.unwrap()
    }

    pub async fn bytes(&self, path: &str) -> Vec<u8> {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        response.bytes().await.unwrap().to_vec()
    }

    /// Posts a generation of the client with [`TOKEN`].
    pub async fn post(&self, body: &Value) -> Response {
        let request = self.request(Method::POST, "/api/v1/generations").header("rdpm-client", TOKEN);
        with_timeout(request.json(body).send()).await.unwrap()
    }

    /// Posts a generation that must be accepted, and returns its id.
    pub async fn generate(&self, body: &Value) -> String {
        let response = self.post(body).await;
        assert_eq!(response.status(), 202);
        let accepted: Value = response.json().await.unwrap();
        accepted["id"].as_str().unwrap().to_owned()
    }

    /// Waits until a generation has ended, and returns it.
    pub async fn ended(&self, id: &str) -> Value {
        let path = format!("/api/v1/generations/{id}");
        let wait = async {
            loop {
                let generation = self.json(&path).await;
                if !["queued", "running"].contains(&generation["status"].as_str().unwrap()) {
                    return generation;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        with_timeout(wait).await
    }

    /// Generates images and waits until they are in the gallery.
    pub async fn draw(&self, body: &Value) -> String {
        let id = self.generate(body).await;
        let generation = self.ended(&id).await;
        assert_eq!(generation["status"], "completed");
        self.wait_for_gallery(&id).await;
        id
    }

    pub async fn wait_for_gallery(&self, id: &str) {
        let path = format!("/api/v1/gallery/{id}/0/image.png");
        let wait = async {
            while self.get(&path).await.status() != 200 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        with_timeout(wait).await;
    }

    /// The tokens of the steps of a generation.
    pub async fn tokens(&self, id: &str) -> Vec<Value> {
        let response = self.get(&format!("/api/v1/generations/{id}/events")).await;
        assert_eq!(response.status(), 200);
        let text = with_timeout(response.text()).await.unwrap();
        let mut tokens: Vec<Value> = Vec::new();
        for data in text.lines().filter_map(|line| line.strip_prefix("data:")) {
            let data: Value = serde_json::from_str(data.trim()).unwrap();
            let step = &data["step"];
            for image in
                data["images"].as_array().into_iter().flatten().filter(|image| !image["tokens"].is_null())
            {
                tokens.push(json!([image["index"], step, image["tokens"]]));
            }
        }
        tokens.sort_by_key(|entry| (entry[0].as_u64(), entry[1].as_u64()));
        tokens
    }
}
