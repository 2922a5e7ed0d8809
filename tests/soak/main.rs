//! Soak test: random clients against the server program with the shipped weights, for a minute or `RDPM_SOAK_SECONDS`.
//!
//! The clients read event streams, disconnect, reconnect, cancel, poll and read late. Each accepted job must end exactly
//! once, and every client must get the same end; the server's metrics must match the clients' counts; its queue and its
//! batch must be empty afterwards; its memory must not grow after the warm-up; and its store must have each picture.
//!
//!     cargo test --test soak -- --nocapture
//!     RDPM_SOAK_SECONDS=600 cargo test --release --test soak -- --nocapture
//!
//! `RDPM_SOAK_SEED` repeats the clients' choices of an earlier run. The server's timing still varies.

#[path = "../client/mod.rs"]
mod client;
mod clients;
#[cfg(target_os = "linux")]
mod hostile;
mod job;
#[cfg(target_os = "linux")]
#[path = "../large_image/mod.rs"]
mod large_image;
#[path = "../program/mod.rs"]
mod program;
#[path = "../store_check/mod.rs"]
mod store_check;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use client::Api;
use clients::Client;
use futures_util::future::join_all;
use program::{Program, rdpm};
use watch::{Memory, metrics, wait_until_empty};

/// The number of concurrent clients, each with one job at a time.
const CLIENTS: u64 = 24;
/// The timeout after the last request: the server fails a job after 5 minutes.
const TIMEOUT: Duration = Duration::from_secs(400);

/// The soak tests measure one after the other.
static SERIAL: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// What all clients saw.
#[derive(Debug, Default)]
struct Tally {
    /// Accepted jobs by their status at the end.
    jobs: BTreeMap<String, u64>,
    /// Images by status: finished ones are completed, the others have their job's status.
    images: BTreeMap<String, u64>,
    /// Jobs refused because the queue was full.
    refused: u64,
    /// The clients' actions, by name.
    actions: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn count_action(&mut self, action: &'static str) {
        *self.actions.entry(action).or_default() += 1;
    }
}

/// A number in an environment variable.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

#[tokio::test]
async fn random_clients_are_served_without_leaks() {
    let _serial = SERIAL.lock().await;
    let length = Duration::from_secs(setting("RDPM_SOAK_SECONDS").unwrap_or(60));
    let seed = setting("RDPM_SOAK_SEED").unwrap_or_else(rand::random);
    println!("{} seconds, RDPM_SOAK_SEED={seed}", length.as_secs());

    // A short retention, so that the memory for ended jobs reaches its steady size before it is measured, and a short queue,
    // so that it is sometimes full.
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let mut command = rdpm();
    command.env("RDPM_STORE", &store).env("RDPM_STORE_PICTURES", "0");
    command.args([
        "serve",
        "--port",
        "0",
        "--model",
        "fashion-mnist",
        "--retention",
        "10",
        "--max-queue",
        "40",
    ]);
    let (mut server, address) = Program::start(&mut command, "http://");
    let api = Api::new(&address);

    let tally = RefCell::new(Tally::default());
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|number| Client::new(number, seed, &api, &tally).run(started + length));
    let mut memory = Memory::of(server.0.id());
    tokio::select! {
        _ = join_all(clients) => {}
        () = memory.watch(&api) => {}
        () = tokio::time::sleep(length + TIMEOUT) => panic!("clients are still waiting"),
    }
    wait_until_empty(&api).await;

    let tally = tally.into_inner();
    let counted = metrics(&api).await;
    report(&tally, &memory, started.elapsed());
    let by_status = |name: &str, seen: &BTreeMap<String, u64>| {
        for status in ["completed", "failed", "canceled"] {
            // Of all models.
            let of_status = |sample: &&String| {
                sample.starts_with(&format!("{name}{{"))
                    && sample.ends_with(&format!("status=\"{status}\"}}"))
            };
            let counted: f64 = counted.keys().filter(of_status).map(|sample| counted[sample]).sum();
            let seen = seen.get(status).copied().unwrap_or(0);
            assert_eq!(counted, seen as f64, "{name}, {status}: the server's count and the clients'");
        }
    };
    by_status("rdpm_jobs_total", &tally.jobs);
    by_status("rdpm_images_total", &tally.images);
    let refused = counted.get("rdpm_refused_jobs_total{reason=\"full\"}").copied().unwrap_or(0.0);
    assert_eq!(refused, tally.refused as f64, "refused jobs: the server's count and the clients'");
    memory.assert_no_growth(length);

    assert!(Command::new("kill").arg(server.0.id().to_string()).status().unwrap().success());
    assert!(server.0.wait().unwrap().success());
    check_store(&store, &tally);
}

/// No picture is lost, and there is no file that no row names.
fn check_store(store: &Path, tally: &Tally) {
    let (files, named) = store_check::check(store);
    assert_eq!(files, named);
    let count =
        |sql: &str| -> u64 { store_check::database(store).query_row(sql, [], |row| row.get(0)).unwrap() };
    let jobs: u64 = tally.jobs.values().sum();
    assert_eq!(count("SELECT count(*) FROM generations"), jobs, "kept generations");
    let images = tally.images.get("completed").copied().unwrap_or(0);
    assert_eq!(count("SELECT count(*) FROM pictures"), images, "kept pictures");
}

fn report(tally: &Tally, memory: &Memory, took: Duration) {
    println!("{:<28} {:>8.0}", "seconds", took.as_secs_f64());
    tally.jobs.iter().for_each(|(status, jobs)| println!("{:<28} {jobs:>8}", format!("jobs {status}")));
    println!("{:<28} {:>8}", "jobs refused (queue full)", tally.refused);
    tally
        .images
        .iter()
        .for_each(|(status, images)| println!("{:<28} {images:>8}", format!("images {status}")));
    tally.actions.iter().for_each(|(action, times)| println!("{action:<28} {times:>8}"));
    for (when, kib) in memory.summary() {
        println!("{:<28} {:>8.1}", format!("MiB resident, {when}"), kib / 1024.0);
    }
}
