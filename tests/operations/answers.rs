//! Answers are bounded, whatever a request contains and however slowly a client reads.

use std::fmt::Write;
use std::sync::Arc;

use rdpm::web::{ClassPictures, Options};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::common::{Script, Server, config, engine_with, fields, options, problem, with_timeout};
use crate::site;

/// Bytes of an error at most.
const MAX_ERROR: usize = 32 << 10;
const GENERATIONS: &str = "/api/v1/generations";
const IMAGES: &str = "/v1/images/generations";

async fn server() -> Server {
    Server::with_web_options(site()).await.0
}

async fn send(request: RequestBuilder) -> Response {
    with_timeout(request.send()).await.unwrap()
}

async fn post_json(server: &Server, path: &str, body: String) -> Response {
    send(server.client.post(server.url(path)).header("content-type", "application/json").body(body)).await
}

/// The body of an error with this status, which must be short.
async fn error(response: Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    let text = with_timeout(response.text()).await.unwrap();
    assert!(text.len() < MAX_ERROR, "{} bytes: {}", text.len(), &text[..500]);
    serde_json::from_str(&text).unwrap()
}

/// `{FIRST, "f0": 1, "f1": 1, …}` with so many unknown fields.
fn unknown_fields(first: &str, count: usize) -> String {
    let mut body = format!("{{{first}");
    for number in 0..count {
        write!(body, ",\"f{number}\":1").unwrap();
    }
    body + "}"
}

#[tokio::test]
async fn errors_beyond_twenty_are_counted() {
    let server = server().await;
    let body = unknown_fields("\"class\":0", 5000);
    let refused = error(post_json(&server, GENERATIONS, body).await, 422).await;
    assert_eq!(fields(&refused).len(), 20);
    assert_eq!(refused["omitted_errors"], 4980);
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with("5000 fields are invalid: f0, ") && detail.ends_with(" and 4980 others."));
    // Below the limit there is no count.
    let refused = error(post_json(&server, GENERATIONS, unknown_fields("\"class\":0", 19)).await, 422).await;
    assert_eq!((fields(&refused).len(), refused.get("omitted_errors")), (19, None));

    let body = unknown_fields("\"prompt\":\"circle\"", 5000);
    let refused = error(post_json(&server, IMAGES, body).await, 400).await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("and 4980 others"));

    let query: String = (0..3000).map(|number| format!("&f{number}=1")).collect();
    let refused = error(server.get(&format!("/api/v1/classes?{query}")).await, 422).await;
    assert_eq!((fields(&refused).len(), &refused["omitted_errors"]), (20, &json!(2980)));

    let part = "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\n1\r\n";
    for parts in [100, 10_000] {
        let form = format!("{}--x--\r\n", part.repeat(parts));
        let request = server.client.post(server.url("/api/v1/tokenizations"));
        let request = request.header("content-type", "multipart/form-data; boundary=x").body(form);
        let refused = error(send(request).await, 422).await;
        assert_eq!(refused["omitted_errors"], parts - 20);
    }
}

#[tokio::test]
async fn the_page_names_twenty_invalid_values() {
    let server = server().await;
    let page = server.get("/").await.text().await.unwrap();
    let query = "class=nothing&".repeat(2000);
    for response in [
        server.get(&format!("/?{query}")).await,
        send(
            server
                .client
                .post(server.url("/"))
                .header("content-type", "application/x-www-form-urlencoded")
                .body(query.clone()),
        )
        .await,
    ] {
        assert_eq!(response.status(), 200);
        let refused = with_timeout(response.text()).await.unwrap();
        assert!(refused.len() < page.len() + MAX_ERROR, "{} and {} bytes", refused.len(), page.len());
        assert_eq!(refused.matches("class can’t be “nothing”").count(), 20);
        assert!(refused.contains("1980 further values can’t be used."));
    }
}

#[tokio::test]
async fn large_bodies_of_small_values_are_refused_early() {
    let server = server().await;
    // As many fields as fit in 12 MiB.
    let body = unknown_fields("\"class\":0", 900_000);
    assert!(body.len() > 10 << 20);
    for path in [GENERATIONS, "/api/v1/tokenizations"] {
        let refused = error(post_json(&server, path, body.clone()).await, 413).await;
        assert_eq!(refused["detail"], "The body has more than 100000 values.");
    }
    let list = format!("{{\"class\":0,\"list\":[{}0]}}", "0,".repeat(5_000_000));
    error(post_json(&server, GENERATIONS, list).await, 413).await;
    // Commas within text are no values.
    let text = format!("{{\"class\":0,\"text\":\"\\\"{}\"}}", ",".repeat(5_000_000));
    let refused = error(post_json(&server, GENERATIONS, text).await, 422).await;
    assert_eq!(fields(&refused), ["text"]);
}

