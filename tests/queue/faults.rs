//! The death of each part while jobs are drawn.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::system::{Gateway, StreamEvent, System, body, expected, tokens};

/// Enough images that steps take a while.
const COUNT: u64 = 16;

#[tokio::test]
async fn killed_worker_is_replaced_without_a_trace() {
    let system = System::start();
    let gateway = system.gateway();
    let mut first = system.worker();
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(11, COUNT)).await;
    gateway.wait_for_events(&id, 20).await;
    first.kill();
    let _second = system.worker();
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    let events = gateway.events(&id).await;
    assert_eq!(tokens(&events), expected(&Gateway::embedded(), &body(11, COUNT)).await);
    // A gateway that starts later tells the same.
    let later = system.gateway();
    later.wait_for("/health/ready", StatusCode::OK).await;
    assert_eq!(later.events(&id).await, events);
}

#[tokio::test]
async fn stopped_worker_that_continues_contradicts_nothing() {
    let system = System::start();
    let gateway = system.gateway();
    let first = system.worker();
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(12, COUNT)).await;
    gateway.wait_for_events(&id, 20).await;
    first.signal(libc::SIGSTOP);
    let _second = system.worker();
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    let events = gateway.events(&id).await;
    first.signal(libc::SIGCONT);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(gateway.events(&id).await, events);
    assert_eq!(tokens(&events), expected(&Gateway::embedded(), &body(12, COUNT)).await);
    // Both work again.
    gateway.wait_for_workers(2).await;
    let next = gateway.post(&body(13, COUNT)).await;
    assert_eq!(gateway.ended(&next).await["status"], "completed");
    tokens(&gateway.events(&next).await);
}

#[tokio::test]
async fn worker_that_leaves_hands_over_what_it_can_not_finish() {
    let system = System::start();
    let gateway = system.gateway();
    let mut first = system.worker_with(&["--drain-timeout", "0"]);
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(14, COUNT)).await;
    gateway.wait_for_events(&id, 20).await;
    first.signal(libc::SIGTERM);
    let _second = system.worker();
    assert!(first.0.wait().unwrap().success());
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    assert_eq!(tokens(&gateway.events(&id).await).len(), COUNT as usize);
    gateway.wait_for_workers(1).await;
}

/// Publishes what a worker on a GPU does that dies after some steps.
async fn draw_as_another_kind_of_worker(system: &System, id: &str, image: u32, steps: &[Value]) {
    let client = async_nats::connect(system.queue()).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let subject = format!("rdpm.events.{id}.image.{image}");
    let started = json!({"kind": "started", "image": image, "run": 7, "worker": "gpu-1", "device": "cuda:0", "delivery": 1});
    let mut messages = vec![(format!("{subject}.started"), started)];
    for (at, tokens) in steps.iter().enumerate() {
        let rows = tokens.as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        let tokens: Vec<&Value> = rows.collect();
        let values = vec![0.5; tokens.len()];
        let step = json!({"kind": "step", "step": at + 1, "image": image, "run": 7, "tokens": tokens,
                          "entropy": values, "probability": values});
        messages.push((subject.clone(), step));
    }
    for (subject, content) in messages {
        let json = json!({"v": 1, "content": content}).to_string();
        let payload = [&(json.len() as u32).to_le_bytes()[..], json.as_bytes()].concat();
        jetstream.publish(subject, payload.into()).await.unwrap().await.unwrap();
    }
}

