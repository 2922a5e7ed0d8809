//! What the store keeps, and for how long.

use std::time::Duration;

use serde_json::{Value, json};

use crate::common::with_timeout;
use crate::process::{Process, Site};
use reqwest::Method;

async fn seeds(process: &Process) -> Vec<u64> {
    let gallery = process.json("/api/v1/gallery").await;
    let pictures = gallery["pictures"].as_array().unwrap();
    pictures.iter().map(|picture| picture["seed"].as_u64().unwrap()).collect()
}

async fn wait_for_seeds(process: &Process, expected: &[u64]) {
    let wait = async {
        loop {
            let found = seeds(process).await;
            if found == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    with_timeout(wait).await;
}

#[tokio::test]
async fn oldest_pictures_beyond_the_limit_are_removed_and_favourites_stay() {
    let site = Site::new();
    let process = site.serve(&["--store-pictures", "2"]);
    let first = process.draw(&json!({"class": 0, "seed": 1})).await;
    let path = format!("/api/v1/gallery/{first}/0/favourite");
    assert_eq!(process.send(Method::PUT, &path).await.status(), 204);
    for seed in 2..=4 {
        process.draw(&json!({"class": 0, "seed": seed})).await;
    }
    wait_for_seeds(&process, &[4, 3, 1]).await;
    // A favourite no more, it counts again.
    assert_eq!(process.send(Method::DELETE, &path).await.status(), 204);
    wait_for_seeds(&process, &[4, 3]).await;
    process.stop();
    let (files, named) = site.check();
    assert_eq!(files, named);
    assert_eq!(named.len(), 4);
}

#[tokio::test]
async fn store_stays_within_its_bytes() {
    let site = Site::new();
    let process = site.serve(&["--store-mib", "1"]);
    let mut drawn = 0;
    for seed in 1..=60 {
        process.draw(&json!({"class": 0, "seed": seed, "count": 16})).await;
        drawn += 16;
    }
    let wait = async {
        loop {
            let text = process.get("/metrics").await.text().await.unwrap();
            let value = |name: &str| -> u64 {
                let line = text.lines().find(|line| line.starts_with(&format!("{name} "))).unwrap();
                line.rsplit(' ').next().unwrap().parse().unwrap()
            };
            let (pictures, bytes) = (value("rdpm_store_pictures"), value("rdpm_store_size_bytes"));
            if pictures < drawn && bytes <= 1 << 20 {
                assert_eq!(value("rdpm_store_degraded"), 0);
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    with_timeout(wait).await;
}

#[tokio::test]
async fn old_generations_are_removed_at_the_next_look() {
    let site = Site::new();
    let process = site.serve(&[]);
    let old = process.draw(&json!({"class": 0, "seed": 1})).await;
    process.stop();
    let two_days = 2 * 24 * 60 * 60 * 1000;
    site.database().execute("UPDATE generations SET ended = ended - ?1", [two_days]).unwrap();
    let process = site.serve(&["--store-days", "1"]);
    assert_eq!(process.get(&format!("/api/v1/generations/{old}")).await.status(), 404);
    assert_eq!(seeds(&process).await, [0; 0]);
    let (files, _) = site.check();
    assert!(files.is_empty());
}

#[tokio::test]
async fn without_a_store_nothing_is_written_and_there_is_no_gallery() {
    let site = Site::new();
    let mut arguments = site.arguments(&[]);
    let store = arguments.iter().position(|argument| argument == "--store").unwrap();
    arguments.drain(store..store + 2);
    let process = Process::start(crate::program::rdpm().args(arguments));
    process.post(&json!({"class": 0})).await;
    assert!(!site.store().exists());
    let response = process.get("/api/v1/gallery").await;
    assert_eq!(response.status(), 404);
    let problem: Value = response.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("--store"));
}

#[tokio::test]
async fn requests_that_wait_for_their_answer_are_kept_but_not_resumed() {
    let site = Site::new();
    let process = site.serve(&[]);
    let waited = process.request(Method::POST, "/api/v1/generations?wait=true");
    let waited = waited.header("rdpm-client", crate::process::TOKEN).json(&json!({"class": 0, "seed": 5}));
    let generation: Value = with_timeout(waited.send()).await.unwrap().json().await.unwrap();
    process.wait_for_gallery(generation["id"].as_str().unwrap()).await;
    process.stop();
    let resumable: bool =
        site.database().query_row("SELECT resumable FROM generations", [], |row| row.get(0)).unwrap();
    assert!(!resumable);
    site.database().execute("UPDATE generations SET status = 'accepted'", []).unwrap();
    site.serve(&[]).stop();
    let (files, named) = site.check();
    assert!(files.is_empty() && named.is_empty());
}
