//! The OpenAPI document: it is the one in the repository, its examples are what a real server answers, and the page made
//! of it needs nothing from elsewhere.
//!
//! After a change that is meant: `UPDATE_GOLDEN=1 cargo test --test openapi` writes `docs/openapi.json` and
//! `docs/examples/` anew.

mod pairs;
mod program;

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pairs::pairs;
use program::{Program, rdpm};
use rdpm::model::{Config, discover_models};
use reqwest::Client;
use serde_json::{Value, json};

const ID: &str = "0198c0de-0000-4000-8000-000000000007";
const TOKEN: &str = "a-token-that-nobody-guesses";
const TIME: &str = "2026-01-01T00:00:00.000Z";
/// Events of the stream that the document shows.
const EVENTS: usize = 3;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_GOLDEN").is_some()
}

fn serve() -> (Program, String) {
    let (server, address) = Program::start(rdpm().args(["serve", "--port", "0"]), "http://");
    (server, format!("http://{address}"))
}

fn example(name: &str) -> PathBuf {
    repository().join("docs/examples").join(name)
}

fn example_json(name: &str) -> Value {
    let text = std::fs::read_to_string(example(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap()
}

/// Holds an answer to the example in the document, or makes it the example.
fn hold(name: &str, answer: &Value) {
    let file = format!("{name}.json");
    if is_update() {
        let text = serde_json::to_string_pretty(answer).unwrap();
        std::fs::write(example(&file), text + "\n").unwrap();
    } else {
        assert_alike(name, &example_json(&file), answer);
    }
}

/// The same, but for what differs from run to run (ids, times) and from machine to machine (the last digits of numbers,
/// and with them a pixel's level).
fn assert_alike(at: &str, expected: &Value, found: &Value) {
    match (expected, found) {
        (Value::Object(a), Value::Object(b)) => {
            assert!(a.keys().eq(b.keys()), "{at}: {:?} and {:?}", a.keys(), b.keys());
            a.iter().for_each(|(key, value)| assert_alike(&format!("{at}.{key}"), value, &b[key]));
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{at}");
            a.iter().zip(b).enumerate().for_each(|(i, (a, b))| assert_alike(&format!("{at}[{i}]"), a, b));
        }
        (Value::Number(_), Value::Number(_)) if at.ends_with("eta_seconds") || at.ends_with("created") => {}
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            assert!((a - b).abs() < 0.01, "{at}: {a} and {b}");
        }
        (Value::String(a), Value::String(b)) => match (picture(a), picture(b)) {
            (Some(a), Some(b)) => {
                let off = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(a.len() == b.len() && off.unwrap() <= 2, "{at}: off by {off:?} levels");
            }
            _ if a == TIME => assert!(b.ends_with('Z') && b.len() == TIME.len(), "{at}: {b}"),
            _ => assert_eq!(a, b, "{at}"),
        },
        _ => assert_eq!(expected, found, "{at}"),
    }
}

/// The pixels of a PNG file as base64 or a `data:` URL.
fn picture(text: &str) -> Option<Vec<u8>> {
    let base64 = text.strip_prefix("data:image/png;base64,").unwrap_or(text);
    let file = STANDARD.decode(base64).ok()?;
    Some(image::load_from_memory(&file).ok()?.to_rgb8().into_raw())
}

/// An answer without what differs from run to run.
async fn answer(response: reqwest::Response, id: &str) -> Value {
    let text = response.text().await.unwrap();
    steady(serde_json::from_str(&text.replace(id, ID)).unwrap())
}

fn steady(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                let time = ["created", "started", "ended"].contains(&name.as_str()) && field.is_string();
                *field = if time { TIME.into() } else { steady(field.take()) };
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = steady(item.take())),
        _ => {}
    }
    value
}