#[tokio::test]
async fn token_files_and_forms_of_many_parts_are_bounded() {
    let server = server().await;
    let file = format!("{{\"format\":\"rdpm-tokens/1\",\"tokens\":[[[{}0]]]}}", "0,".repeat(40_000));
    error(post_json(&server, "/api/v1/decode", file).await, 413).await;
    let part = "--b\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n1\r\n";
    let form = part.repeat(200_000) + "--b--\r\n";
    for path in ["/v1/images/edits", "/v1/images/variations"] {
        let request = server.client.post(server.url(path));
        let request = request.header("content-type", "multipart/form-data; boundary=b").body(form.clone());
        let response = send(request).await;
        assert_eq!(response.status(), 413, "{path}");
        let refused: Value = response.json().await.unwrap();
        assert_eq!(refused["error"]["message"], "The form has more than 1000 parts.");
    }
}

#[tokio::test]
async fn long_values_are_quoted_in_part() {
    let server = server().await;
    let long = "x".repeat(20_000);
    for (path, status) in [
        (format!("{GENERATIONS}/{long}"), 404),
        (format!("{GENERATIONS}/{long}/events"), 404),
        (format!("/api/v1/models/{long}/classes/0.png"), 404),
        (format!("/api/v1/classes?model={long}"), 422),
        (format!("/api/v1/classes?{long}=1"), 422),
        (format!("/static/{long}"), 404),
        (format!("/{long}"), 404),
        (format!("/v1/models/{long}"), 404),
        (format!("/v1/models/{}", "%00".repeat(6000)), 404),
    ] {
        error(server.get(&path).await, status).await;
    }
    for (name, status) in [("rdpm-client", 422), ("idempotency-key", 422)] {
        let request = server.client.post(server.url(GENERATIONS)).header(name, &long);
        error(send(request.json(&json!({"class": 0}))).await, status).await;
    }
    let accept = vec!["image/unknown"; 1500].join(", ");
    let request = server.client.post(server.url(GENERATIONS)).header("accept", accept);
    error(send(request.json(&json!({"class": 0}))).await, 406).await;
    let job = server.generate(&json!({"class": 0})).await;
    let own = job["links"]["self"].as_str().unwrap();
    for file in [format!("images/{long}"), format!("{long}.png")] {
        error(server.get(&format!("{own}/{file}")).await, 404).await;
    }
    let events = server.client.get(server.url(&format!("{own}/events"))).header("last-event-id", &long);
    error(send(events).await, 422).await;

    let escaped = "\\u0001".repeat(10_000);
    for (path, body, status) in [
        (GENERATIONS, format!("\"{escaped}\""), 422),
        (GENERATIONS, format!("{{\"{escaped}\":1,\"{escaped}\":1}}"), 422),
        (GENERATIONS, format!("{{\"class\":\"{escaped}\"}}"), 422),
        (GENERATIONS, format!("{{\"class\":[\"{escaped}\"]}}"), 422),
        (IMAGES, format!("{{\"prompt\":\"circle\",\"model\":\"{escaped}\"}}"), 404),
        (IMAGES, format!("{{\"prompt\":\"{escaped}\",\"size\":\"x\"}}"), 400),
    ] {
        error(post_json(&server, path, body).await, status).await;
    }
    // The end of a long text, which cannot be read, is not part of a message either.
    let megabytes = "y".repeat(5_000_000);
    for body in [format!("\"{megabytes}\""), format!("{{\"{megabytes}\":1,\"{megabytes}\":1}}")] {
        error(post_json(&server, GENERATIONS, body).await, 422).await;
    }
}

#[tokio::test]
async fn large_answers_that_nobody_reads_are_bounded() {
    let mut config = config();
    config.image.size = 256;
    let engine = engine_with(options(), vec![(config, Arc::new(Script::default()))]).unwrap();
    let limit = Options { answer_memory: 640 << 10, ..site() };
    let server = Server::start_with(Arc::new(engine), ClassPictures::default(), limit).await;
    let job = server.generate(&json!({"class": 0, "count": 16})).await;
    server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    let file = format!("{}/sheet.jpeg?scale=3", job["links"]["self"].as_str().unwrap());
    let whole = server.get(&file).await;
    assert_eq!(whole.status(), 200);
    let length = whole.content_length().unwrap();
    assert_eq!(with_timeout(whole.bytes()).await.unwrap().len() as u64, length);
    assert!((160 << 10..320 << 10).contains(&length), "{length}");

    // More than the buffers of the sockets take, even if many are refused beside the requests below: one answer is in memory.
    let mut unread = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {file} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    unread.write_all(request.repeat(2000).as_bytes()).await.unwrap();
    let until = async |status: u16| {
        with_timeout(async {
            loop {
                let response = server.get(&file).await;
                if response.status() == status {
                    break response;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
        .await
    };
    let refused = until(503).await;
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(problem(refused, 503).await["type"], "urn:rdpm:problem:overloaded");
    // Half of the memory is for one address, so another has some.
    let other =
        reqwest::Client::builder().local_address(std::net::IpAddr::from([127, 0, 0, 2])).build().unwrap();
    let answer = with_timeout(other.get(server.url(&file)).send()).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    // Small answers are not affected, and files that all clients share are not counted.
    assert_eq!(server.get("/api/v1/models").await.status(), 200);
    assert_eq!(server.get("/openapi.json").await.status(), 200);
    drop(unread);
    until(200).await;
}
