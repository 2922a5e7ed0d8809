//! Fairness between clients and jobs of all gateways.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::system::{Gateway, System, body, tokens};

const JOBS: u64 = 6;
const COUNT: u64 = 16;

async fn finished_images(gateway: &Gateway, ids: &[String]) -> usize {
    let mut count = 0;
    for id in ids {
        let job = gateway.json(&format!("/api/v1/generations/{id}")).await;
        count += job["images"].as_array().unwrap().len();
    }
    count
}

/// The images that workers can get.
async fn queued_images(system: &System) -> u64 {
    let client = async_nats::connect(system.queue()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("rdpm_work").await.unwrap();
    stream.cached_info().state.messages
}

#[tokio::test]
async fn client_with_many_images_does_not_hold_up_another() {
    let system = System::start();
    let (mut one, mut other) = (system.gateway(), system.gateway());
    other.http = Client::builder().local_address(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2))).build().unwrap();
    let _worker = system.worker_with(&["--max-batch", "4"]);
    one.wait_for_workers(1).await;
    other.wait_for_workers(1).await;
    let mut many = Vec::new();
    for seed in 0..JOBS {
        many.push(one.post(&body(seed, COUNT)).await);
    }
    other.json(&format!("/api/v1/generations/{}", many[JOBS as usize - 1])).await;
    // Short, though so many wait.
    let started = Instant::now();
    while queued_images(&system).await == 0 {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing is queued");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let queued = queued_images(&system).await;
    assert!(queued <= 24, "{queued}");

    let single = other.post(&body(70, 1)).await;
    // The other client is next, whenever it came.
    let events = other.events(&single).await;
    assert_eq!((events[0].name.as_str(), &events[0].data["position"]), ("queued", &Value::from(1)));
    assert_eq!(events.last().unwrap().name, "completed");
    let before = finished_images(&other, &many).await;
    assert!(before <= (JOBS * COUNT) as usize / 2, "{before} images went first");

    // Jobs whose images aren't queued yet can be canceled, and what a dead gateway has accepted goes on.
    for id in &many[4..] {
        let path = format!("/api/v1/generations/{id}");
        assert_eq!(other.send(Method::DELETE, &path, &[], None).await.status(), StatusCode::OK);
    }
    one.program.0.kill().unwrap();
    for id in &many[..4] {
        assert_eq!(other.ended(id).await["status"], "completed");
        let images = tokens(&other.events(id).await);
        assert_eq!(images.len(), COUNT as usize);
        assert!(images.iter().all(|steps| steps.len() == 10));
    }
    for id in &many[4..] {
        let events = other.events(id).await;
        assert_eq!(events.last().unwrap().name, "canceled");
        tokens(&events);
    }
    // Nothing is left.
    let next = other.post(&body(71, 1)).await;
    assert_eq!(other.ended(&next).await["status"], "completed");
    for _ in 0..100 {
        if queued_images(&system).await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("images of ended jobs are queued");
}
