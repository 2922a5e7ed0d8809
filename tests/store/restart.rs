//! What a restart keeps.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::with_timeout;
use crate::process::{OTHER_TOKEN, Process, Site, TOKEN};

/// A generation that was made with an `Idempotency-Key`.
async fn with_key(process: &Process, key: &str, body: &Value) -> reqwest::Response {
    let request = process.request(Method::POST, "/api/v1/generations").header("rdpm-client", TOKEN);
    with_timeout(request.header("idempotency-key", key).json(body).send()).await.unwrap()
}

async fn events(process: &Process, id: &str, after: Option<&str>) -> String {
    let mut request = process.request(Method::GET, &format!("/api/v1/generations/{id}/events"));
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    with_timeout(with_timeout(request.send()).await.unwrap().text()).await.unwrap()
}

#[tokio::test]
async fn answers_after_a_restart_are_those_before() {
    let site = Site::new();
    let process = site.serve(&[]);
    let body =
        json!({"class": "two", "seed": 7, "count": 3, "alternatives": true, "format": "webp", "scale": 2});
    let accepted: Value = with_key(&process, "key-1", &body).await.json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    process.ended(id).await;
    process.wait_for_gallery(id).await;
    let files = [
        "images/1.png",
        "images/2.jpeg?scale=3",
        "sheet.webp?scale=2",
        "animation.gif",
        "animation.png?which=tokens",
    ];
    let own = format!("/api/v1/generations/{id}");
    let mut before = Vec::new();
    for file in files {
        before.push(process.bytes(&format!("{own}/{file}")).await);
    }
    let (generation, list) = (process.json(&own).await, process.json("/api/v1/generations").await);
    let (all, rest) = (events(&process, id, None).await, events(&process, id, Some("3")).await);
    assert!(all.contains("event: completed") && all.len() > rest.len());
    process.stop();

    let process = site.serve(&[]);
    assert_eq!(process.json(&own).await, generation);
    assert_eq!(process.json("/api/v1/generations").await, list);
    assert_eq!(events(&process, id, None).await, all);
    assert_eq!(events(&process, id, Some("3")).await, rest);
    for (file, before) in files.into_iter().zip(before) {
        assert!(process.bytes(&format!("{own}/{file}")).await == before, "{file}");
    }
    // Canceling what has ended changes nothing.
    let canceled: Value = process.send(Method::DELETE, &own).await.json().await.unwrap();
    assert_eq!(canceled, generation);
    let again: Value = with_key(&process, "key-1", &body).await.json().await.unwrap();
    assert_eq!(again["id"], accepted["id"]);
    let other = with_key(&process, "key-1", &json!({"class": "one"})).await;
    assert_eq!(other.status(), 422);
    // The key is this client's only.
    let request = process.request(Method::POST, "/api/v1/generations").header("rdpm-client", OTHER_TOKEN);
    let response = with_timeout(request.header("idempotency-key", "key-1").json(&body).send()).await.unwrap();
    let others: Value = response.json().await.unwrap();
    assert_ne!(others["id"], accepted["id"]);
}

#[tokio::test]
async fn stored_generation_is_readable_after_the_memory_has_forgotten_it() {
    let site = Site::new();
    let process = site.serve(&["--retention-jobs", "1"]);
    let first = process.draw(&json!({"class": 0, "seed": 1})).await;
    let generation = process.json(&format!("/api/v1/generations/{first}")).await;
    for seed in 2..5 {
        process.draw(&json!({"class": 0, "seed": seed})).await;
    }
    assert_eq!(process.json(&format!("/api/v1/generations/{first}")).await, generation);
    assert_eq!(
        process.json("/api/v1/generations?limit=10").await["generations"].as_array().unwrap().len(),
        4
    );
}

#[tokio::test]
async fn signed_link_leads_to_a_picture_that_the_memory_has_forgotten() {
    let site = Site::new();
    let process = site.serve(&["--retention-jobs", "1"]);
    let body = json!({"prompt": "two", "response_format": "url"});
    let request =
        process.request(Method::POST, "/v1/images/generations").header("rdpm-client", TOKEN).json(&body);
    let answer: Value = with_timeout(request.send()).await.unwrap().json().await.unwrap();
    let url = answer["data"][0]["url"].as_str().unwrap();
    let (_, path) = url.split_once("/v1/").unwrap();
    let path = format!("/v1/{path}");
    let (_, rest) = path.split_once("/files/").unwrap();
    let id = &rest[..rest.find('/').unwrap()];
    process.wait_for_gallery(id).await;
    let before = process.bytes(&path).await;
    for seed in 2..5 {
        process.draw(&json!({"class": 0, "seed": seed})).await;
    }
    assert!(process.bytes(&path).await == before);
}

