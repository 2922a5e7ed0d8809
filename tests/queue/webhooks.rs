//! Web hooks of several gateways: the one that accepted a job tells of its end.

use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::system::System;

#[tokio::test]
async fn the_gateway_that_accepted_a_job_tells_of_its_end() {
    let (sender, mut received) = mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let webhook = format!("http://{}/", listener.local_addr().unwrap());
    let hear = move |body: Bytes| {
        let _ = sender.send(serde_json::from_slice::<Value>(&body).unwrap());
        async { StatusCode::NO_CONTENT }
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/", post(hear))).await });
    let mut next = async || {
        let message = tokio::time::timeout(Duration::from_secs(120), received.recv()).await;
        message.expect("a message in time").unwrap()
    };

    let system = System::start();
    let secret = system.folder.path().join("secret");
    std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let mut arguments = vec!["--webhook-hosts", "127.0.0.1", "--webhook-networks", "127.0.0.1"];
    arguments.extend(["--webhook-secret-file", secret.to_str().unwrap()]);
    let (one, other) = (system.gateway_with(&arguments), system.gateway_with(&arguments));
    one.wait_for("/health/ready", StatusCode::OK).await;
    other.wait_for("/health/ready", StatusCode::OK).await;
    let body = json!({"class": "Bag", "seed": 1, "webhook": webhook});
    let key = [("idempotency-key", "once")];
    let id = one.post_with(&key, &body).await;
    // Repeated at both, it is the same job.
    assert_eq!(other.post_with(&key, &body).await, id);
    assert_eq!(one.post_with(&key, &body).await, id);
    let canceled = other.post(&json!({"class": "Bag", "seed": 2, "webhook": webhook})).await;
    let own = format!("/api/v1/generations/{canceled}");
    assert_eq!(one.send(reqwest::Method::DELETE, &own, &[], None).await.status(), StatusCode::OK);
    let message = next().await;
    assert_eq!((&message["type"], &message["data"]["id"]), (&json!("generation.canceled"), &json!(canceled)));
    let _worker = system.worker();
    let message = next().await;
    assert_eq!((&message["type"], &message["data"]["id"]), (&json!("generation.completed"), &json!(id)));
    let last = other.post(&body).await;
    assert_eq!(next().await["data"]["id"], json!(last));
    assert!(received.try_recv().is_err());
}
