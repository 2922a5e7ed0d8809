//! The API over real HTTP, with a toy model behind it: shapes, bad input, event streams, headers, shutdown.

mod common;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::{Fault, STEPS, Script, Server, config, fields, options, problem, toy_engine, within};
use rdpm::engine::Options;
use rdpm::web::ClassPictures;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

async fn send(server: &Server, method: Method, path: &str) -> Response {
    within(server.client.request(method, server.url(path)).send()).await.unwrap()
}

async fn post_text(server: &Server, content_type: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = server.client.post(server.url("/api/v1/generations")).header("content-type", content_type);
    within(request.body(body).send()).await.unwrap()
}

#[tokio::test]
async fn a_generation_from_post_to_png() {
    let (server, _) = Server::toy(options()).await;
    let response = server.post(&json!({"class": "ankle BOOT", "seed": 7, "count": 2, "top_k": 3})).await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["cache-control"], "no-store");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let accepted: Value = response.json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    let own = format!("/api/v1/generations/{id}");
    assert_eq!(location, own);
    assert!(accepted["status"].is_string());
    let expected = json!({
        "id": id, "status": accepted["status"], "model": "toy", "class": "Ankle boot", "seed": 7,
        "links": {"self": own, "events": format!("{own}/events")},
    });
    assert_eq!(accepted, expected);

    let messages = server.messages(&format!("{own}/events"), None).await;
    let kinds: Vec<&str> = messages.iter().map(|message| message.event.as_str()).collect();
    assert_eq!(kinds, ["queued", "started", "step", "step", "step", "step", "step", "completed"]);
    assert!(messages.iter().map(|message| message.id).eq(1..=8));
    let queued = json!({"id": id, "status": "queued", "position": 1, "eta_seconds": 0.0});
    assert_eq!(messages[0].data, queued);
    assert_eq!(messages[1].data, json!({"id": id, "status": "running"}));
    let step = &messages[4].data;
    assert_eq!((&step["step"], &step["steps"]), (&json!(3), &json!(STEPS)));
    assert_eq!(step["images"].as_array().unwrap().len(), 2);
    let image = &step["images"][1];
    assert_eq!(image["index"], 1);
    for grid in ["tokens", "entropy", "probability"] {
        let rows = image[grid].as_array().unwrap();
        assert!(rows.len() == 3 && rows.iter().all(|row| row.as_array().unwrap().len() == 3), "{grid}");
    }
    // seed 7 + index 1 × 3 + class 2 + step 3, then the position; modulo 8.
    assert_eq!(image["tokens"], json!([[7, 0, 1], [2, 3, 4], [5, 6, 7]]));
    assert_eq!(image["entropy"][0][0], 1.5);
    for preview in ["noisy", "clean"] {
        let url = image[preview].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
        assert!(STANDARD.decode(url).unwrap().starts_with(PNG));
    }

    let body = server.json(&own).await;
    assert_eq!(messages[7].data, body);
    let png = STANDARD.decode(body["images"][1]["png_base64"].as_str().unwrap()).unwrap();
    let url = body["images"][1]["url"].as_str().unwrap();
    assert_eq!(url, format!("{own}/images/1.png"));
    let times = ["created", "started", "ended"].map(|time| body[time].as_str().unwrap());
    assert!(times.is_sorted() && times.iter().all(|time| time.starts_with("20") && time.ends_with('Z')));
    let expected = json!({
        "id": id, "status": "completed", "model": "toy", "class": "Ankle boot", "class_index": 2, "seed": 7,
        "count": 2, "guidance": 2.0, "temperature": 0.9, "top_k": 3, "top_p": null,
        "previews": true, "alternatives": false, "cancel_on_disconnect": false,
        "created": times[0], "started": times[1], "ended": times[2],
        "links": accepted["links"], "images": body["images"],
    });
    assert_eq!(body, expected);

    let file = server.get(url).await;
    assert_eq!(file.headers()["content-type"], "image/png");
    assert_eq!(file.bytes().await.unwrap(), png);
    for missing in ["2.png", "-1.png", "+1.png", "1", "1.gif", "x.png", "99999999999.png"] {
        problem(server.get(&format!("{own}/images/{missing}")).await, 404).await;
    }
}

#[tokio::test]
async fn steps_show_what_the_request_asks_for() {
    let (server, _) = Server::toy(options()).await;
    let body = json!({"class": 0, "seed": 1, "previews": false, "alternatives": true});
    let job = server.generate(&body).await;
    let messages = server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    let image = messages[2].data["images"][0].as_object().unwrap();
    assert!(!image.contains_key("noisy") && !image.contains_key("clean"), "{image:?}");
    // Two codes for each of 3 × 3 positions.
    let expected =
        json!({"codes": [[0, 1], [0, 1], [0, 1]], "probabilities": [[0.5, 0.25], [0.5, 0.25], [0.5, 0.25]]});
    for grid in ["codes", "probabilities"] {
        assert_eq!(image["alternatives"][grid], json!([expected[grid], expected[grid], expected[grid]]));
    }
}

