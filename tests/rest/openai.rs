//! The images API of OpenAI. What their own clients make of it is in tests/clients.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdpm::engine::Options;
use rdpm::web;
use serde_json::{Value, json};

use super::common::{Fault, STEPS, Server, options, with_timeout};
use super::picture;

const GENERATE: &str = "/v1/images/generations";

async fn post(server: &Server, body: &Value) -> reqwest::Response {
    with_timeout(server.client.post(server.url(GENERATE)).json(body).send()).await.unwrap()
}

async fn error(response: reqwest::Response, status: u16) -> Value {
    assert_eq!(response.status(), status);
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    let error = body["error"].clone();
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert!(["type", "param", "code"].iter().all(|field| error.get(field).is_some()), "{body}");
    error
}

#[tokio::test]
async fn a_prompt_becomes_images_of_its_class() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let response =
        post(&server, &json!({"prompt": "a photo of ankle boots", "n": 2, "seed": 3, "size": "36x36"})).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    let mut expected = json!({
        "background": "opaque", "output_format": "png", "quality": "high", "size": "36x36", "seed": 3,
        "usage": {
            "input_tokens": 1, "input_tokens_details": {"image_tokens": 0, "text_tokens": 1},
            "output_tokens": 90, "output_tokens_details": {"image_tokens": 90, "text_tokens": 0}, "total_tokens": 91,
        },
    });
    expected["created"] = body["created"].clone();
    expected["data"] = body["data"].clone();
    assert_eq!(body, expected);
    for (index, image) in body["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!(image["revised_prompt"], "Ankle boot");
        assert!(image.get("url").is_none());
        let file = STANDARD.decode(image["b64_json"].as_str().unwrap()).unwrap();
        let shown = image::load_from_memory(&file).unwrap().to_luma8();
        assert_eq!((shown.width(), shown[(0, 0)][0]), (36, 48 + 2 * index as u8));
    }
}

#[tokio::test]
async fn urls_lead_to_the_pictures() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let body =
        json!({"prompt": "circle", "response_format": "url", "output_format": "webp", "size": "24x24"});
    let body: Value = post(&server, &body).await.json().await.unwrap();
    let url = body["data"][0]["url"].as_str().unwrap();
    assert!(url.starts_with(&server.url("/api/v1/generations/")), "{url}");
    let shown = picture(server.client.get(url).send().await.unwrap(), "image/webp").await;
    assert_eq!(shown.width(), 24);
}

#[tokio::test]
async fn fields_without_meaning_are_accepted_as_documented() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for quality in ["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] {
        let body = json!({
            "prompt": "circle", "model": "toy", "quality": quality, "background": "opaque", "moderation": "low",
            "user": "u", "safety_identifier": "s", "size": "auto", "style": null, "output_compression": 100,
            "partial_images": 0, "stream": false, "n": null,
        });
        let response = post(&server, &body).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().await.unwrap()["quality"], "high");
    }
    let jpeg = async |compression: u8| {
        let body = json!({"prompt": "circle", "seed": 1, "output_format": "jpeg", "output_compression": compression,
            "size": "384x384"});
        let body: Value = post(&server, &body).await.json().await.unwrap();
        STANDARD.decode(body["data"][0]["b64_json"].as_str().unwrap()).unwrap()
    };
    let (fine, coarse) = (jpeg(100).await, jpeg(0).await);
    assert_eq!(image::guess_format(&fine).unwrap(), image::ImageFormat::Jpeg);
    assert_ne!(fine, coarse);
}

#[tokio::test]
async fn what_would_make_a_difference_is_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (field, value) in [
        ("prompt", json!("a cat")),
        ("prompt", json!("a circle and a square")),
        ("prompt", json!(null)),
        ("prompt", json!(["circle"])),
        ("n", json!(0)),
        ("n", json!(17)),
        ("size", json!("1024x1024")),
        ("size", json!("24x12")),
        ("size", json!("024x024")),
        ("quality", json!("best")),
        ("response_format", json!("file")),
        ("output_format", json!("gif")),
        ("output_compression", json!(50)),
        ("background", json!("transparent")),
        ("moderation", json!("high")),
        ("style", json!("vivid")),
        ("user", json!(7)),
        ("stream", json!("yes")),
        ("partial_images", json!(1)),
        ("seed", json!(-1)),
        ("guidance", json!(21)),
        ("top_k", json!(9)),
        ("frame_count", json!(9)),
    ] {
        let mut body = json!({"prompt": "circle"});
        body[field] = value;
        let refused = error(post(&server, &body).await, 400).await;
        assert_eq!(
            (&refused["param"], &refused["type"]),
            (&json!(field), &json!("invalid_request_error")),
            "{body}"
        );
        assert_eq!(refused["code"], "invalid_value");
    }
    let unknown = error(post(&server, &json!({"prompt": "a cat"})).await, 400).await;
    assert!(unknown["message"].as_str().unwrap().contains("Circle, Square, Ankle boot"), "{unknown}");
    let ambiguous = error(post(&server, &json!({"prompt": "a circle in a square"})).await, 400).await;
    let message = ambiguous["message"].as_str().unwrap();
    assert!(message.contains("ambiguous") && message.contains("Circle and Square"), "{message}");
    for (field, value) in [("n", json!(2)), ("response_format", json!("url")), ("partial_images", json!(4))] {
        let mut body = json!({"prompt": "circle", "stream": true});
        body[field] = value;
        assert_eq!(error(post(&server, &body).await, 400).await["param"], field);
    }
    let several = error(post(&server, &json!({"prompt": "circle", "n": 0, "seed": -1})).await, 400).await;
    let message = several["message"].as_str().unwrap();
    assert!(message.contains("n: allowed") && message.contains("seed: allowed"), "{message}");
    let model = error(post(&server, &json!({"prompt": "circle", "model": "dall-e-3"})).await, 404).await;
    assert_eq!((&model["code"], &model["param"]), (&json!("model_not_found"), &json!("model")));
}

