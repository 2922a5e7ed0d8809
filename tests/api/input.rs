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
        ("seed", json!(-2)),
        ("seed", json!(1.5)),
        ("seed", json!(9_007_199_254_740_992_u64)),
        ("seed", json!("9007199254740992")),
        ("seed", json!("18446744073709551615")),
        ("seed", json!("-2")),
        ("seed", json!("1.5")),
        ("seed", json!("0x7")),
        ("seed", json!("seven")),
        ("seed", json!([7])),
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
    let body = json!({"seed": -2, "count": 99, "guidance": "much", "sed": 7, "top_p": 2, "model": "x"});
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

#[tokio::test]
async fn seeds_may_be_text_and_random() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let seed = async |seed: serde_json::Value| {
        server.generate(&json!({"class": 0, "seed": seed})).await["seed"].as_u64().unwrap()
    };
    for (sent, expected) in [
        (json!("7"), 7),
        (json!(" 7 "), 7),
        (json!("007"), 7),
        (json!(7.0), 7),
        (json!("0"), 0),
        (json!("9007199254740991"), 9_007_199_254_740_991),
    ] {
        assert_eq!(seed(sent.clone()).await, expected, "{sent}");
    }
    for random in [json!(-1), json!(-1.0), json!("-1"), json!(""), json!(null)] {
        let (first, second) = (seed(random.clone()).await, seed(random.clone()).await);
        assert!(first != second && first.max(second) <= 9_007_199_254_740_991, "{random}: {first} {second}");
    }
}

#[tokio::test]
async fn bodies_may_have_a_byte_order_mark_and_no_media_type() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = "\u{feff}{\"class\": 1, \"seed\": 5}";
    for kind in ["application/json", "application/json; charset=utf-8", "application/json;charset=\"UTF-8\""]
    {
        assert_eq!(post_text(&server, kind, body).await.status(), 202, "{kind}");
    }
    let post = |body: &'static str| server.client.post(server.url("/api/v1/generations")).body(body).send();
    assert_eq!(post(body).await.unwrap().status(), 202);
    problem(post("class=1").await.unwrap(), 400).await;
}

/// Text in a content coding.
fn compressed(encoding: &str, text: &[u8]) -> Vec<u8> {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    match encoding {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let (mut input, mut file) = (text, Vec::new());
            brotli::BrotliCompress(&mut input, &mut file, &brotli::enc::BrotliEncoderParams::default())
                .unwrap();
            file
        }
        _ => zstd::encode_all(text, 3).unwrap(),
    }
}

#[tokio::test]
async fn compressed_bodies_are_read_and_bounded() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let send = async |path: &str, encoding: &str, body: Vec<u8>| {
        let request = server.client.post(server.url(path)).header("content-encoding", encoding);
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    };
    let body = b"{\"class\": 1, \"seed\": 5}".to_vec();
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let accepted = send("/api/v1/generations", encoding, compressed(encoding, &body)).await;
        assert_eq!(accepted.status(), 202, "{encoding}");
        assert_eq!(accepted.json::<serde_json::Value>().await.unwrap()["seed"], 5);
        // A hundred megabytes of spaces.
        let bomb = compressed(encoding, &vec![b' '; 100 << 20]);
        assert!(bomb.len() < 1 << 20, "{encoding}: {}", bomb.len());
        problem(send("/api/v1/generations", encoding, bomb.clone()).await, 413).await;
        problem(send("/api/v1/tokenizations", encoding, bomb.clone()).await, 413).await;
        let large = send("/v1/images/generations", encoding, bomb).await;
        assert_eq!(large.status(), 413, "{encoding}");
        // Not what the header says, or cut off.
        problem(send("/api/v1/generations", encoding, body.clone()).await, 400).await;
        let mut half = compressed(encoding, &body);
        half.truncate(half.len() / 2);
        problem(send("/api/v1/generations", encoding, half).await, 400).await;
    }
    let unknown = problem(send("/api/v1/generations", "compress", body).await, 415).await;
    assert!(unknown["detail"].as_str().unwrap().contains("gzip, deflate, br or zstd"), "{unknown}");
}
