//! A client's own generations, and asking again.

use rdpm::engine::Options;
use rdpm::web;
use serde_json::{Value, json};

use super::common::{Server, fields, options, problem, with_timeout};
use super::post_with;

const CREATE: &str = "/api/v1/generations";
const TOKEN: &str = "0123456789abcdef";

async fn list(server: &Server, token: &str, query: &str) -> Vec<Value> {
    let request = server.client.get(server.url(&format!("{CREATE}{query}"))).header("rdpm-client", token);
    let response = with_timeout(request.send()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["cache-control"], "no-store");
    response.json::<Value>().await.unwrap()["generations"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_client_finds_its_own_generations_and_no_others() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let mut ids = Vec::new();
    for seed in 0..3 {
        let response =
            post_with(&server, CREATE, ("rdpm-client", TOKEN), &json!({"class": 1, "seed": seed})).await;
        ids.insert(0, response.json::<Value>().await.unwrap()["id"].clone());
    }
    server.generate(&json!({"class": 0})).await;
    post_with(&server, CREATE, ("rdpm-client", "another-client-of-this"), &json!({"class": 0})).await;

    let found = list(&server, TOKEN, "").await;
    assert_eq!(found.iter().map(|job| job["id"].clone()).collect::<Vec<_>>(), ids);
    let first = &found[0];
    let links = json!({"self": format!("{CREATE}/{}", ids[0].as_str().unwrap()),
        "events": format!("{CREATE}/{}/events", ids[0].as_str().unwrap())});
    let expected = json!({"id": ids[0], "status": first["status"], "model": "toy", "class": "Square", "seed": 2,
        "count": 1, "created": first["created"], "links": links});
    assert_eq!(first, &expected);
    assert_eq!(list(&server, TOKEN, "?limit=2").await.len(), 2);
    assert_eq!(list(&server, "another-client-of-this", "").await.len(), 1);
    assert_eq!(list(&server, "a-client-without-jobs", "").await.len(), 0);
}

#[tokio::test]
async fn a_list_needs_a_token() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let refused = problem(server.get(CREATE).await, 422).await;
    assert_eq!(fields(&refused), ["rdpm-client"]);
    for token in ["short", "with blanks in the middle", "x".repeat(129).as_str(), "ümlaut-ümlaut-ümlaut"] {
        for method in [reqwest::Method::GET, reqwest::Method::POST] {
            let request = server.client.request(method, server.url(CREATE)).header("rdpm-client", token);
            let response = with_timeout(request.json(&json!({"class": 0})).send()).await.unwrap();
            assert_eq!(fields(&problem(response, 422).await), ["rdpm-client"], "{token}");
        }
    }
    for limit in ["0", "101", "x"] {
        let request =
            server.client.get(server.url(&format!("{CREATE}?limit={limit}"))).header("rdpm-client", TOKEN);
        problem(with_timeout(request.send()).await.unwrap(), 422).await;
    }
}

#[tokio::test]
async fn the_same_key_and_body_are_the_same_generation() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let post = async |key: &str, body: &str| {
        let request = server.client.post(server.url(CREATE)).header("idempotency-key", key);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        with_timeout(request.send()).await.unwrap()
    };
    let id = async |key: &str, body: &str| {
        let response = post(key, body).await;
        assert_eq!(response.status(), 202);
        response.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned()
    };
    let first = id("\"a-key\"", r#"{"class": 0, "count": 2}"#).await;
    // Quotes, blanks and the order of fields make no difference.
    for (key, body) in [("a-key", r#"{"class":0,"count":2}"#), ("\"a-key\"", r#"{"count": 2, "class": 0}"#)] {
        assert_eq!(id(key, body).await, first);
    }
    assert_ne!(id("other", r#"{"class": 0, "count": 2}"#).await, first);
    let reused = problem(post("a-key", r#"{"class": 0, "count": 3}"#).await, 422).await;
    assert_eq!(reused["type"], "urn:rdpm:problem:idempotency-key-reused");

    // Each client has keys of its own.
    let request = server.client.post(server.url(CREATE)).header("idempotency-key", "a-key");
    let request = request.header("rdpm-client", TOKEN).json(&json!({"class": 0, "count": 3}));
    assert_eq!(with_timeout(request.send()).await.unwrap().status(), 202);

    // A body that is refused takes no key.
    problem(post("fresh", r#"{"class": 9}"#).await, 422).await;
    id("fresh", r#"{"class": 1}"#).await;
    for bad in ["", " ", &"x".repeat(256), "ü"] {
        let request = server.client.post(server.url(CREATE)).header("idempotency-key", bad);
        let response = with_timeout(request.json(&json!({"class": 0})).send()).await.unwrap();
        assert_eq!(fields(&problem(response, 422).await), ["idempotency-key"], "{bad:?}");
    }
}

#[tokio::test]
async fn keys_and_lists_are_forgotten_with_their_generations() {
    let (server, _) = Server::with_fake_backend(Options { max_finished: 1, ..options() }).await;
    let post = async |body: &Value| {
        let request = server.client.post(server.url("/api/v1/generations?wait=true"));
        let request = request.header("idempotency-key", "key").header("rdpm-client", TOKEN);
        with_timeout(request.json(body).send()).await.unwrap()
    };
    post(&json!({"class": 0})).await;
    assert_eq!(post(&json!({"class": 1})).await.status(), 422);
    let other = server.client.post(server.url("/api/v1/generations?wait=true")).json(&json!({"class": 2}));
    assert_eq!(with_timeout(other.send()).await.unwrap().status(), 200);
    // An end is told before what it displaces is forgotten.
    with_timeout(async {
        while !list(&server, TOKEN, "").await.is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(post(&json!({"class": 1})).await.status(), 200);
}

#[tokio::test]
async fn with_api_keys_a_client_is_its_key() {
    let keys = ["one:0123456789abcdef-1", "two:0123456789abcdef-2"].map(|key| key.parse().unwrap()).to_vec();
    let (server, _) = Server::with_web_options(web::Options { keys, ..web::Options::default() }).await;
    let send = async |method: reqwest::Method, key: &str| {
        let request = server.client.request(method, server.url(CREATE)).bearer_auth(key);
        with_timeout(request.json(&json!({"class": 0})).send()).await.unwrap()
    };
    assert_eq!(send(reqwest::Method::POST, "0123456789abcdef-1").await.status(), 202);
    for (key, jobs) in [("0123456789abcdef-1", 1), ("0123456789abcdef-2", 0)] {
        let list: Value = send(reqwest::Method::GET, key).await.json().await.unwrap();
        assert_eq!(list["generations"].as_array().unwrap().len(), jobs);
    }
}