#[tokio::test]
async fn previews_are_streamed_before_the_image() {
    let (server, script) = Server::with_fake_backend(options()).await;
    for partial_images in 0..=3 {
        let body = json!({"prompt": "square", "seed": 4, "stream": true, "partial_images": partial_images, "size": "24x24"});
        let response = post(&server, &body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        let text = with_timeout(response.text()).await.unwrap();
        let events: Vec<(&str, Value)> = text
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("event: ")?.split_once("\ndata: "))
            .map(|(kind, data)| (kind, serde_json::from_str(data).unwrap()))
            .collect();
        assert_eq!(events.len(), partial_images + 1);
        for (index, (kind, data)) in events.iter().enumerate() {
            assert_eq!(data["type"], *kind);
            let shown = STANDARD.decode(data["b64_json"].as_str().unwrap()).unwrap();
            assert_eq!(image::load_from_memory(&shown).unwrap().width(), 24);
            assert!(data["created_at"].is_u64());
            for (field, value) in
                [("size", "24x24"), ("quality", "high"), ("background", "opaque"), ("output_format", "png")]
            {
                assert_eq!(data[field], value);
            }
            if index < partial_images {
                assert_eq!(
                    (*kind, &data["partial_image_index"]),
                    ("image_generation.partial_image", &json!(index))
                );
            } else {
                assert_eq!((*kind, &data["seed"]), ("image_generation.completed", &json!(4)));
                assert_eq!(data["usage"]["output_tokens"], 9 * STEPS);
            }
        }
    }
    // Only jobs that show previews make them: 1 + 2 + 3 of them streamed, those of a job made at each step but the last.
    assert_eq!(script.previews(), 3 * (STEPS - 1));
}

#[tokio::test]
async fn who_leaves_a_stream_cancels_it() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
    let token = ("rdpm-client", "a-long-enough-token");
    let request = server.client.post(server.url(GENERATE)).header(token.0, token.1);
    let stream =
        with_timeout(request.json(&json!({"prompt": "circle", "stream": true})).send()).await.unwrap();
    drop(stream);
    with_timeout(async {
        loop {
            let list = server.client.get(server.url("/api/v1/generations")).header(token.0, token.1);
            let list: Value = list.send().await.unwrap().json().await.unwrap();
            if list["generations"][0]["status"] == "canceled" {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    script.resume();
}

#[tokio::test]
async fn errors_have_their_shape_everywhere() {
    let (server, script) =
        Server::with_fake_backend(Options { max_batch: 1, max_queue: 1, ..options() }).await;
    let get = async |path: &str| server.get(path).await;
    error(get("/v1/nothing").await, 404).await;
    error(get("/v1").await, 404).await;
    assert_eq!(error(get("/v1/models/gpt-image-2").await, 404).await["code"], "model_not_found");
    let wrong = get(GENERATE).await;
    assert_eq!(wrong.headers()["allow"], "POST");
    error(wrong, 405).await;
    let text = server.client.post(server.url(GENERATE)).body("circle");
    error(with_timeout(text.send()).await.unwrap(), 415).await;
    let broken =
        server.client.post(server.url(GENERATE)).header("content-type", "application/json").body("{");
    error(with_timeout(broken.send()).await.unwrap(), 400).await;
    let large = json!({"prompt": "x".repeat(70_000)});
    error(post(&server, &large).await, 413).await;

    script.fail_steps([Some(Fault::Error)]);
    let failed = error(post(&server, &json!({"prompt": "circle"})).await, 500).await;
    assert_eq!(failed["type"], "server_error");
    assert!(!failed["message"].as_str().unwrap().contains("secret"));
    with_timeout(async {
        while server.get("/health/ready").await.status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    script.fail_steps([Some(Fault::Error)]);
    let streamed = post(&server, &json!({"prompt": "circle", "stream": true})).await;
    let text = with_timeout(streamed.text()).await.unwrap();
    assert!(text.starts_with("event: error\ndata: {\"error\":{\"message\":"), "{text}");

    with_timeout(async {
        while server.get("/health/ready").await.status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    script.pause();
    server.generate(&json!({"class": 0})).await;
    script.run_steps(1);
    server.generate(&json!({"class": 0})).await;
    let full = post(&server, &json!({"prompt": "circle"})).await;
    assert!(full.headers().contains_key("retry-after"));
    let full = error(full, 429).await;
    assert_eq!((&full["type"], &full["code"]), (&json!("rate_limit_error"), &json!("rate_limit_exceeded")));
    script.resume();
}

#[tokio::test]
async fn models_are_listed() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let list = server.json("/v1/models").await;
    let created = list["data"][0]["created"].as_u64().unwrap();
    let model = json!({"id": "toy", "object": "model", "created": created, "owned_by": "rdpm"});
    assert_eq!(list, json!({"object": "list", "data": [model]}));
    assert_eq!(server.json("/v1/models/toy").await, model);
}

#[tokio::test]
async fn a_missing_key_is_told_in_their_words() {
    let keys = vec!["0123456789abcdef".parse().unwrap()];
    let (server, _) = Server::with_web_options(web::Options { keys, ..web::Options::default() }).await;
    let refused = error(post(&server, &json!({"prompt": "circle"})).await, 401).await;
    assert_eq!(refused["code"], "invalid_api_key");
    let request = server.client.post(server.url(GENERATE)).bearer_auth("0123456789abcdef");
    assert_eq!(with_timeout(request.json(&json!({"prompt": "circle"})).send()).await.unwrap().status(), 200);
}
