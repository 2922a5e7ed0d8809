//! What several gateways answer for each other's jobs.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::system::{Gateway, System, body, expected, tokens, tokens_after};

const TOKEN: &str = "a-token-of-a-client";

#[tokio::test]
async fn every_gateway_answers_for_every_job() {
    let system = System::start();
    let (one, other) = (system.gateway(), system.gateway());
    let _worker = system.worker();
    let workers = one.wait_for_workers(1).await;
    let worker = &workers["workers"][0];
    assert_eq!(worker["devices"], json!(["cpu"]));
    assert_eq!(worker["models"][0]["name"], "fashion-mnist");
    assert_eq!((worker["slots"].as_u64(), worker["leaving"].as_bool()), (Some(16), Some(false)));

    let body = json!({"class": "Bag", "seed": 3, "count": 3});
    let id = one.post(&body).await;
    // At once: the other may not have heard of it yet.
    let job = other.json(&format!("/api/v1/generations/{id}")).await;
    assert_eq!((&job["id"], &job["seed"]), (&json!(id), &json!(3)));
    let events = other.events(&id).await;
    assert_eq!(events, one.events(&id).await);
    let found: Vec<Vec<Value>> = tokens(&events);
    let server = Gateway::embedded();
    assert_eq!(found, expected(&server, &body).await);
    assert_eq!((found.len(), found[2].len()), (3, 10));

    // From the middle on, at the other gateway.
    let mut rest = other.stream(&id, 7).await;
    while rest.next().await {}
    assert_eq!(rest.events, events[7..]);

    // The same bytes as the embedded engine's.
    let own = server.post(&body).await;
    server.ended(&own).await;
    for file in ["images/0.png", "images/2.png", "sheet.png", "animation.gif"] {
        let image = other.get(&format!("/api/v1/generations/{id}/{file}")).await;
        assert_eq!(image.status(), StatusCode::OK, "{file}");
        let same = server.get(&format!("/api/v1/generations/{own}/{file}")).await;
        assert_eq!(image.bytes().await.unwrap(), same.bytes().await.unwrap(), "{file}");
    }
    let unknown = "/api/v1/generations/00000000-0000-4000-8000-000000000000";
    assert_eq!(other.get(unknown).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn idempotency_keys_lists_and_cancel_hold_at_every_gateway() {
    let system = System::start();
    let (one, other) = (system.gateway(), system.gateway());
    one.wait_for("/health/ready", StatusCode::OK).await;
    other.wait_for("/health/ready", StatusCode::OK).await;
    // Without a worker the job waits.
    let own = [("rdpm-client", TOKEN), ("idempotency-key", "again")];
    let (a, b) = (body(1, 1), body(1, 1));
    let (id, again) = tokio::join!(one.post_with(&own, &a), other.post_with(&own, &b));
    assert_eq!(id, again);
    assert_eq!(other.post_with(&own, &body(1, 1)).await, id);
    let reused = other.send(Method::POST, "/api/v1/generations", &own, Some(&body(2, 1))).await;
    assert_eq!(reused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let stranger = [("rdpm-client", "another-token-of-another"), ("idempotency-key", "again")];
    assert_ne!(other.post_with(&stranger, &body(1, 1)).await, id);

    let list = other.send(Method::GET, "/api/v1/generations", &own[..1], None).await;
    let list: Value = list.json().await.unwrap();
    let ids: Vec<&Value> = list["generations"].as_array().unwrap().iter().map(|job| &job["id"]).collect();
    assert_eq!(ids, [&json!(id)]);

    let path = format!("/api/v1/generations/{id}");
    let refused = other.send(Method::DELETE, &path, &stranger[..1], None).await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    let mut stream = one.stream(&id, 0).await;
    let canceled = other.send(Method::DELETE, &path, &own[..1], None).await;
    assert_eq!(canceled.json::<Value>().await.unwrap()["status"], "canceled");
    while stream.next().await {}
    assert_eq!(stream.events.last().unwrap().name, "canceled");
    assert_eq!(one.json(&path).await["status"], "canceled");
    // Its image is not drawn later.
    let _worker = system.worker();
    one.wait_for_workers(1).await;
    let next = one.post(&body(5, 1)).await;
    assert_eq!(one.ended(&next).await["status"], "completed");
    assert_eq!(other.json(&path).await["images"], json!([]));
}

#[tokio::test]
async fn variations_tokenizations_and_synchronous_answers_work() {
    let system = System::start();
    let gateway = system.gateway();
    let _worker = system.worker();
    gateway.wait_for_workers(1).await;
    let server = Gateway::embedded();
    let picture = |base: &Gateway| {
        let (http, url) = (base.http.clone(), base.url.clone());
        async move {
            let request = http.post(format!("{url}/api/v1/generations")).header("accept", "image/png");
            let response =
                request.json(&json!({"class": "Coat", "seed": 4, "count": 2})).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.bytes().await.unwrap()
        }
    };
    let file = picture(&gateway).await;
    assert_eq!(file, picture(&server).await);
    let image = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &file);
    let variation = json!({"class": "Bag", "seed": 9, "image": image, "from_step": 4, "alternatives": true});
    assert_eq!(expected(&gateway, &variation).await, expected(&server, &variation).await);
    let cells = json!([[0, 0], [0, 1], [3, 3]]);
    let edit = json!({"class": "Bag", "seed": 9, "image": image, "cells": cells, "count": 2});
    let edited = expected(&gateway, &edit).await;
    assert_eq!(edited, expected(&server, &edit).await);
    assert_eq!(edited.len(), 2);
    // A branch of the edit: the gateway has its tokens, and workers draw what follows.
    let mut branched = Vec::new();
    for base in [&gateway, &server] {
        let id = base.post(&edit).await;
        base.events(&id).await;
        let changes = json!([{"row": 2, "column": 2, "code": 7}]);
        let from = json!({"generation": id, "image": 1, "step": 6, "changes": changes});
        let id = base.post(&json!({"class": "Bag", "seed": 3, "from": from})).await;
        let events = base.events(&id).await;
        let steps = events.iter().filter(|event| event.name == "step");
        branched.push(steps.map(|event| event.data["images"][0]["tokens"].clone()).collect::<Vec<_>>());
        let file = base.json(&format!("/api/v1/generations/{id}/images/0.json")).await;
        assert_eq!(file["tokens"][5][2][2], 7);
        assert_eq!(file["tokens"].as_array().unwrap().last(), branched.last().unwrap().last());
    }
    assert_eq!(branched[0], branched[1]);
    // Each frame of an interpolation is a worker's job of its own. The gateway has both ends drawn before.
    let mut between = Vec::new();
    for base in [&gateway, &server] {
        let ends = json!({"a": {"seed": 1}, "b": {"seed": 6, "index": 2}, "class": "Bag", "kind": "steps",
                          "kept_steps": 4, "frames": 5, "seed": 2});
        let accepted = base.send(Method::POST, "/api/v1/interpolations", &[], Some(&ends)).await;
        assert_eq!(accepted.status(), StatusCode::ACCEPTED);
        let accepted: Value = accepted.json().await.unwrap();
        let id = accepted["id"].as_str().unwrap();
        let found = tokens_after(&base.events(id).await, 4);
        let film = base.get(&format!("/api/v1/generations/{id}/animation.gif?which=images")).await;
        let last = base.json(&format!("/api/v1/generations/{id}/images/4.json")).await;
        assert_eq!((&last["seed"], &last["index"]), (&json!(6), &json!(2)));
        between.push((found, film.bytes().await.unwrap(), last));
    }
    assert_eq!(between[0], between[1]);
    assert_eq!(between[0].0.len(), 5);
    // A link that one gateway signs is valid at another.
    let other = system.gateway();
    let images = json!({"prompt": "Bag", "model": "dall-e-3", "response_format": "url"});
    let answer = gateway.send(Method::POST, "/v1/images/generations", &[], Some(&images)).await;
    let answer: Value = answer.json().await.unwrap();
    let url = answer["data"][0]["url"].as_str().unwrap();
    let path = &url[url.find("/v1/").unwrap()..];
    other.wait_for("/health/ready", StatusCode::OK).await;
    let response = other.get(path).await;
    assert_eq!(response.status(), StatusCode::OK, "{answer}");
    assert_eq!(other.get(&path.replace("signature=", "signature=a")).await.status(), StatusCode::FORBIDDEN);
    let tokenization = json!({"image": image, "seed": 2});
    let tokenize = |base: &Gateway| {
        let (http, url, body) = (base.http.clone(), base.url.clone(), tokenization.clone());
        async move {
            let response = http.post(format!("{url}/api/v1/tokenizations")).json(&body).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            response.json::<Value>().await.unwrap()
        }
    };
    assert_eq!(tokenize(&gateway).await, tokenize(&server).await);
    let metrics = gateway.get("/metrics").await.text().await.unwrap();
    for line in ["rdpm_queue_connected 1", "rdpm_workers 1", "rdpm_worker_slots 16"] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn full_queue_is_full_at_every_gateway() {
    let system = System::start();
    let limit = ["--max-queue", "4"];
    let (one, other) = (system.gateway_with(&limit), system.gateway_with(&limit));
    other.wait_for("/health/ready", StatusCode::OK).await;
    one.wait_for("/health/ready", StatusCode::OK).await;
    let id = one.post(&body(1, 4)).await;
    other.json(&format!("/api/v1/generations/{id}")).await;
    let refused = other.send(Method::POST, "/api/v1/generations", &[], Some(&body(2, 1))).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=120).contains(&seconds), "{seconds}");
    let _worker = system.worker();
    assert_eq!(other.ended(&id).await["status"], "completed");
    other.post(&body(2, 1)).await;
}

#[tokio::test]
async fn limits_of_a_client_hold_at_all_gateways_together() {
    let system = System::start();
    let limits = ["--rate-limit", "6", "--rate-burst", "3", "--cost-limit", "6", "--cost-burst", "5"];
    let (one, other) = (system.gateway_with(&limits), system.gateway_with(&limits));
    for gateway in [&one, &other] {
        gateway.wait_for("/health/ready", StatusCode::OK).await;
    }
    one.post(&body(1, 1)).await;
    other.post(&body(2, 1)).await;
    // Another gateway hears of it in a tenth of a second.
    let heard = || tokio::time::sleep(Duration::from_secs(1));
    heard().await;
    // One more request, of three images at most: not four.
    let path = "/api/v1/generations";
    let refused = one.send(Method::POST, path, &[], Some(&body(3, 4))).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // That was the third request, at both.
    heard().await;
    for gateway in [&other, &one] {
        let refused = gateway.send(Method::POST, path, &[], Some(&body(4, 1))).await;
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["type"], "urn:rdpm:problem:rate-limited", "{problem}");
    }
    // A client at another address has limits of its own.
    let local = reqwest::Client::builder().local_address(Some([127, 0, 0, 77].into())).build().unwrap();
    let job = local.post(format!("{}{path}", other.url)).json(&body(5, 1)).send().await.unwrap();
    assert_eq!(job.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn stream_waits_for_the_event_after_one_that_another_gateway_has_sent() {
    let system = System::start();
    let gateway = system.gateway();
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    let id = gateway.post(&body(1, 1)).await;
    // This gateway has not read so far.
    let mut stream = gateway.stream(&id, 5).await;
    let _worker = system.worker();
    while stream.next().await {}
    let events = gateway.events(&id).await;
    assert!(events.len() > 10);
    assert_eq!(stream.events, events[5..]);
}
