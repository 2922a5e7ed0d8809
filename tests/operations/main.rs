//! What an operator relies on, over real connections: bounds, keys, limits, logs, metrics, settings.

#[path = "../common/mod.rs"]
mod common;
#[path = "../program/mod.rs"]
mod program;

mod access;
mod answers;
mod bounds;
mod clients;
mod cost;
#[cfg(target_os = "linux")]
mod faults;
mod headers;
mod hosts;
mod http2;
mod log;
mod metrics;
mod output;
mod pictures;
mod proxies;
#[cfg(unix)]
mod restart;
mod settings;
#[cfg(unix)]
mod start;
mod traces;
mod webhook_receiver;
mod webhooks;

use std::time::Duration;

use rdpm::web::Options;
use reqwest::Response;
use serde_json::Value;

/// Settings that end in no time.
fn site() -> Options {
    Options { drain: Duration::ZERO, ..Options::default() }
}

/// A response that must be a problem with this status.
async fn problem(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status, "{body}");
    assert!(body["detail"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    body
}
