//! Creations that are answered when they are done.

use std::io::Cursor;
use std::time::Duration;

use rdpm::engine::Status;
use rdpm::picture::read_provenance;
use serde_json::{Value, json};

use super::common::{Fault, Server, fields, options, problem, with_timeout};
use super::{picture, post_with};

const CREATE: &str = "/api/v1/generations";

#[tokio::test]
async fn accept_chooses_between_json_and_pictures() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = json!({"class": 0, "seed": 3});
    for (accept, expected) in [
        ("image/png", "image/png"),
        ("image/webp", "image/webp"),
        ("image/jpeg", "image/jpeg"),
        ("image/*", "image/png"),
        ("image/jpeg;q=0.5, image/webp;q=0.8", "image/webp"),
        ("image/png;q=0, image/*", "image/webp"),
        ("image/avif, image/png;q=0.1", "image/png"),
        ("text/html, image/webp;q=0.9, */*;q=0.1", "image/webp"),
        ("*/*", "application/json"),
        ("application/json, image/png", "application/json"),
        ("image/png;q=0.4, application/json;q=0.5", "application/json"),
        ("text/html", "application/json"),
        ("nonsense", "application/json"),
    ] {
        let response = post_with(&server, CREATE, ("accept", accept), &body).await;
        let is_picture = expected.starts_with("image/");
        assert_eq!(response.status(), if is_picture { 200 } else { 202 }, "{accept}");
        assert_eq!(response.headers()["content-type"], expected, "{accept}");
        assert_eq!(response.headers().get("rdpm-seed").is_some(), is_picture, "{accept}");
    }
    for impossible in ["image/avif", "image/png;q=0, image/avif"] {
        problem(post_with(&server, CREATE, ("accept", impossible), &body).await, 406).await;
    }
    // The body's format narrows what may be answered.
    let webp = json!({"class": 0, "format": "webp"});
    let response = post_with(&server, CREATE, ("accept", "image/*"), &webp).await;
    assert_eq!(response.headers()["content-type"], "image/webp");
    problem(post_with(&server, CREATE, ("accept", "image/png"), &webp).await, 406).await;
}

#[tokio::test]
async fn the_picture_comes_with_its_seed_and_its_own_address() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = json!({"class": 1, "seed": 5, "scale": 3});
    let response = post_with(&server, CREATE, ("accept", "image/png"), &body).await;
    assert_eq!(response.headers()["rdpm-seed"], "5");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let address = response.headers()["content-location"].to_str().unwrap().to_owned();
    let file = response.bytes().await.unwrap();
    let shown = image::load_from_memory(&file).unwrap();
    // The toy's grey of (seed 5, index 0).
    assert_eq!((shown.width(), shown.height()), (36, 36));
    assert!(shown.to_luma8().iter().all(|&grey| grey == 80));
    assert_eq!(server.get(&address).await.bytes().await.unwrap(), file);
    let told = read_provenance(Cursor::new(&file)).unwrap();
    assert_eq!((told.class.as_str(), told.seed, told.index, told.scale), ("Square", 5, 0, 3));

    // A seed of the server's choice is told, too.
    let response = post_with(&server, CREATE, ("accept", "image/png"), &json!({"class": 1})).await;
    let seed: u64 = response.headers()["rdpm-seed"].to_str().unwrap().parse().unwrap();
    assert_eq!(read_provenance(Cursor::new(response.bytes().await.unwrap())).unwrap().seed, seed);
}

#[tokio::test]
async fn several_images_are_a_sheet() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = json!({"class": 0, "seed": 1, "count": 5});
    let response = post_with(&server, CREATE, ("accept", "image/png"), &body).await;
    let address = response.headers()["content-location"].to_str().unwrap().to_owned();
    assert!(address.ends_with("/sheet.png"), "{address}");
    let sheet = picture(response, "image/png").await.to_rgb8();
    // Rows of three, two pixels apart; the toy's greys rise by two with the index.
    assert_eq!((sheet.width(), sheet.height()), (40, 26));
    let greys = [(0, 0, 16), (14, 0, 18), (28, 0, 20), (0, 14, 22), (14, 14, 24), (28, 14, 255)];
    assert!(greys.iter().all(|&(x, y, grey)| sheet.get_pixel(x, y)[0] == grey));
}

