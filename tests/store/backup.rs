//! `rdpm store backup` while the server works.

use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Process, Site, TOKEN};
use crate::program::rdpm;
use crate::store_check::check;

#[tokio::test]
async fn backup_of_a_busy_store_is_a_store() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 1, "seed": 9, "count": 4})).await;
    let (client, address) = (reqwest::Client::new(), process.address.clone());
    let busy = tokio::spawn(async move {
        for seed in 0.. {
            let post =
                client.post(format!("http://{address}/api/v1/generations")).header("rdpm-client", TOKEN);
            if post.json(&json!({"class": 0, "seed": seed, "count": 8})).send().await.is_err() {
                return;
            }
        }
    });
    let target = site.path().join("backup");
    let backup = || {
        let mut command = rdpm();
        command.args(["store", "backup"]).arg(&target).env("RDPM_STORE", site.store());
        command
    };
    let made = tokio::task::spawn_blocking({
        let mut command = backup();
        move || command.output().unwrap()
    });
    let made = made.await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (files, named) = check(&target);
    assert!(named.len() >= 5 && named == files);
    let generation = process.json(&format!("/api/v1/generations/{id}")).await;
    busy.abort();
    // Never over another one.
    let again = backup().output().unwrap();
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));
    drop(process);

    let mut arguments = site.arguments(&[]);
    let store = arguments.iter().position(|argument| argument == "--store").unwrap();
    arguments[store + 1] = target.display().to_string();
    let restored = Process::start(rdpm().args(arguments));
    assert_eq!(restored.json(&format!("/api/v1/generations/{id}")).await, generation);
    let gallery: Value = restored.send(Method::GET, "/api/v1/gallery").await.json().await.unwrap();
    assert!(gallery["pictures"].as_array().unwrap().len() >= 4);
}