#[tokio::test]
async fn accepted_jobs_are_drawn_after_a_stop_with_the_same_tokens() {
    let site = Site::new();
    let process = site.serve(&["--max-batch", "1"]);
    let image = {
        use base64::Engine as _;
        let file = std::fs::read("tests/fixtures/images/grey16.png").unwrap();
        base64::engine::general_purpose::STANDARD.encode(file)
    };
    let requests: Vec<Value> = (0..60)
        .map(|seed| match seed % 3 {
            0 => json!({"class": 1, "seed": seed, "count": 16, "temperature": 1.5}),
            1 => json!({"class": 0, "seed": seed, "count": 16, "image": image, "from_step": 4}),
            _ => json!({"class": 0, "seed": seed, "count": 16, "top_k": 3, "guidance_steps": "2-6", "previews": false}),
        })
        .collect();
    let mut ids = Vec::new();
    for body in &requests {
        ids.push(process.generate(body).await);
    }
    process.stop();
    let pending: usize = site
        .database()
        .query_row("SELECT count(*) FROM generations WHERE status = 'accepted'", [], |row| row.get(0))
        .unwrap();
    assert!(pending > 0, "all jobs were done before the server stopped");

    let process = site.serve(&[]);
    let list = process.json("/api/v1/generations?limit=100").await;
    assert_eq!(list["generations"].as_array().unwrap().len(), ids.len());
    for (id, body) in ids.iter().zip(&requests).rev().take(9) {
        let generation = process.ended(id).await;
        assert_eq!(generation["status"], "completed", "{generation}");
        let fresh = process.generate(body).await;
        process.ended(&fresh).await;
        assert_eq!(process.tokens(id).await, process.tokens(&fresh).await, "{body}");
    }
    // A job of the last process still belongs to its client.
    let foreign = process.request(Method::DELETE, &format!("/api/v1/generations/{}", ids[59]));
    let response = with_timeout(foreign.header("rdpm-client", OTHER_TOKEN).send()).await.unwrap();
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn interpolation_is_kept_and_drawn_again_after_a_restart() {
    let site = Site::new();
    let process = site.serve(&[]);
    let from = process.draw(&json!({"class": 1, "seed": 4, "count": 2})).await;
    process.wait_for_gallery(&from).await;
    process.stop();

    // The earlier generation is only in the store.
    let process = site.serve(&[]);
    let body = json!({"a": {"from": {"generation": from, "image": 1}}, "b": {"seed": 9}, "kind": "steps",
                      "kept_steps": 3, "frames": 4, "seed": 1});
    let request = process.request(Method::POST, "/api/v1/interpolations").header("rdpm-client", TOKEN);
    let accepted: Value = with_timeout(request.json(&body).send()).await.unwrap().json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    let own = format!("/api/v1/generations/{id}");
    assert_eq!(process.ended(id).await["status"], "completed");
    process.wait_for_gallery(id).await;
    let (generation, tokens) = (process.json(&own).await, process.tokens(id).await);
    assert_eq!((generation["class"].as_str(), tokens.len()), (Some("two"), 4 * 7));
    let film = process.bytes(&format!("{own}/animation.gif?which=images")).await;
    process.stop();
    let process = site.serve(&[]);
    assert_eq!(process.json(&own).await, generation);
    assert_eq!(process.bytes(&format!("{own}/animation.gif?which=images")).await, film);
    process.stop();

    // As if the process had ended before it drew the images.
    let database = site.database();
    let change = "UPDATE generations SET status = 'accepted', events = NULL WHERE id = ?1";
    assert_eq!(database.execute(change, [id]).unwrap(), 1);
    assert_eq!(database.execute("DELETE FROM pictures WHERE generation = ?1", [id]).unwrap(), 4);
    drop(database);
    let process = site.serve(&[]);
    assert_eq!(process.ended(id).await["status"], "completed");
    assert_eq!(process.tokens(id).await, tokens);
    process.wait_for_gallery(id).await;
}

#[tokio::test]
async fn earlier_image_of_the_store_is_varied_after_a_restart() {
    let site = Site::new();
    let process = site.serve(&[]);
    let from = process.draw(&json!({"class": 1, "seed": 4, "count": 2})).await;
    process.wait_for_gallery(&from).await;
    let body = json!({"from": {"generation": from, "image": 1, "step": 3}, "seed": 9});
    let drawn = process.draw(&body).await;
    let tokens = process.tokens(&drawn).await;
    process.stop();

    // The earlier generation is only in the store.
    let process = site.serve(&[]);
    let drawn = process.draw(&body).await;
    assert_eq!(process.tokens(&drawn).await, tokens);
}

#[tokio::test]
async fn job_that_was_tried_too_often_fails() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 3})).await;
    process.stop();
    let change = "UPDATE generations SET status = 'accepted', attempts = 10, events = NULL";
    let database = site.database();
    database.execute(change, []).unwrap();
    database.execute("DELETE FROM pictures", []).unwrap();
    drop(database);
    let process = site.serve(&[]);
    let generation = process.json(&format!("/api/v1/generations/{id}")).await;
    assert_eq!(generation["status"], "failed");
    assert!(generation["detail"].as_str().unwrap().contains("could not resume"));
    let (files, named) = site.check();
    assert_eq!(files, named);
}

#[tokio::test]
async fn generation_of_a_model_that_is_gone_is_410_and_stays_in_the_gallery() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 3})).await;
    process.stop();
    let config = site.path().join("weights/config.json");
    let text = std::fs::read_to_string(&config).unwrap().replace("\"eighth\"", "\"renamed\"");
    std::fs::write(config, text).unwrap();
    let process = site.serve(&[]);
    assert_eq!(process.get(&format!("/api/v1/generations/{id}")).await.status(), 410);
    let gallery = process.json("/api/v1/gallery").await;
    assert_eq!(gallery["pictures"][0]["model"], "eighth");
    let picture = process.bytes(gallery["pictures"][0]["url"].as_str().unwrap()).await;
    assert!(picture.starts_with(b"\x89PNG"));
}
