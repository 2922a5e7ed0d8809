//! Event streams: resumed, kept from caches, ended with the server.

use reqwest::StatusCode;
use serde_json::json;

use crate::common::{Server, fields, options, problem, with_timeout};

#[tokio::test]
async fn event_streams_resume_after_the_last_id() {
    let (server, script) = Server::with_fake_backend(options()).await;
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
    assert_eq!(with_timeout(request.send()).await.unwrap().status(), StatusCode::NO_CONTENT);

    for bad in ["x", "-1", "1.5"] {
        let request = server.client.get(server.url(&path)).header("last-event-id", bad);
        let problem = problem(with_timeout(request.send()).await.unwrap(), 422).await;
        assert_eq!(fields(&problem), ["last-event-id"]);
    }

    // A client that leaves in the middle and comes back misses nothing.
    script.pause();
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let path = format!("{own}/events");
    script.run_steps(2);
    let mut broken = server.get(&path).await;
    let mut text = String::new();
    while !text.contains("id: 3\n") {
        text += std::str::from_utf8(&with_timeout(broken.chunk()).await.unwrap().unwrap()).unwrap();
    }
    drop(broken);
    script.resume();
    let rest = server.messages(&path, Some("3")).await;
    assert!(rest.iter().map(|message| message.id).eq(4..=8));
}

#[tokio::test]
async fn streams_are_neither_stored_nor_held_back_nor_compressed() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    let request = server.client.get(server.url(&format!("{own}/events"))).header("accept-encoding", "gzip");
    let response = with_timeout(request.send()).await.unwrap();
    let headers = response.headers();
    assert_eq!(headers["cache-control"], "no-store, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert!(!headers.contains_key("content-encoding"));

    let request = server.client.get(server.url("/api/v1/models")).header("accept-encoding", "gzip");
    assert_eq!(with_timeout(request.send()).await.unwrap().headers()["content-encoding"], "gzip");
}

#[tokio::test]
async fn stopping_ends_open_streams_with_an_event() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    script.run_steps(1);
    let url = server.url(&format!("{own}/events"));
    let stream = with_timeout(server.client.get(url).send()).await.unwrap();
    // The stream ends while the step hangs; the server waits for the step.
    let follow = async {
        let text = with_timeout(stream.text()).await.unwrap();
        script.resume();
        text
    };
    let (text, ()) = tokio::join!(follow, server.stop());
    assert!(text.contains("event: failed") || text.contains("event:failed"), "{text}");
}
