//! What the server says on standard error.

use std::io::Read;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::program::{Program, rdpm};

/// Lets a server draw one image, asks for a static file, stops it, and returns its log and the job.
async fn log_of(format: &str) -> (String, Value) {
    let mut command = rdpm();
    command
        .args(["serve", "--port", "0", "--log-format", format])
        .env("RDPM_LOG", "info")
        .stderr(Stdio::piped());
    let (mut server, address) = Program::start(&mut command, "http://");
    let mut errors = server.0.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        text
    });
    let client = reqwest::Client::new();
    let create = client.post(format!("http://{address}/api/v1/generations")).json(&json!({"class": "Bag"}));
    let job: Value = create.header("x-request-id", "find-me").send().await.unwrap().json().await.unwrap();
    let events = format!("http://{address}{}", job["links"]["events"].as_str().unwrap());
    assert!(reqwest::get(events).await.unwrap().text().await.unwrap().contains("event: completed"));
    assert_eq!(reqwest::get(format!("http://{address}/static/styles/base.css")).await.unwrap().status(), 200);
    drop(server);
    (reading.join().unwrap(), job)
}

#[tokio::test]
async fn json_lines_tell_requests_and_jobs() {
    let (log, job) = log_of("json").await;
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let find = |message: &str| lines.iter().find(|line| line["message"] == message).expect(message);
    let request = find("answered");
    let expected = json!({"name": "http", "id": "find-me", "method": "POST", "path": "/api/v1/generations", "client": "127.0.0.1"});
    assert_eq!((&request["span"], &request["status"]), (&expected, &json!(202)));
    assert_eq!(request["location"], job["links"]["self"]);
    let ended = find("job ended");
    assert_eq!((&ended["job"], &ended["status"]), (&job["id"], &json!("completed")));
    assert!(ended["waited_ms"].is_number() && ended["ran_ms"].is_number(), "{ended}");
    // Files of the page are no news.
    assert!(!log.contains("/static/"), "{log}");
}

#[tokio::test]
async fn text_lines_tell_the_same_to_people() {
    let (log, job) = log_of("text").await;
    let request = log.lines().find(|line| line.contains("answered")).unwrap();
    assert!(request.contains("id=\"find-me\"") && request.contains("status=202"), "{request}");
    let ended = log.lines().find(|line| line.contains("job ended")).unwrap();
    assert!(ended.contains(job["id"].as_str().unwrap()) && ended.contains("ran_ms="), "{ended}");
}

#[tokio::test]
async fn requests_past_the_proxy_are_logged_once() {
    let mut command = rdpm();
    command.args(["serve", "--port", "0", "--trust-proxy", "x-forwarded-for", "--rate-limit", "1000"]);
    command.env("RDPM_LOG", "info").stderr(Stdio::piped());
    let (mut server, address) = Program::start(&mut command, "http://");
    for _ in 0..5 {
        assert_eq!(reqwest::get(format!("http://{address}/health/live")).await.unwrap().status(), 200);
        assert_eq!(reqwest::get(format!("http://{address}/api/v1/models")).await.unwrap().status(), 200);
    }
    let mut errors = server.0.stderr.take().unwrap();
    drop(server);
    let mut log = String::new();
    errors.read_to_string(&mut log).unwrap();
    assert_eq!(log.matches("no client address in the proxy's header").count(), 1, "{log}");
}
