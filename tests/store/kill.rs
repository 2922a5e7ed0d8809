//! Kills at random moments: nothing half-written is read, and nothing that was accepted is lost.
//!
//! `RDPM_STORE_KILLS=1000 cargo test --release --test store killed` kills a thousand times.

use std::process::Stdio;
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rdpm::store::{Options, Store};
use rusqlite::Connection;
use serde_json::json;

use crate::process::{Site, TOKEN};
use crate::program::rdpm;

/// Retention removes files all the time, too, but never a generation of the round in which it was accepted: no round draws so
/// many pictures.
const LIMIT: &[&str] = &["--store-pictures", "400"];
/// Retention removes nothing.
const NO_LIMIT: &[&str] = &["--store-pictures", "1000000"];

fn kills() -> usize {
    std::env::var("RDPM_STORE_KILLS").ok().map_or(50, |kills| kills.parse().expect("a number"))
}

#[tokio::test]
async fn killed_server_leaves_a_sound_store_and_loses_no_job() {
    let (site, mut random) = (Site::new(), ChaCha8Rng::seed_from_u64(1));
    let mut killed_with_pending = 0;
    for kill in 0..kills() {
        if random.random_ratio(1, 5) {
            // At any moment of the start, too.
            let mut starting = rdpm().args(site.arguments(LIMIT)).stdout(Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_micros(random.random_range(0..60_000))).await;
            starting.kill().unwrap();
            starting.wait().unwrap();
        }
        let mut process = site.serve(LIMIT);
        let (client, address) = (reqwest::Client::new(), process.address.clone());
        let seed: u64 = random.random_range(0..1000);
        let posts = tokio::spawn(async move {
            let mut ids = Vec::new();
            for index in 0.. {
                let body = json!({"class": 0, "seed": seed + index, "count": 1 + index % 5});
                let post = client.post(format!("http://{address}/api/v1/generations"));
                let Ok(response) = post.header("rdpm-client", TOKEN).json(&body).send().await else { break };
                let Ok(answer) = response.json::<serde_json::Value>().await else { break };
                ids.push(answer["id"].as_str().unwrap().to_owned());
            }
            ids
        });
        tokio::time::sleep(Duration::from_micros(random.random_range(0..120_000))).await;
        process.kill();
        let accepted = posts.await.unwrap();

        let (files, named) = site.check();
        assert!(named.is_subset(&files), "a row names a file that is missing, after kill {kill}");
        // The next start removes what the crash left over.
        Store::open(Options::new(site.store())).unwrap().close(Duration::from_secs(10));
        let (files, named) = site.check();
        assert_eq!(files, named, "orphans after kill {kill}");
        assert_eq!(std::fs::read_dir(site.store().join("tmp")).unwrap().count(), 0);
        let database = site.database();
        let sql = "SELECT count(*) FROM generations WHERE status = 'accepted'";
        killed_with_pending +=
            usize::from(database.query_row(sql, [], |row| row.get::<_, usize>(0)).unwrap() > 0);
        let lost = accepted.iter().filter(|id| {
            let sql = "SELECT count(*) FROM generations WHERE id = ?1";
            database.query_row(sql, [id], |row| row.get::<_, usize>(0)).unwrap() == 0
        });
        assert_eq!(lost.count(), 0, "lost after kill {kill}");
    }
    assert!(killed_with_pending > 0, "no kill came while there was work");

    // All that was accepted and not removed is drawn by the last server, or failed because too many kills interrupted it.
    let ids = generations(&site.database());
    let process = site.serve(NO_LIMIT);
    let (mut all, mut abandoned) = (0, 0);
    for id in ids {
        let generation = process.ended(&id).await;
        let detail = generation["detail"].as_str().unwrap_or_default();
        let is_abandoned = generation["status"] == "failed" && detail.contains("could not resume it");
        assert!(is_abandoned || generation["status"] == "completed", "{generation}");
        abandoned += usize::from(is_abandoned);
        all += 1;
    }
    println!("{all} generations, {abandoned} of them interrupted too often");
    assert!(abandoned < all, "all were interrupted too often");
    process.stop();
    // A stop that comes while much waits to be written may leave files, as a kill does.
    let (files, named) = site.check();
    assert!(named.is_subset(&files));
    Store::open(Options::new(site.store())).unwrap().close(Duration::from_secs(10));
    let (files, named) = site.check();
    assert_eq!(files, named);
}

fn generations(database: &Connection) -> Vec<String> {
    let mut statement = database.prepare("SELECT id FROM generations").unwrap();
    let ids = statement.query_map([], |row| row.get(0)).unwrap();
    ids.collect::<Result<_, _>>().unwrap()
}