#[tokio::test]
async fn steps_that_another_kind_of_device_contradicts_are_told() {
    let system = System::start();
    let gateway = system.gateway();
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    let expected = expected(&Gateway::embedded(), &body(21, 3)).await;
    let id = gateway.post(&body(21, 3)).await;
    // Image 0: the same codes; image 1: other codes from step 2 on. Image 2 is not started.
    draw_as_another_kind_of_worker(&system, &id, 0, &expected[0][..4]).await;
    let mut other = expected[1][..4].to_vec();
    other[1][0][0] = json!(other[1][0][0].as_u64().unwrap() ^ 1);
    draw_as_another_kind_of_worker(&system, &id, 1, &other).await;
    let _worker = system.worker();
    assert_eq!(gateway.ended(&id).await["status"], "completed");
    let events = gateway.events(&id).await;
    let redrawn: Vec<&Value> =
        events.iter().filter(|event| event.name == "redrawn").map(|event| &event.data).collect();
    assert_eq!(redrawn, [&json!({"index": 1, "first": 2, "last": 4})]);
    // What was drawn by the first is told before, and what holds at the end is what the second drew.
    let of_image = |event: &&StreamEvent| event.name == "step" && event.data["images"][0]["index"] == 1;
    let told: Vec<_> = events.iter().filter(of_image).map(|event| &event.data["step"]).collect();
    assert_eq!(told, [1, 2, 3, 4, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(tokens(&events), expected);
    // The first is alive after all, and too late: nothing changes.
    draw_as_another_kind_of_worker(&system, &id, 1, &other).await;
    let later = system.gateway();
    later.wait_for("/health/ready", StatusCode::OK).await;
    assert_eq!(later.events(&id).await, events);
    // A film of the picture shows each step once.
    let frames = json!(later.json(&format!("/api/v1/generations/{id}/images/1.json")).await["tokens"]);
    assert_eq!(frames, json!(expected[1]));
}

#[tokio::test]
async fn clients_of_a_killed_gateway_read_on_at_another() {
    let system = System::start();
    let (mut one, other) = (system.gateway(), system.gateway());
    let _worker = system.worker();
    one.wait_for_workers(1).await;
    let id = one.post(&body(15, COUNT)).await;
    let mut stream = one.stream(&id, 0).await;
    while stream.events.len() < 20 {
        assert!(stream.next().await);
    }
    one.program.0.kill().unwrap();
    while stream.next().await {}
    let read = stream.events;
    let mut rest = other.stream(&id, read.len() as u64).await;
    while rest.next().await {}
    let events: Vec<_> = read.into_iter().chain(rest.events).collect();
    assert_eq!(events.last().unwrap().name, "completed");
    assert_eq!(tokens(&events), expected(&Gateway::embedded(), &body(15, COUNT)).await);
}

#[tokio::test]
async fn jobs_go_on_after_the_queue_was_restarted() {
    let mut system = System::start();
    let gateway = system.gateway();
    let _worker = system.worker();
    gateway.wait_for_workers(1).await;
    let id = gateway.post(&body(16, COUNT)).await;
    let waiting = gateway.post(&body(17, COUNT)).await;
    gateway.wait_for_events(&id, 20).await;
    system.nats.take().unwrap().kill();
    gateway.wait_for("/health/ready", StatusCode::SERVICE_UNAVAILABLE).await;
    // What is known can be read meanwhile; what isn't may exist.
    gateway.json(&format!("/api/v1/generations/{id}")).await;
    let unknown = "/api/v1/generations/00000000-0000-4000-8000-000000000000";
    assert_eq!(gateway.get(unknown).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    system.start_nats(&[]);
    gateway.wait_for("/health/ready", StatusCode::OK).await;
    let server = Gateway::embedded();
    for (id, seed) in [(id, 16), (waiting, 17)] {
        assert_eq!(gateway.ended(&id).await["status"], "completed");
        let found = tokens(&gateway.events(&id).await);
        assert_eq!(found, expected(&server, &body(seed, COUNT)).await);
    }
}

#[tokio::test]
async fn image_that_stops_its_workers_is_given_up() {
    let mut system = System::start();
    system.arguments.extend(["--queue-attempts".into(), "2".into()]);
    let gateway = system.gateway();
    // Creates the consumer.
    let mut worker = system.worker();
    gateway.wait_for_workers(1).await;
    worker.kill();
    let id = gateway.post(&body(18, 1)).await;
    // Takes the image and says nothing more, as a worker does that the image crashes.
    let client = async_nats::connect(system.queue()).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("rdpm_work").await.unwrap();
    let name = stream.consumer_names().next().await.unwrap().unwrap();
    let consumer: PullConsumer = stream.get_consumer(&name).await.unwrap();
    for attempt in 1..=2 {
        let mut messages = consumer.batch().max_messages(1).messages().await.unwrap();
        let message = loop {
            match messages.next().await {
                Some(message) => break message.unwrap(),
                None => messages = consumer.batch().max_messages(1).messages().await.unwrap(),
            }
        };
        assert_eq!(message.info().unwrap().delivered, attempt);
        draw_as_another_kind_of_worker(&system, &id, 0, &[]).await;
    }
    let _worker = system.worker();
    let job = gateway.ended(&id).await;
    assert_eq!(job["status"], "failed");
    assert!(job["detail"].as_str().unwrap().contains("stopped, several times"), "{job}");
    // The worker goes on.
    let next = gateway.post(&body(19, 1)).await;
    assert_eq!(gateway.ended(&next).await["status"], "completed");
}