#[tokio::test]
async fn examples_are_what_a_server_answers() {
    let (_server, url) = serve();
    let client = Client::new();
    let get = async |path: &str| {
        let request = client.get(format!("{url}{path}")).header("rdpm-client", TOKEN);
        request.send().await.unwrap()
    };
    let post = async |path: &str, body: &Value| {
        let request = client.post(format!("{url}{path}")).header("rdpm-client", TOKEN).json(body);
        request.send().await.unwrap()
    };
    if is_update() {
        hold("createGeneration.request", &json!({"class": "Sneaker", "seed": 7, "scale": 8}));
        let prompt = "a photo of a sneaker";
        hold("openaiGenerateImages.request", &json!({"prompt": prompt, "size": "224x224", "seed": 7}));
        let size = json!({"prompt": prompt, "width": 224, "height": 224, "seed": 7});
        hold("a1111TextToImage.request", &size);
    }

    for (operation, path) in [
        ("listModels", "/api/v1/models"),
        ("listClasses", "/api/v1/classes"),
        ("checkLiveness", "/health/live"),
        ("checkReadiness", "/health/ready"),
        ("openaiListModels", "/v1/models"),
        ("openaiGetModel", "/v1/models/fashion-mnist"),
        ("a1111GetProgress", "/sdapi/v1/progress"),
        ("a1111ListSamplers", "/sdapi/v1/samplers"),
    ] {
        hold(&format!("{operation}.200"), &answer(get(path).await, ID).await);
    }

    let response = post("/api/v1/generations", &example_json("createGeneration.request.json")).await;
    let accepted: Value = response.json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    let mut accepted: Value = serde_json::from_str(&accepted.to_string().replace(id, ID)).unwrap();
    // It may have begun by now.
    accepted["status"] = "queued".into();
    hold("createGeneration.202", &accepted);
    let own = format!("/api/v1/generations/{id}");
    let stream = get(&format!("{own}/events")).await.text().await.unwrap().replace(id, ID);
    hold_stream(&stream);
    hold("getGeneration.200", &answer(get(&own).await, id).await);
    hold("listGenerations.200", &answer(get("/api/v1/generations").await, id).await);
    let canceled = client.delete(format!("{url}{own}")).header("rdpm-client", TOKEN).send().await.unwrap();
    hold("cancelGeneration.200", &answer(canceled, id).await);
    let bad = post("/api/v1/generations", &json!({"class": "hat", "seed": -2})).await;
    hold("createGeneration.4XX", &answer(bad, ID).await);

    let images = post("/v1/images/generations", &example_json("openaiGenerateImages.request.json")).await;
    hold("openaiGenerateImages.200", &answer(images, ID).await);
    let bad = post("/v1/images/generations", &json!({"prompt": "a cat"})).await;
    hold("openaiGenerateImages.4XX", &answer(bad, ID).await);

    let images = post("/sdapi/v1/txt2img", &example_json("a1111TextToImage.request.json")).await;
    assert_eq!(images.status(), 200);
    let bad = post("/sdapi/v1/txt2img", &json!({"prompt": "a cat", "width": 0})).await;
    hold("a1111TextToImage.4XX", &answer(bad, ID).await);
}

/// The document shows the beginning of a stream.
fn hold_stream(stream: &str) {
    let file = example("followGeneration.200.txt");
    let events: Vec<&str> = stream.split_inclusive("\n\n").take(EVENTS).collect();
    if is_update() {
        std::fs::write(file, events.concat()).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(file).unwrap();
    let expected: Vec<&str> = expected.split_inclusive("\n\n").collect();
    assert_eq!(expected.len(), EVENTS);
    for (expected, found) in pairs(expected, events) {
        let split = |event: &str| {
            let (head, data) = event.split_once("data: ").unwrap();
            (head.to_owned(), serde_json::from_str::<Value>(data.trim()).unwrap())
        };
        let ((head, data), (found_head, found_data)) = (split(expected), split(found));
        assert_eq!(head, found_head);
        assert_alike(&head, &data, &found_data);
    }
}

#[test]
fn the_document_is_the_one_in_the_repository() {
    let mut models: Vec<Config> = discover_models(&repository().join("weights"))
        .unwrap()
        .into_iter()
        .map(|found| found.config.unwrap())
        .collect();
    // The server's default is the first.
    models.sort_by_key(|config| config.name != "fashion-mnist");
    let models: Vec<&Config> = models.iter().collect();
    let document = serde_json::to_string_pretty(&rdpm::web::openapi(&models)).unwrap() + "\n";
    let golden = repository().join("docs/openapi.json");
    if is_update() {
        std::fs::write(&golden, &document).unwrap();
    }
    let known = std::fs::read_to_string(golden).unwrap();
    assert!(
        known == document,
        "docs/openapi.json is not what the code describes. If the change is meant: UPDATE_GOLDEN=1 cargo test --test openapi"
    );
    assert!(document.starts_with("{") && document.contains("\"openapi\": \"3.1.0\""));
}

#[tokio::test]
async fn the_server_describes_itself() {
    let (_server, url) = serve();
    let response = reqwest::get(format!("{url}/openapi.json")).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let served: Value = response.json().await.unwrap();
    let golden = std::fs::read_to_string(repository().join("docs/openapi.json")).unwrap();
    assert_eq!(served, serde_json::from_str::<Value>(&golden).unwrap());

    let page = reqwest::get(format!("{url}/docs")).await.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let page = page.text().await.unwrap();
    for (path, operations) in served["paths"].as_object().unwrap() {
        assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        for operation in operations.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
        }
    }
    // What the page loads is here, and what it points to is on it. Operations have parameters.
    let page = page.replace("data-path=\"/", "data-path=\"");
    for (at, _) in page.match_indices("=\"/") {
        let path = &page[at + 2..];
        let path = &path[..path.find('"').unwrap()];
        assert_eq!(reqwest::get(format!("{url}{path}")).await.unwrap().status(), 200, "{path}");
    }
    for (at, _) in page.match_indices("href=\"#") {
        let target = &page[at + 7..];
        let target = &target[..target.find('"').unwrap()];
        assert!(page.contains(&format!("id=\"{target}\"")), "#{target}");
    }
    // The Content-Security-Policy forbids scripts and styles in the page itself.
    let scripts = page.matches("<script").count();
    assert_eq!(scripts, page.matches("<script type=\"module\" src=\"/").count());
    assert!(!page.contains("style="));
}
