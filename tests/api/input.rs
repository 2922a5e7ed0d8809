//! What is refused, and how it is said.

use reqwest::Method;
use serde_json::json;

use crate::common::{Server, fields, options, problem};
use crate::{post_text, send};

#[tokio::test]
async fn each_bad_field_is_named_with_what_is_allowed() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let cases = [
        ("class", json!("Sneaker")),
        ("class", json!(3)),
        ("class", json!(-1)),
        ("class", json!(1.5)),
        ("class", json!(["Circle"])),
        ("class", json!(null)),
        ("model", json!("other")),
        ("model", json!(1)),
        ("seed", json!(-1)),
        ("seed", json!(1.5)),
        ("seed", json!(9_007_199_254_740_992_u64)),
        ("seed", json!("7")),
        ("count", json!(0)),
        ("count", json!(17)),
        ("count", json!(true)),
        ("guidance", json!(-0.1)),
        ("guidance", json!(20.1)),
        ("guidance", json!("2")),
        ("temperature", json!(-1)),
        ("temperature", json!(5.1)),
        ("temperature", json!({})),
        ("top_k", json!(0)),
        ("top_k", json!(9)),
        ("top_k", json!(1.5)),
        ("top_p", json!(0)),
        ("top_p", json!(1.1)),
        ("top_p", json!([])),
        ("steps", json!(20)),
        ("format", json!("gif")),
        ("format", json!("jpg")),
        ("scale", json!(0)),
        ("scale", json!(33)),
        ("scale", json!(1.5)),
    ];
    for (field, value) in cases {
        let mut body = json!({"class": "Circle"});
        body[field] = value.clone();
        let problem = problem(server.post(&body).await, 422).await;
        assert_eq!(fields(&problem), [field], "{body}");
        assert_eq!(problem["errors"][0]["value"], value, "{body}");
    }
    let unknown_class = problem(server.post(&json!({"class": "Sneaker"})).await, 422).await;
    let allowed = unknown_class["errors"][0]["allowed"].as_str().unwrap();
    assert_eq!(allowed, "Circle, Square, Ankle boot, or an index from 0 to 2");
    let unknown_field = problem(server.post(&json!({"class": 0, "sed": 7})).await, 422).await;
    assert!(unknown_field["errors"][0]["allowed"].as_str().unwrap().contains("seed"));
}

#[tokio::test]
async fn all_bad_fields_are_told_at_once() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = json!({"seed": -1, "count": 99, "guidance": "much", "sed": 7, "top_p": 2, "model": "x"});
    let problem = problem(server.post(&body).await, 422).await;
    let mut fields = fields(&problem);
    fields.sort_unstable();
    assert_eq!(fields, ["class", "count", "guidance", "model", "sed", "seed", "top_p"]);
    assert_eq!(problem["type"], "urn:rdpm:problem:invalid-fields");
}

#[tokio::test]
async fn bodies_that_are_no_settings_are_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let json = "application/json";
    for malformed in ["", "{", "{\"class\": NaN}", "{\"guidance\": 1e999}", "\u{1}", "{'class': 1}"] {
        let problem = problem(post_text(&server, json, malformed).await, 400).await;
        assert!(problem["detail"].as_str().unwrap().contains("not JSON"), "{problem}");
    }
    problem(post_text(&server, json, vec![0xff_u8, 0xfe]).await, 400).await;
    problem(post_text(&server, json, format!("{{\"class\": {}", "[".repeat(10_000))).await, 400).await;
    for other in ["[]", "null", "7", "\"Circle\"", "{\"class\": 1, \"class\": 2}"] {
        let problem = problem(post_text(&server, json, other).await, 422).await;
        assert!(!problem["detail"].as_str().unwrap().contains("Body"), "{problem}");
    }
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", "application/xml"]
    {
        problem(post_text(&server, kind, "{\"class\": 1}").await, 415).await;
    }
    for kind in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"] {
        assert_eq!(post_text(&server, kind, "{\"class\": 1}").await.status(), 202, "{kind}");
    }
    // One byte too many: while more of it was on its way, a reset could overtake the answer.
    let around = "{\"class\": \"\"}".len();
    let large = format!("{{\"class\": \"{}\"}}", "x".repeat((12 << 20) + 1 - around));
    problem(post_text(&server, json, large).await, 413).await;
}

#[tokio::test]
async fn unknown_addresses_and_methods_are_problems() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let unknown = "/api/v1/generations/6f1f8f5e-0000-4000-8000-000000000000";
    for path in [
        "/nothing",
        "/api/v2/models",
        "/api/v1/generations/x",
        unknown,
        &format!("{unknown}/events"),
        &format!("{unknown}/images/0.png"),
        "/static/nothing.js",
        "/static/../Cargo.toml",
        "/static/%2e%2e/Cargo.toml",
        "/static/..%2fCargo.toml",
        "/api/v1/models/toy/classes/0.png",
        "/api/v1/models/other/classes/0.png",
        "/api/v1/generations/%ff",
    ] {
        let response = server.get(path).await;
        let status = response.status().as_u16();
        problem(response, if path.ends_with("%ff") { 400 } else { 404 }).await;
        assert!(status < 500);
    }
    problem(send(&server, Method::DELETE, unknown).await, 404).await;
    for (method, path, allow) in [
        (Method::PATCH, "/api/v1/generations", "POST,GET,HEAD"),
        (Method::GET, "/api/v1/tokenizations", "POST"),
        (Method::PUT, unknown, "GET,HEAD,DELETE"),
        (Method::PUT, "/", "GET,HEAD,POST"),
        (Method::PATCH, "/health/live", "GET,HEAD"),
    ] {
        let response = send(&server, method, path).await;
        assert_eq!(response.headers()["allow"], allow, "{path}");
        problem(response, 405).await;
    }
}
