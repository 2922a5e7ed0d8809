//! A gallery of 100,000 pictures: `cargo test --release --test store hundred_thousand -- --ignored --nocapture`.

use std::time::Instant;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::process::{Site, TOKEN};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
#[ignore = "a measurement"]
async fn first_pages_of_a_hundred_thousand_pictures() {
    let site = Site::new();
    let process = site.serve(&["--store-pictures", "0"]);
    let id = process.draw(&json!({"class": 0, "seed": 1})).await;
    process.stop();
    let token = format!("token {}", hex(&Sha256::digest(TOKEN)));
    let word = hex(&Sha256::digest(&token)[..16]);
    let mut database = site.database();
    let transaction = database.transaction().unwrap();
    let copy_generation = "INSERT INTO generations (id, owner_token, model, request, status, resumable, created, started,
            ended, events, bytes, pictures)
        SELECT ?1, owner_token, model, request, status, resumable, created, started, ended + ?2, events, bytes, pictures
        FROM generations WHERE id = ?3";
    let copy_picture = "INSERT INTO pictures (generation, image, owner, model, class, style, words, seed, created,
            favourite, file, bytes)
        SELECT ?1, 0, owner, model, ?2, ?3, ?4, ?5, created + ?5, ?6, file, bytes FROM pictures WHERE number = 1";
    let number: i64 = 100_000;
    for n in 1..number {
        let own = format!("{:08x}-0000-4000-8000-000000000000", n);
        transaction.prepare(copy_generation).unwrap().execute((&own, n, &id)).unwrap();
        let (class, style, words) =
            (format!("class {}", n % 16), format!("style {}", n % 8), format!("red heart {}", n % 1332));
        let picture = (&own, &class, &style, &words, n, n % 100 == 0);
        transaction.prepare(copy_picture).unwrap().execute(picture).unwrap();
        let text = "INSERT INTO picture_text (rowid, owner, text) VALUES (last_insert_rowid(), ?1, ?2)";
        transaction
            .prepare(text)
            .unwrap()
            .execute((&word, format!("{words} {style} {class} eighth")))
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let started = Instant::now();
    let process = site.serve(&["--store-pictures", "0"]);
    println!("start of the server: {:.0?}", started.elapsed());
    let cursor = process.json("/api/v1/gallery").await["next"].as_str().unwrap().parse::<u64>().unwrap() / 2;
    for query in [
        "limit=50".to_owned(),
        "limit=200".into(),
        format!("cursor={cursor}"),
        "class=class%203".into(),
        "class=class%203&style=style%203".into(),
        "model=eighth".into(),
        "favourite=true".into(),
        "search=red".into(),
        "search=red%20heart%20777".into(),
        "search=style%201".into(),
        "search=nothing".into(),
        "before=2020-01-01T00:00:00Z".into(),
        "after=2099-01-01T00:00:00Z".into(),
        "skip=50000".into(),
        "skip=90000".into(),
        "search=red&skip=90000".into(),
        "/summary?".into(),
        "/summary?class=class%203".into(),
        "/summary?search=red".into(),
    ] {
        let path = match query.strip_prefix('/') {
            Some(path) => format!("/api/v1/gallery/{path}"),
            None => format!("/api/v1/gallery?{query}"),
        };
        let mut times = Vec::new();
        for _ in 0..21 {
            let started = Instant::now();
            process.json(&path).await;
            times.push(started.elapsed());
        }
        let first = times[0];
        times.sort();
        println!("{query:40} first {first:>9.2?}, median {:>9.2?}, slowest {:>9.2?}", times[10], times[20]);
    }
}
