//! The API over real HTTP, with a toy model behind it: shapes, bad input, event streams, headers, shutdown.

#[path = "../common/mod.rs"]
mod common;

mod input;
mod jobs;
mod models;
mod site;
mod streams;

use common::{Server, with_timeout};
use reqwest::{Method, Response};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

async fn send(server: &Server, method: Method, path: &str) -> Response {
    with_timeout(server.client.request(method, server.url(path)).send()).await.unwrap()
}

async fn post_text(server: &Server, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = server.client.post(server.url("/api/v1/generations")).header("content-type", content_type);
    with_timeout(request.body(body).send()).await.unwrap()
}
