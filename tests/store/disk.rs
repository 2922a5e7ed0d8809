//! A disk that is full or can't be written: requests succeed, readiness and metrics say what is wrong.
//!
//! The server runs in a mount namespace of its own (`unshare`), so that nothing is mounted in that of the tests.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::with_timeout;
use crate::process::{Process, Site};
use crate::program::rdpm;

/// A server whose store is on a small disk, mounted with these options.
fn serve_on_disk(site: &Site, options: &str, then: &str) -> Process {
    std::fs::create_dir_all(site.store()).unwrap();
    let program = rdpm();
    let mut command = Command::new("unshare");
    let script = format!("mount -t tmpfs -o {options} tmpfs \"$RDPM_STORE\" && {then} exec \"$@\"");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"]);
    command.arg(program.get_program()).args(site.arguments(&[]));
    for (name, value) in program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("RDPM_STORE", site.store());
    Process::start(&mut command)
}

async fn status(process: &Process) -> Value {
    process.json("/health/ready").await["status"].clone()
}

async fn failures(process: &Process) -> u64 {
    let text = process.get("/metrics").await.text().await.unwrap();
    let lines = text.lines().filter(|line| line.starts_with("rdpm_store_failures_total{"));
    lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

async fn wait_for_status(process: &Process, expected: &str) {
    let wait = async {
        while status(process).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    with_timeout(wait).await;
}

/// Draws and reads pictures, whatever the disk.
async fn draw(process: &Process, seed: u64) -> String {
    let id = process.generate(&json!({"class": 0, "seed": seed, "count": 16})).await;
    let generation = process.ended(&id).await;
    assert_eq!(generation["status"], "completed");
    assert_eq!(generation["images"].as_array().unwrap().len(), 16);
    process.bytes(&format!("/api/v1/generations/{id}/images/3.png")).await;
    id
}

#[tokio::test]
async fn requests_succeed_on_a_full_disk() {
    let site = Site::new();
    let process = serve_on_disk(&site, "size=400k", "");
    assert_eq!(status(&process).await, "ready");
    for seed in 0..40 {
        draw(&process, seed).await;
        if failures(&process).await > 2 {
            break;
        }
    }
    assert!(failures(&process).await > 2);
    wait_for_status(&process, "degraded").await;
    let text = process.get("/metrics").await.text().await.unwrap();
    assert!(text.contains("\nrdpm_store_degraded 1\n"), "{text}");
    // What was kept before is whole.
    let gallery = process.json("/api/v1/gallery").await;
    for picture in gallery["pictures"].as_array().unwrap() {
        assert!(process.bytes(picture["url"].as_str().unwrap()).await.starts_with(b"\x89PNG"));
    }
    // Changes that can't be kept are refused.
    draw(&process, 99).await;
}

#[tokio::test]
async fn requests_succeed_on_a_read_only_disk() {
    let site = Site::new();
    let process = serve_on_disk(&site, "ro", "");
    assert_eq!(status(&process).await, "degraded");
    draw(&process, 1).await;
    draw(&process, 2).await;
    let response = process.get("/api/v1/gallery").await;
    assert_eq!(response.status(), 503);
    assert!(!response.text().await.unwrap().contains("sqlite"));
    assert!(failures(&process).await > 0);
}

#[tokio::test]
async fn store_works_again_when_the_disk_has_room() {
    let site = Site::new();
    // The ballast fills the disk; another process in the same namespace removes it after a while.
    let ballast =
        "head -c 3900k /dev/zero > \"$RDPM_STORE/ballast\"; (sleep 6; rm \"$RDPM_STORE/ballast\") &";
    let process = serve_on_disk(&site, "size=4m", ballast);
    draw(&process, 1).await;
    wait_for_status(&process, "degraded").await;
    wait_for_status(&process, "ready").await;
    process.draw(&json!({"class": 0, "seed": 2})).await;
}
