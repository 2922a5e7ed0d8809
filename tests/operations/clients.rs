//! Clients are kept apart: by API key, by token, and otherwise by address.

use std::net::IpAddr;
use std::num::NonZeroU32;

use rdpm::web::{ApiKey, Options, RateLimit};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::common::{Server, with_timeout};
use crate::{problem, site};

const GENERATIONS: &str = "/api/v1/generations";
const KEYS: [&str; 2] = ["a-key-of-some-length", "another-key-of-some-length"];

async fn send(request: RequestBuilder) -> Response {
    with_timeout(request.send()).await.unwrap()
}

/// A server with these keys.
async fn closed(keys: &[String], options: Options) -> Server {
    let keys: Vec<ApiKey> = keys.iter().map(|key| key.parse().unwrap()).collect();
    Server::with_web_options(Options { keys, ..options }).await.0
}

/// A client whose connections come from an address of this machine.
fn from(address: &str) -> Client {
    Client::builder().local_address(address.parse::<IpAddr>().unwrap()).build().unwrap()
}

async fn created(response: Response) -> String {
    assert_eq!(response.status(), 202);
    let job: Value = response.json().await.unwrap();
    job["links"]["self"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn each_unnamed_key_is_a_client() {
    let server = closed(&KEYS.map(str::to_owned), site()).await;
    let request = |method: Method, path: &str, key: usize| {
        server.client.request(method, server.url(path)).bearer_auth(KEYS[key])
    };
    let post = |key: usize, class: usize| {
        let post = request(Method::POST, GENERATIONS, key).header("idempotency-key", "same");
        send(post.json(&json!({"class": class})))
    };
    let first = created(post(0, 0).await).await;
    let second = created(post(1, 1).await).await;
    assert_ne!(first, second);
    assert_eq!(created(post(0, 0).await).await, first);
    assert_eq!(problem(post(0, 1).await, 422).await["type"], "urn:rdpm:problem:idempotency-key-reused");
    for (key, own) in [(0, &first), (1, &second)] {
        let list: Value = send(request(Method::GET, GENERATIONS, key)).await.json().await.unwrap();
        let links = list["generations"].as_array().unwrap().iter().map(|job| &job["links"]["self"]);
        assert_eq!(links.collect::<Vec<_>>(), [own.as_str()]);
    }
    // Who knows an address may read, but not cancel.
    assert_eq!(send(request(Method::GET, &first, 1)).await.status(), 200);
    let refused = problem(send(request(Method::DELETE, &first, 1)).await, 403).await;
    assert!(refused["detail"].as_str().unwrap().contains("belongs to another client"));
    assert_eq!(send(request(Method::DELETE, &first, 0)).await.status(), 200);
    problem(send(request(Method::DELETE, &format!("{first}0"), 0)).await, 404).await;
}

#[tokio::test]
async fn unnamed_keys_have_limits_of_their_own() {
    let [per_minute, burst] = [1, 2].map(|number| NonZeroU32::new(number).unwrap());
    let limited = Options { rate_limit: Some(RateLimit { per_minute, burst }), ..site() };
    let server = closed(&KEYS.map(str::to_owned), limited).await;
    let post = |key: &str| {
        send(server.client.post(server.url(GENERATIONS)).bearer_auth(key).json(&json!({"class": 0})))
    };
    for status in [202, 202, 429] {
        assert_eq!(post(KEYS[0]).await.status(), status);
    }
    assert_eq!(post(KEYS[1]).await.status(), 202);
}

#[tokio::test]
async fn keys_of_one_name_are_one_client() {
    let server = closed(&KEYS.map(|key| format!("phone:{key}")), site()).await;
    let post = server.client.post(server.url(GENERATIONS)).bearer_auth(KEYS[0]);
    let own = created(send(post.json(&json!({"class": 0}))).await).await;
    let list = server.client.get(server.url(GENERATIONS)).bearer_auth(KEYS[1]);
    let list: Value = send(list).await.json().await.unwrap();
    assert_eq!(list["generations"][0]["links"]["self"], own.as_str());
    let cancel = server.client.delete(server.url(&own)).bearer_auth(KEYS[1]);
    assert_eq!(send(cancel).await.status(), 200);
}

#[test]
fn names_of_unnamed_keys_differ_and_hide_the_key() {
    let [one, other] = KEYS.map(|key| key.parse::<ApiKey>().unwrap().to_string());
    assert_ne!(one, other);
    let digits = one.strip_prefix("unnamed-").and_then(|rest| rest.strip_suffix(":***")).unwrap();
    assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
}

#[tokio::test]
async fn only_the_same_token_cancels() {
    let (server, _script) = Server::with_web_options(site()).await;
    let [own, other] = ["0123456789abcdef", "fedcba9876543210"];
    let post = |token: Option<&str>| {
        let post = server.client.post(server.url(GENERATIONS)).json(&json!({"class": 0}));
        send(token.into_iter().fold(post, |post, token| post.header("rdpm-client", token)))
    };
    let cancel = |path: &str, token: Option<&str>| {
        let cancel = server.client.delete(server.url(path));
        send(token.into_iter().fold(cancel, |cancel, token| cancel.header("rdpm-client", token)))
    };
    let job = created(post(Some(own)).await).await;
    problem(cancel(&job, Some(other)).await, 403).await;
    problem(cancel(&job, None).await, 403).await;
    assert_eq!(cancel(&job, Some(own)).await.status(), 200);
    // Without a token, the address of the generation is enough.
    let job = created(post(None).await).await;
    assert_eq!(cancel(&job, Some(other)).await.status(), 200);
}

#[tokio::test]
async fn idempotency_keys_of_two_addresses_do_not_collide() {
    let (server, _script) = Server::with_web_options(site()).await;
    let post = |client: &Client, class: usize| {
        let post = client.post(server.url(GENERATIONS)).header("idempotency-key", "same");
        send(post.json(&json!({"class": class})))
    };
    let (one, other) = (from("127.0.0.1"), from("127.0.0.2"));
    let job = created(post(&one, 0).await).await;
    assert_ne!(created(post(&other, 1).await).await, job);
    assert_eq!(created(post(&one, 0).await).await, job);
    // A client with a token is known wherever it is.
    let post = |client: &Client| {
        let post = client.post(server.url(GENERATIONS)).header("idempotency-key", "same");
        send(post.header("rdpm-client", "0123456789abcdef").json(&json!({"class": 2})))
    };
    let job = created(post(&one).await).await;
    assert_eq!(created(post(&other).await).await, job);
}
