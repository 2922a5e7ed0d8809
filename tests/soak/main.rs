//! A soak: random clients for a minute or as long as `RDPM_SOAK_SECONDS` says, against the server program with the
//! shipped weights.
//!
//! They follow, leave, come back, cancel, ask now and then, and dawdle. Nothing that they do may cost anybody an
//! answer: each accepted job comes to one end, which all who ask hear alike; the server's own count of the ends is
//! theirs; its queue and its batch are empty afterwards; and its memory doesn't grow once it is warm.
//!
//!     cargo test --test soak -- --nocapture
//!     RDPM_SOAK_SECONDS=600 cargo test --release --test soak -- --nocapture
//!
//! `RDPM_SOAK_SEED` repeats what the clients of an earlier run chose to do; the server's timing is its own.

#[path = "../client/mod.rs"]
mod client;
mod clients;
mod job;
#[path = "../program/mod.rs"]
mod program;
mod watch;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::Api;
use clients::Client;
use futures_util::future::join_all;
use program::{Program, rdpm};
use watch::{Memory, metrics, wait_until_empty};

/// Clients at a time, each with one job.
const CLIENTS: u64 = 24;
/// So long after the last job was asked for, whoever still waits waits in vain: the server fails a job after 5 minutes.
const PATIENCE: Duration = Duration::from_secs(400);

/// What the clients saw, all together.
#[derive(Debug, Default)]
struct Tally {
    /// Accepted jobs by how they ended.
    jobs: BTreeMap<String, u64>,
    /// Images by how they ended: finished ones as completed, the others as their job.
    images: BTreeMap<String, u64>,
    /// Jobs that found the queue full.
    refused: u64,
    /// What clients did, by name.
    deeds: BTreeMap<&'static str, u64>,
}

impl Tally {
    fn did(&mut self, deed: &'static str) {
        *self.deeds.entry(deed).or_default() += 1;
    }
}

#[tokio::test]
async fn random_clients_are_all_served_and_leave_nothing_behind() {
    let setting = |name| std::env::var(name).ok().map(|value| value.parse::<u64>().expect(name));
    let length = Duration::from_secs(setting("RDPM_SOAK_SECONDS").unwrap_or(60));
    let seed = setting("RDPM_SOAK_SEED").unwrap_or_else(rand::random);
    println!("{} seconds, RDPM_SOAK_SEED={seed}", length.as_secs());

    // Jobs are forgotten soon, so that the store is as full as it gets before memory is looked at, and the queue is so
    // short that some find it full.
    let mut command = rdpm();
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
    let (server, address) = Program::start(&mut command, "http://");
    let api = Api::new(&address);

    let tally = RefCell::new(Tally::default());
    let started = Instant::now();
    let clients = (0..CLIENTS).map(|number| Client::new(number, seed, &api, &tally).run(started + length));
    let mut memory = Memory::of(server.0.id());
    tokio::select! {
        _ = join_all(clients) => {}
        () = memory.watch(&api) => {}
        () = tokio::time::sleep(length + PATIENCE) => panic!("the clients still wait"),
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
}

fn report(tally: &Tally, memory: &Memory, took: Duration) {
    println!("{:<28} {:>8.0}", "seconds", took.as_secs_f64());
    tally.jobs.iter().for_each(|(status, jobs)| println!("{:<28} {jobs:>8}", format!("jobs {status}")));
    println!("{:<28} {:>8}", "jobs refused (queue full)", tally.refused);
    tally
        .images
        .iter()
        .for_each(|(status, images)| println!("{:<28} {images:>8}", format!("images {status}")));
    tally.deeds.iter().for_each(|(deed, times)| println!("{deed:<28} {times:>8}"));
    for (when, kib) in memory.course() {
        println!("{:<28} {:>8.1}", format!("MiB resident, {when}"), kib / 1024.0);
    }
}
