//! What is served: readiness, models, classes and their pictures.

use std::sync::Arc;
use std::time::Duration;

use rdpm::web::ClassPictures;
use serde_json::{Value, json};

use crate::PNG;
use crate::common::{Fault, Script, Server, config, fake_engine, options, problem, with_timeout};

#[tokio::test]
async fn readiness_follows_the_model() {
    let (server, script) = Server::with_fake_backend(options()).await;
    assert_eq!(server.json("/health/live").await, json!({"status": "live"}));
    let ready = json!({"status": "ready", "models": [{"name": "toy", "ready": true}]});
    assert_eq!(server.json("/health/ready").await, ready);
    script.fail_steps([Some(Fault::Error)]);
    script.fail_loads(std::iter::repeat_n(Some(Fault::Error), 100_000));
    server.generate(&json!({"class": 0})).await;
    let response = with_timeout(async {
        loop {
            let response = server.get("/health/ready").await;
            if response.status() != 200 {
                break response;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    assert!(response.headers().contains_key("retry-after"));
    problem(response, 503).await;
    let refused = server.post(&json!({"class": 0})).await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused, 503).await["type"], "urn:rdpm:problem:not-ready");
    assert_eq!(server.get("/health/live").await.status(), 200);
    script.clear_faults();
    with_timeout(async {
        while server.get("/health/ready").await.status() != 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn models_and_classes_describe_what_is_served() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body = server.json("/api/v1/models").await;
    let expected = json!({"models": [{
        "name": "toy", "title": "Toy", "classes": ["Circle", "Square", "Ankle boot"], "styles": [], "words": 0, "captions": false, "steps": 5, "grid": 3,
        "image": {"size": 12, "channels": 1}, "parameters": 1234,
        "codebook": {"size": 8, "colors": body["models"][0]["codebook"]["colors"]},
        "defaults": {"guidance": 2.0, "temperature": 0.9},
        "limits": {"max_count": 16, "guidance_min": 0.0, "guidance_max": 20.0, "temperature_min": 0.0,
            "temperature_max": 5.0, "seed_max": 9_007_199_254_740_991_u64, "top_k_max": 8,
            "from_step_max": 4, "scale_max": 32},
        "device": "toy", "precision": "f32", "passes": 2, "version": "0123456789abcdef",
    }]});
    assert_eq!(body, expected);
    assert_eq!(body["models"][0]["codebook"]["colors"].as_array().unwrap().len(), 8);
    let classes = server.json("/api/v1/classes").await;
    assert_eq!(classes["classes"][2], json!({"index": 2, "name": "Ankle boot", "picture": null}));
}

#[tokio::test]
async fn class_pictures_come_from_the_weights_folder() {
    let folder = std::env::temp_dir().join(format!("rdpm-pictures-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("classes")).unwrap();
    std::fs::write(folder.join("classes/1.png"), [PNG, b"rest"].concat()).unwrap();
    std::fs::write(folder.join("classes/2.png"), "no picture").unwrap();
    let mut pictures = ClassPictures::default();
    pictures.read(&folder, &config());
    std::fs::remove_dir_all(&folder).unwrap();

    let (engine, _script): (_, Arc<Script>) = fake_engine(options());
    let server = Server::start(engine, pictures).await;
    let classes = server.json("/api/v1/classes").await;
    let urls: Vec<&Value> =
        classes["classes"].as_array().unwrap().iter().map(|class| &class["picture"]).collect();
    let url = "/api/v1/models/toy/classes/1.png";
    assert_eq!(urls, [&json!(null), &json!(url), &json!(null)]);
    let response = server.get(url).await;
    assert_eq!(response.headers()["content-type"], "image/png");
    let etag = response.headers()["etag"].clone();
    assert!(response.bytes().await.unwrap().starts_with(PNG));
    let again = server.client.get(server.url(url)).header("if-none-match", etag);
    assert_eq!(with_timeout(again.send()).await.unwrap().status(), 304);
    problem(server.get("/api/v1/models/toy/classes/2.png").await, 404).await;
    assert!(server.get("/").await.text().await.unwrap().contains(url));
}