#[tokio::test]
async fn wait_answers_with_the_finished_generation() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let body = json!({"class": 0, "seed": 3, "count": 2, "format": "webp", "scale": 4});
    let response =
        with_timeout(server.client.post(server.url("/api/v1/generations?wait=true")).json(&body).send());
    let response = response.await.unwrap();
    assert_eq!(response.status(), 200);
    let done: Value = response.json().await.unwrap();
    assert_eq!(
        (&done["status"], &done["seed"], &done["previews"]),
        (&json!("completed"), &json!(3), &json!(false))
    );
    assert_eq!(script.previews(), 0);
    let own = done["links"]["self"].as_str().unwrap();
    assert_eq!(done["images"][1]["url"], format!("{own}/images/1.webp?scale=4"));
    let shown = picture(server.get(done["images"][1]["url"].as_str().unwrap()).await, "image/webp").await;
    assert_eq!((shown.width(), shown.to_luma8()[(0, 0)][0]), (48, 50));
    assert_eq!(server.json(own).await, done);

    let response = server.client.post(server.url("/api/v1/generations?wait=false")).json(&body).send();
    assert_eq!(with_timeout(response).await.unwrap().status(), 202);
    for (query, field) in [("wait=yes", "wait"), ("wat=true", "wat"), ("wait=true&wait=true", "wait")] {
        let url = server.url(&format!("/api/v1/generations?{query}"));
        let refused =
            problem(with_timeout(server.client.post(url).json(&body).send()).await.unwrap(), 422).await;
        assert_eq!(fields(&refused), [field]);
    }
}

#[tokio::test]
async fn who_disconnects_cancels_what_it_waited_for() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
    let list = async || {
        let request = server.client.get(server.url(CREATE)).header("rdpm-client", "a-long-enough-token");
        let list: Value = with_timeout(request.send()).await.unwrap().json().await.unwrap();
        list["generations"].as_array().unwrap().clone()
    };
    let wait = |key: Option<&str>| {
        let request = server.client.post(server.url("/api/v1/generations?wait=true"));
        let request = request.header("rdpm-client", "a-long-enough-token").json(&json!({"class": 0}));
        match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        }
    };
    // Leaves as soon as there are so many jobs.
    let leave = async |key: Option<&str>, jobs: usize| {
        let there = async {
            while list().await.len() < jobs {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            _ = wait(key).send() => panic!("answered although the job is held"),
            () = with_timeout(there) => {}
        }
    };
    leave(None, 1).await;
    with_timeout(async {
        while list().await.first().is_none_or(|job| job["status"] != "canceled") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;

    // With an Idempotency-Key it may come back.
    leave(Some("again"), 2).await;
    let jobs = list().await;
    assert_eq!(jobs.len(), 2);
    assert_ne!(jobs[0]["status"], "canceled");
    script.resume();
    let done: Value = with_timeout(wait(Some("again")).send()).await.unwrap().json().await.unwrap();
    assert_eq!((&done["status"], &done["id"]), (&json!("completed"), &jobs[0]["id"]));
}

#[tokio::test]
async fn what_ends_otherwise_is_a_problem() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.fail_steps([Some(Fault::Error)]);
    let failed = post_with(&server, CREATE, ("accept", "image/png"), &json!({"class": 0})).await;
    let failed = problem(failed, 500).await;
    assert_eq!(failed["type"], "urn:rdpm:problem:generation-failed");
    assert!(!failed["detail"].as_str().unwrap().contains("secret"));

    script.pause();
    let header = ("rdpm-client", "a-long-enough-token");
    let body = json!({"class": 0});
    let waiting = post_with(&server, "/api/v1/generations?wait=true", header, &body);
    let cancel = async {
        let id = loop {
            let request = server.client.get(server.url(CREATE)).header(header.0, header.1);
            let list: Value = request.send().await.unwrap().json().await.unwrap();
            if let Some(job) = list["generations"].as_array().unwrap().first() {
                break job["links"]["self"].as_str().unwrap().to_owned();
            }
        };
        server.client.delete(server.url(&id)).header(header.0, header.1).send().await.unwrap()
    };
    let (waited, canceled) = with_timeout(async { tokio::join!(waiting, cancel) }).await;
    assert_eq!(canceled.status(), 200);
    problem(waited, 409).await;
    script.resume();
    let id = canceled.json::<Value>().await.unwrap()["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(server.engine.get(id).unwrap().status, Status::Canceled);
}