/// A client that leaves is noticed through the connection.
#[tokio::test]
async fn a_job_can_ask_to_end_with_its_readers() {
    let (server, script) = Server::toy(Options { disconnect_grace: Duration::ZERO, ..options() }).await;
    script.hold();
    let job = server.generate(&json!({"class": 0, "cancel_on_disconnect": true})).await;
    let [own, events] = ["self", "events"].map(|link| job["links"][link].as_str().unwrap());
    let mut stream = server.get(events).await;
    within(stream.chunk()).await.unwrap().unwrap();
    drop(stream);
    let canceled = async {
        while server.json(own).await["status"] != "canceled" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(canceled).await;
    script.release();
}

#[tokio::test]
async fn a_waiting_job_is_told_when_it_moves_up() {
    let (server, script) = Server::toy(Options { max_batch: 1, ..options() }).await;
    script.hold();
    server.generate(&json!({"class": 0})).await;
    script.allow(1);
    server.generate(&json!({"class": 0})).await;
    let last = server.generate(&json!({"class": 0})).await;
    let [own, events] = ["self", "events"].map(|link| last["links"][link].as_str().unwrap());
    let told = server.json(own).await;
    assert_eq!(told["position"], 2);
    assert!(told["eta_seconds"].as_f64().unwrap() > 0.0 && told["started"].is_null());
    script.allow(STEPS);
    let mut stream = server.get(events).await;
    let mut text = String::new();
    while !text.contains("\"position\":1") {
        text += std::str::from_utf8(&within(stream.chunk()).await.unwrap().unwrap()).unwrap();
    }
    script.release();
}

#[tokio::test]
async fn every_setting_is_taken_and_told() {
    let (server, _) = Server::toy(options()).await;
    let body = json!({
        "class": 1, "model": "toy", "seed": 9_007_199_254_740_991_u64, "count": 16, "guidance": 20,
        "temperature": 0, "top_k": 8, "top_p": 1, "previews": false, "alternatives": true,
        "cancel_on_disconnect": true,
    });
    let own = server.generate(&body).await["links"]["self"].as_str().unwrap().to_owned();
    let told = server.json(&own).await;
    for (field, value) in body.as_object().unwrap().iter().filter(|(field, _)| *field != "class") {
        assert_eq!(told[field].as_f64(), value.as_f64(), "{field}");
        assert_eq!(told[field].as_bool(), value.as_bool(), "{field}");
    }
    assert_eq!((&told["class"], &told["class_index"]), (&json!("Square"), &json!(1)));

    // JSON may write a whole number with a point.
    let own = server.generate(&json!({"class": 1.0, "seed": 7.0, "top_k": 3.0})).await;
    assert_eq!((&own["class"], &own["seed"]), (&json!("Square"), &json!(7)));

    // Silence and null mean the defaults, and a seed of the server's choice.
    let silent = json!({"class": "Circle", "seed": null, "guidance": null, "top_p": null, "model": null});
    let first = server.generate(&silent).await["seed"].as_u64().unwrap();
    let second = server.generate(&silent).await["seed"].as_u64().unwrap();
    assert_ne!(first, second);
}

#[tokio::test]
async fn each_bad_field_is_named_with_what_is_allowed() {
    let (server, _) = Server::toy(options()).await;
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
    let (server, _) = Server::toy(options()).await;
    let body = json!({"seed": -1, "count": 99, "guidance": "much", "sed": 7, "top_p": 2, "model": "x"});
    let problem = problem(server.post(&body).await, 422).await;
    let mut fields = fields(&problem);
    fields.sort_unstable();
    assert_eq!(fields, ["class", "count", "guidance", "model", "sed", "seed", "top_p"]);
    assert_eq!(problem["type"], "urn:rdpm:problem:invalid-fields");
}

#[tokio::test]
async fn bodies_that_are_no_settings_are_refused() {
    let (server, _) = Server::toy(options()).await;
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
    let (server, _) = Server::toy(options()).await;
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
async fn delete_cancels_and_repeats_itself() {
    let (server, script) = Server::toy(options()).await;
    script.hold();
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    for _ in 0..2 {
        let response = send(&server, Method::DELETE, &own).await;
        assert_eq!(response.status(), 200);
        let body: Value = response.json().await.unwrap();
        assert_eq!((&body["status"], &body["images"]), (&json!("canceled"), &json!([])));
    }
    let messages = server.messages(&format!("{own}/events"), None).await;
    let last = messages.last().unwrap();
    assert_eq!((last.event.as_str(), &last.data), ("canceled", &server.json(&own).await));
    problem(server.get(&format!("{own}/images/0.png")).await, 404).await;
    script.release();

    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    server.messages(&format!("{own}/events"), None).await;
    let body: Value = send(&server, Method::DELETE, &own).await.json().await.unwrap();
    assert_eq!(body["status"], "completed");
}

#[tokio::test]
async fn event_streams_resume_after_the_last_id() {
    let (server, script) = Server::toy(options()).await;
    let own =
        server.generate(&json!({"class": 0, "count": 2})).await["links"]["self"].as_str().unwrap().to_owned();
    let path = format!("{own}/events");
    let all = server.messages(&path, None).await;
    for after in 0..all.len() {
        assert_eq!(server.messages(&path, Some(&after.to_string())).await, all[after..]);
    }
    for beyond in ["999", "18446744073709551616"] {
        assert_eq!(server.messages(&path, Some(beyond)).await, all);
    }

    // Nothing follows: 204 tells an EventSource to stop.
    let last = all.len().to_string();
    let request = server.client.get(server.url(&path)).header("last-event-id", last);
    assert_eq!(within(request.send()).await.unwrap().status(), StatusCode::NO_CONTENT);

    for bad in ["x", "-1", "1.5"] {
        let request = server.client.get(server.url(&path)).header("last-event-id", bad);
        let problem = problem(within(request.send()).await.unwrap(), 422).await;
        assert_eq!(fields(&problem), ["last-event-id"]);
    }

    // A client that leaves in the middle and comes back misses nothing.
    script.hold();
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let path = format!("{own}/events");
    script.allow(2);
    let mut broken = server.get(&path).await;
    let mut text = String::new();
    while !text.contains("id: 3\n") {
        text += std::str::from_utf8(&within(broken.chunk()).await.unwrap().unwrap()).unwrap();
    }
    drop(broken);
    script.release();
    let rest = server.messages(&path, Some("3")).await;
    assert!(rest.iter().map(|message| message.id).eq(4..=8));
}

#[tokio::test]
async fn streams_are_neither_stored_nor_held_back_nor_compressed() {
    let (server, _) = Server::toy(options()).await;
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let request = server.client.get(server.url(&format!("{own}/events"))).header("accept-encoding", "gzip");
    let response = within(request.send()).await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "no-store");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-encoding"));

    let request = server.client.get(server.url("/api/v1/models")).header("accept-encoding", "gzip");
    assert_eq!(within(request.send()).await.unwrap().headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn a_full_queue_is_a_429_with_retry_after() {
    let (server, script) = Server::toy(Options { max_batch: 1, max_queue: 2, ..options() }).await;
    script.hold();
    server.generate(&json!({"class": 0})).await;
    script.allow(1);
    server.generate(&json!({"class": 0, "count": 2})).await;
    let response = server.post(&json!({"class": 0})).await;
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    let body = problem(response, 429).await;
    assert_eq!(body["type"], "urn:rdpm:problem:queue-full");
    script.release();
}

#[tokio::test]
async fn faults_are_told_without_their_cause() {
    let (server, script) = Server::toy(options()).await;
    script.fail_steps([None, Some(Fault::Panic)]);
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let messages = server.messages(&format!("{own}/events"), None).await;
    let last = messages.last().unwrap();
    assert_eq!((last.event.as_str(), &last.data["status"]), ("failed", &json!("failed")));
    assert!(last.data["detail"].as_str().is_some_and(|detail| !detail.contains("secret")));
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let messages = server.messages(&format!("{own}/events"), None).await;
    assert_eq!(messages.last().unwrap().event, "completed");
}

#[tokio::test]
async fn readiness_follows_the_model() {
    let (server, script) = Server::toy(options()).await;
    assert_eq!(server.json("/health/live").await, json!({"status": "live"}));
    let ready = json!({"status": "ready", "models": [{"name": "toy", "ready": true}]});
    assert_eq!(server.json("/health/ready").await, ready);
    script.fail_steps([Some(Fault::Error)]);
    script.fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    server.generate(&json!({"class": 0})).await;
    let response = within(async {
        loop {
            let response = server.get("/health/ready").await;
            if response.status() != 200 {
                break response;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503).await;
    let refused = server.post(&json!({"class": 0})).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused, 503).await["type"], "urn:rdpm:problem:not-ready");
    assert_eq!(server.get("/health/live").await.status(), 200);
    script.mend();
    within(async {
        while server.get("/health/ready").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn models_and_classes_describe_what_is_served() {
    let (server, _) = Server::toy(options()).await;
    let body = server.json("/api/v1/models").await;
    let expected = json!({"models": [{
        "name": "toy", "title": "Toy", "classes": ["Circle", "Square", "Ankle boot"], "steps": 5, "grid": 3,
        "image": {"size": 12, "channels": 1}, "parameters": 1234,
        "codebook": {"size": 8, "colors": body["models"][0]["codebook"]["colors"]},
        "defaults": {"guidance": 2.0, "temperature": 0.9},
        "limits": {"max_count": 16, "guidance_min": 0.0, "guidance_max": 20.0, "temperature_min": 0.0,
            "temperature_max": 5.0, "seed_max": 9_007_199_254_740_991_u64, "top_k_max": 8,
            "from_step_max": 4, "scale_max": 32},
        "device": "toy",
    }]});
    assert_eq!(body, expected);
    assert_eq!(body["models"][0]["codebook"]["colors"].as_array().unwrap().len(), 8);
    let classes = server.json("/api/v1/classes").await;
    assert_eq!(classes["classes"][2], json!({"index": 2, "name": "Ankle boot", "picture": null}));
}

#[tokio::test]
async fn class_pictures_come_from_the_weights_folder() {
    let folder = std::env::temp_dir().join(format!("rdpm-pictures-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("classes")).unwrap();
    std::fs::write(folder.join("classes/1.png"), [PNG, b"rest"].concat()).unwrap();
    std::fs::write(folder.join("classes/2.png"), "no picture").unwrap();
    let mut pictures = ClassPictures::default();
    pictures.read(&folder, &config());
    std::fs::remove_dir_all(&folder).unwrap();

    let (engine, _script): (_, Arc<Script>) = toy_engine(options());
    let server = Server::start(engine, pictures).await;
    let classes = server.json("/api/v1/classes").await;
    let urls: Vec<&Value> =
        classes["classes"].as_array().unwrap().iter().map(|class| &class["picture"]).collect();
    let url = "/api/v1/models/toy/classes/1.png";
    assert_eq!(urls, [&json!(null), &json!(url), &json!(null)]);
    let response = server.get(url).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    let etag = response.headers()["etag"].clone();
    assert!(response.bytes().await.unwrap().starts_with(PNG));
    let again = server.client.get(server.url(url)).header("if-none-match", etag);
    assert_eq!(within(again.send()).await.unwrap().status(), 304);
    problem(server.get("/api/v1/models/toy/classes/2.png").await, 404).await;
    assert!(server.get("/").await.text().await.unwrap().contains(url));
}

#[tokio::test]
async fn the_page_names_the_classes_and_allows_nothing_from_elsewhere() {
    let (server, _) = Server::toy(options()).await;
    let response = server.get("/").await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; "));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "same-origin");
    let page = response.text().await.unwrap();
    for class in ["Circle", "Square", "Ankle boot"] {
        assert!(page.contains(class), "{class}");
    }
    // Whatever the page links to from here is here.
    for (at, _) in page.match_indices("=\"/") {
        let path = &page[at + 2..];
        let path = &path[..path.find('"').unwrap()];
        assert_eq!(server.get(path).await.status(), 200, "{path}");
    }
    let missing = server.get("/nothing").await;
    assert!(missing.headers().contains_key("content-security-policy"));
}

#[tokio::test]
async fn static_files_are_revalidated() {
    let (server, _) = Server::toy(options()).await;
    let response = server.get("/static/favicon.svg").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    let etag = response.headers()["etag"].clone();
    let again = server.client.get(server.url("/static/favicon.svg")).header("if-none-match", etag);
    assert_eq!(within(again.send()).await.unwrap().status(), 304);
    let other = server.client.get(server.url("/static/favicon.svg")).header("if-none-match", "\"other\"");
    assert_eq!(within(other.send()).await.unwrap().status(), 200);
}

#[tokio::test]
async fn stopping_ends_open_streams_with_an_event() {
    let (server, script) = Server::toy(options()).await;
    script.hold();
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    script.allow(1);
    let url = server.url(&format!("{own}/events"));
    let stream = within(server.client.get(url).send()).await.unwrap();
    // The stream ends while the step hangs; the server waits for the step.
    let follow = async {
        let text = within(stream.text()).await.unwrap();
        script.release();
        text
    };
    let (text, ()) = tokio::join!(follow, server.stop());
    assert!(text.contains("event: failed") || text.contains("event:failed"), "{text}");
}
