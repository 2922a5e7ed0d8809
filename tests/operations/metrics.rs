//! `/metrics`, as Prometheus and its `promtool` read it.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::common::{Server, with_timeout};
use crate::site;

/// Debian's, which `scripts/test` unpacks to where it installs nothing and starts nothing.
fn promtool() -> Command {
    let unpacked = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".tools/promtool");
    Command::new(if unpacked.exists() { unpacked } else { "promtool".into() })
}

/// A server that has been asked for this and that.
async fn used() -> Server {
    let (server, _script) = Server::with_web_options(site()).await;
    let job = server.generate(&json!({"class": 0, "count": 3})).await;
    server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    // An end is told before it is counted.
    with_timeout(async {
        while !server.get("/metrics").await.text().await.unwrap().contains("\nrdpm_ended_jobs 1\n") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    server.get("/nothing/at/all?x=1").await;
    server.get("/api/v1/generations/x").await;
    let odd = Method::from_bytes(b"MADEUP").unwrap();
    with_timeout(server.client.request(odd, server.url("/api/v1/models")).send()).await.unwrap();
    server
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let server = used().await;
    let response = server.get("/metrics").await;
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let text = response.text().await.unwrap();
    let mut command = promtool();
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut check = command.spawn().expect("promtool, which scripts/test installs");
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
}

#[tokio::test]
async fn requests_are_counted_by_route_whatever_clients_make_up() {
    let text = used().await.get("/metrics").await.text().await.unwrap();
    for expected in [
        "rdpm_http_requests_total{method=\"POST\",route=\"/api/v1/generations\",status=\"202\"} 1",
        "rdpm_http_requests_total{method=\"GET\",route=\"/api/v1/generations/{id}\",status=\"404\"} 1",
        "rdpm_http_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "rdpm_http_requests_total{method=\"other\",route=\"/api/v1/models\",status=\"405\"} 1",
        "rdpm_http_request_seconds_count{method=\"POST\",route=\"/api/v1/generations\"} 1",
        "rdpm_http_event_streams 0",
        "rdpm_jobs_total{model=\"toy\",status=\"completed\"} 1",
        "rdpm_images_total{model=\"toy\",status=\"completed\"} 3",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} in {text}");
    }
}

#[tokio::test]
async fn prometheus_gets_open_metrics_where_it_asks() {
    let server = used().await;
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let response = with_timeout(server.client.get(server.url("/metrics")).header("accept", accept).send())
        .await
        .unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    let text = response.text().await.unwrap();
    assert!(text.contains("# TYPE rdpm_jobs counter\n") && text.ends_with("# EOF\n"), "{text}");
    assert!(text.contains("\nrdpm_step_seconds_bucket{le="), "{text}");
}

#[tokio::test]
async fn the_manual_names_every_metric() {
    let text = used().await.get("/metrics").await.text().await.unwrap();
    let manual = include_str!("../../docs/operations.md");
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for name in names {
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
}
