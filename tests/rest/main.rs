//! The API beyond jobs and their events, over real HTTP with a toy model behind it.

#[path = "../common/mod.rs"]
mod common;

mod a1111;
mod a1111_edits;
mod a1111_progress;
mod addresses;
mod edits;
mod files;
mod interpolations;
mod list;
mod models;
mod openai;
mod openai_words;
mod synchronous;
mod uploads;
mod words;

use common::{Server, with_timeout};
use image::DynamicImage;
use serde_json::Value;

/// Posts a generation with a header.
async fn post_with(server: &Server, path: &str, header: (&str, &str), body: &Value) -> reqwest::Response {
    let request = server.client.post(server.url(path)).header(header.0, header.1).json(body);
    with_timeout(request.send()).await.unwrap()
}

/// A finished generation's address.
async fn finished(server: &Server, body: &Value) -> String {
    let job = server.generate(body).await;
    server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    job["links"]["self"].as_str().unwrap().to_owned()
}

/// An answer's picture, which must be of this type.
async fn picture(response: reqwest::Response, media_type: &str) -> DynamicImage {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], media_type);
    image::load_from_memory(&response.bytes().await.unwrap()).unwrap()
}
