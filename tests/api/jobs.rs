//! Jobs from their request to their end: pictures, settings, waiting, cancelling, faults.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdpm::engine::Options;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Fault, STEPS, Server, options, problem, with_timeout};
use crate::{PNG, send};

#[tokio::test]
async fn a_generation_from_post_to_png() {
    let (server, _) = Server::with_fake_backend(options()).await;
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
    let (server, _) = Server::with_fake_backend(options()).await;
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

#[tokio::test]
async fn a_job_can_ask_to_end_with_its_readers() {
    let (server, script) =
        Server::with_fake_backend(Options { disconnect_grace: Duration::ZERO, ..options() }).await;
    script.pause();
    let job = server.generate(&json!({"class": 0, "cancel_on_disconnect": true})).await;
    let [own, events] = ["self", "events"].map(|link| job["links"][link].as_str().unwrap());
    let mut stream = server.get(events).await;
    with_timeout(stream.chunk()).await.unwrap().unwrap();
    drop(stream);
    let canceled = async {
        while server.json(own).await["status"] != "canceled" {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    with_timeout(canceled).await;
    script.resume();
}

#[tokio::test]
async fn a_waiting_job_is_told_when_it_moves_up() {
    let (server, script) = Server::with_fake_backend(Options { max_batch: 1, ..options() }).await;
    script.pause();
    server.generate(&json!({"class": 0})).await;
    script.run_steps(1);
    server.generate(&json!({"class": 0})).await;
    let last = server.generate(&json!({"class": 0})).await;
    let [own, events] = ["self", "events"].map(|link| last["links"][link].as_str().unwrap());
    let told = server.json(own).await;
    assert_eq!(told["position"], 2);
    assert!(told["eta_seconds"].as_f64().unwrap() > 0.0 && told["started"].is_null());
    script.run_steps(STEPS);
    let mut stream = server.get(events).await;
    let mut text = String::new();
    while !text.contains("\"position\":1") {
        text += std::str::from_utf8(&with_timeout(stream.chunk()).await.unwrap().unwrap()).unwrap();
    }
    script.resume();
}

#[tokio::test]
async fn every_setting_is_taken_and_told() {
    let (server, _) = Server::with_fake_backend(options()).await;
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
async fn delete_cancels_and_repeats_itself() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
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
    script.resume();

    let own = server.generate(&json!({"class": 0})).await["links"]["self"].as_str().unwrap().to_owned();
    server.messages(&format!("{own}/events"), None).await;
    let body: Value = send(&server, Method::DELETE, &own).await.json().await.unwrap();
    assert_eq!(body["status"], "completed");
}

#[tokio::test]
async fn a_full_queue_is_a_429_with_retry_after() {
    let (server, script) =
        Server::with_fake_backend(Options { max_batch: 1, max_queue: 2, ..options() }).await;
    script.pause();
    server.generate(&json!({"class": 0})).await;
    script.run_steps(1);
    server.generate(&json!({"class": 0, "count": 2})).await;
    let response = server.post(&json!({"class": 0})).await;
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!(seconds >= 1);
    let body = problem(response, 429).await;
    assert_eq!(body["type"], "urn:rdpm:problem:queue-full");
    script.resume();
}

#[tokio::test]
async fn faults_are_told_without_their_cause() {
    let (server, script) = Server::with_fake_backend(options()).await;
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
