//! The images API of OpenAI. What their own clients make of it is in tests/clients.

use std::time::Duration;

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
    assert!(url.starts_with(&server.url("/v1/images/files/")), "{url}");
    let shown = picture(server.client.get(url).send().await.unwrap(), "image/webp").await;
    assert_eq!(shown.width(), 24);
}

/// What a response says was adapted: in its body and, equally, in its headers.
async fn warnings(response: reqwest::Response) -> Vec<String> {
    assert_eq!(response.status(), 200);
    let headers = response.headers().get_all("rdpm-warning").iter();
    let headers: Vec<String> = headers.map(|warning| warning.to_str().unwrap().to_owned()).collect();
    let body: Value = response.json().await.unwrap();
    let told = body.get("warnings").cloned().unwrap_or(json!([]));
    assert_eq!(told, json!(headers));
    headers
}

#[tokio::test]
async fn fields_without_meaning_are_ignored_with_a_warning() {
    let (server, _) = Server::with_fake_backend(options()).await;
    // Nothing is adapted here.
    for quality in ["auto", "high"] {
        let body = json!({
            "prompt": "circle", "model": "toy", "quality": quality, "background": "opaque", "moderation": "auto",
            "size": "auto", "style": null, "output_compression": 100, "partial_images": 0, "stream": false, "n": null,
        });
        assert!(warnings(post(&server, &body).await).await.is_empty());
    }
    // Empty texts are absent fields.
    let empty = json!({"prompt": "circle", "model": "", "style": "", "quality": "", "size": "", "user": "",
        "response_format": "", "output_format": "", "background": "", "moderation": ""});
    assert!(warnings(post(&server, &empty).await).await.is_empty());
    for (field, value, warning) in [
        ("quality", json!("hd"), "quality hd is ignored: there is one quality, high."),
        ("quality", json!("standard"), "quality standard is ignored: there is one quality, high."),
        ("quality", json!("low"), "quality low is ignored: there is one quality, high."),
        ("style", json!("vivid"), "style vivid is ignored: the model has no styles."),
        ("style", json!("natural"), "style natural is ignored: the model has no styles."),
        ("background", json!("transparent"), "background transparent is ignored: pictures are opaque."),
        ("moderation", json!("low"), "moderation is ignored: there is none."),
        ("user", json!("u"), "user is ignored."),
        ("safety_identifier", json!("s"), "safety_identifier is ignored."),
        ("output_compression", json!(50), "output_compression is ignored: PNG and WebP are lossless."),
        ("model", json!("dall-e-2"), "There is no model dall-e-2 here. toy was used."),
        ("model", json!("dall-e-3"), "There is no model dall-e-3 here. toy was used."),
        ("model", json!("gpt-image-1"), "There is no model gpt-image-1 here. toy was used."),
    ] {
        let mut body = json!({"prompt": "circle"});
        body[field] = value;
        assert_eq!(warnings(post(&server, &body).await).await, [warning], "{body}");
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

/// The first image of a response.
async fn shown(response: reqwest::Response) -> (Value, image::RgbImage) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{body}");
    let file = STANDARD.decode(body["data"][0]["b64_json"].as_str().unwrap()).unwrap();
    (body, image::load_from_memory(&file).unwrap().to_rgb8())
}

#[tokio::test]
async fn images_have_the_size_that_was_asked_for() {
    let (server, _) = Server::with_fake_backend(options()).await;
    // The fake backend's pictures have one colour, so that bars don't show; tests/clients looks at real ones.
    for (size, expected) in [
        ("256x256", (256, 256)),
        ("512X512", (512, 512)),
        ("1024x1024", (1024, 1024)),
        ("1792x1024", (1792, 1024)),
        ("1024x1792", (1024, 1792)),
        ("1536x1024", (1536, 1024)),
        ("24x12", (24, 12)),
        ("8x8", (8, 8)),
        ("2048x2048", (2048, 2048)),
        ("auto", (12, 12)),
        ("AUTO", (12, 12)),
    ] {
        let (body, shown) = shown(post(&server, &json!({"prompt": "circle", "size": size})).await).await;
        assert_eq!((shown.width(), shown.height()), expected);
        assert_eq!(body["size"], format!("{}x{}", expected.0, expected.1));
    }
    let streamed = json!({"prompt": "circle", "size": "1792x1024", "stream": true, "partial_images": 1});
    let text = with_timeout(post(&server, &streamed).await.text()).await.unwrap();
    assert_eq!(text.matches("\"size\":\"1792x1024\"").count(), 2, "{text}");
}

#[tokio::test]
async fn first_of_several_named_classes_is_drawn() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let paragraph = "In the morning light, rendered in soft colours, a small square rests on a table.\n\nBehind it there are \
        two circles and, further away, an ankle boot. "
        .to_owned()
        + &"Photorealistic, highly detailed. ".repeat(500);
    let response = post(&server, &json!({"prompt": paragraph})).await;
    let warning = response.headers()["rdpm-warning"].to_str().unwrap().to_owned();
    assert_eq!(warning, "The prompt names several classes. Square was drawn, and not Circle, Ankle boot.");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["data"][0]["revised_prompt"], "Square");
}

#[tokio::test]
async fn models_have_aliases() {
    let model_aliases = vec!["dall-e-3=toy".parse().unwrap(), "drawing=toy".parse().unwrap()];
    let (server, _) =
        Server::with_web_options(web::Options { model_aliases, ..web::Options::default() }).await;
    for name in ["dall-e-3", "drawing"] {
        let told = warnings(post(&server, &json!({"prompt": "circle", "model": name})).await).await;
        assert!(told.is_empty(), "{told:?}");
        assert_eq!(server.json(&format!("/v1/models/{name}")).await["id"], name);
    }
    let list = server.json("/v1/models").await;
    let ids: Vec<&str> =
        list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["toy", "dall-e-3", "drawing"]);
    // Not a name of OpenAI's: probably misspelled.
    for name in ["toys", "Toy", "drawin", "stable-diffusion"] {
        let refused = error(post(&server, &json!({"prompt": "circle", "model": name})).await, 404).await;
        assert_eq!((&refused["code"], &refused["param"]), (&json!("model_not_found"), &json!("model")));
    }
}

#[tokio::test]
async fn addresses_of_other_clients_work() {
    let keys = vec!["0123456789abcdef".parse().unwrap()];
    let (server, _) = Server::with_web_options(web::Options { keys, ..web::Options::default() }).await;
    let bases = ["/v1", "", "/openai/v1", "/openai"];
    let plain = bases.iter().map(|base| format!("{base}/images/generations"));
    let azure = ["toy", "dall-e-3"]
        .map(|model| format!("/openai/deployments/{model}/images/generations?api-version=2024-02-01"));
    for path in plain.clone().chain(plain.map(|path| path + "/")).chain(azure) {
        let request = || server.client.post(server.url(&path)).json(&json!({"prompt": "circle"}));
        let authorized = with_timeout(request().header("api-key", "0123456789abcdef").send()).await.unwrap();
        assert_eq!(authorized.status(), 200, "{path}");
        let refused = error(with_timeout(request().send()).await.unwrap(), 401).await;
        assert_eq!(refused["code"], "invalid_api_key", "{path}");
        let refused = with_timeout(request().header("api-key", "another").send()).await.unwrap();
        assert_eq!(error(refused, 401).await["code"], "invalid_api_key", "{path}");
    }
    let get = async |path: &str| {
        let request = server.client.get(server.url(path)).header("api-key", "0123456789abcdef");
        with_timeout(request.send()).await.unwrap()
    };
    for base in bases {
        for path in ["/models", "/models/", "/models/toy", "/models/toy/"] {
            assert_eq!(get(&format!("{base}{path}")).await.status(), 200, "{base}{path}");
        }
        error(get(&format!("{base}/models/unknown")).await, 404).await;
        error(get(&format!("{base}/images/generations")).await, 405).await;
        error(get(&format!("{base}/images/nothing")).await, 404).await;
    }
    error(get("/openai/deployments/toy/nothing").await, 404).await;
    let unknown = "/openai/deployments/unknown/images/generations?api-version=2024-02-01";
    let request = server.client.post(server.url(unknown)).header("api-key", "0123456789abcdef");
    let refused =
        with_timeout(request.json(&json!({"prompt": "circle", "model": "toy"})).send()).await.unwrap();
    assert_eq!(error(refused, 404).await["code"], "model_not_found");
}

#[tokio::test]
async fn links_need_no_key_until_they_expire() {
    let (server, paths) = server_with_links(Duration::from_secs(600)).await;
    assert_eq!(paths.len(), 2);
    for path in &paths {
        let picture = picture(server.get(path).await, "image/jpeg").await;
        assert_eq!((picture.width(), picture.height()), (100, 50));
        for (from, to) in [
            ("size=100x50", "size=100x51"),
            ("quality=80", "quality=81"),
            ("/0.jpeg", "/1.jpeg"),
            ("/1.jpeg", "/0.jpeg"),
            ("expires=", "expires=9"),
            ("signature=", "signature=A"),
            ("&signature=", "&unsigned="),
        ] {
            let forged = path.replacen(from, to, 1);
            if forged != *path {
                let status = server.get(&forged).await.status();
                assert!(status == 403 || status == 400, "{forged}: {status}");
            }
        }
        let generation = path.split('/').nth(4).unwrap();
        let unsigned = server.get(&format!("/api/v1/generations/{generation}/images/0.png")).await;
        assert_eq!(unsigned.status(), 401);
    }
    let (server, paths) = server_with_links(Duration::from_secs(1)).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let expired = error(server.get(&paths[0]).await, 403).await;
    assert!(expired["message"].as_str().unwrap().contains("expired"), "{expired}");
}

/// A server that needs a key, and the paths of links to two images.
async fn server_with_links(link_lifetime: Duration) -> (Server, Vec<String>) {
    let keys = vec!["0123456789abcdef".parse().unwrap()];
    // The host is a proxy's, which a server on a loopback address refuses by default.
    let allowed_hosts = vec!["draw.example.org".parse().unwrap()];
    let web_options = web::Options { keys, link_lifetime, allowed_hosts, ..web::Options::default() };
    let (server, _) = Server::with_web_options(web_options).await;
    let body = json!({"prompt": "circle", "response_format": "url", "output_format": "jpeg", "size": "100x50",
        "output_compression": 80, "n": 2});
    let request = server.client.post(server.url(GENERATE)).bearer_auth("0123456789abcdef");
    let host = request.header("host", "draw.example.org").header("x-forwarded-proto", "https");
    let body: Value = with_timeout(host.json(&body).send()).await.unwrap().json().await.unwrap();
    let urls = body["data"].as_array().unwrap().iter().filter_map(|image| image["url"].as_str());
    let paths = urls.map(|url| url.strip_prefix("https://draw.example.org").unwrap().to_owned()).collect();
    (server, paths)
}

#[tokio::test]
async fn what_would_make_a_difference_is_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (field, value) in [
        ("prompt", json!("a cat")),
        ("prompt", json!(null)),
        ("prompt", json!(["circle"])),
        ("n", json!(0)),
        ("n", json!(17)),
        ("size", json!("024x024")),
        ("size", json!("7x8")),
        ("size", json!("8x2049")),
        ("size", json!("99999999999x8")),
        ("size", json!("512")),
        ("size", json!(512)),
        ("quality", json!("best")),
        ("response_format", json!("file")),
        ("output_format", json!("gif")),
        ("moderation", json!("high")),
        ("style", json!("watercolour")),
        ("user", json!(7)),
        ("stream", json!("yes")),
        ("partial_images", json!(1)),
        ("seed", json!(-2)),
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
    for (field, value) in [("n", json!(2)), ("response_format", json!("url")), ("partial_images", json!(4))] {
        let mut body = json!({"prompt": "circle", "stream": true});
        body[field] = value;
        assert_eq!(error(post(&server, &body).await, 400).await["param"], field);
    }
    let several = error(post(&server, &json!({"prompt": "circle", "n": 0, "seed": -2})).await, 400).await;
    let message = several["message"].as_str().unwrap();
    assert!(message.contains("n: allowed") && message.contains("seed: allowed"), "{message}");
    let model = error(post(&server, &json!({"prompt": "circle", "model": "sdxl"})).await, 404).await;
    assert_eq!((&model["code"], &model["param"]), (&json!("model_not_found"), &json!("model")));
}

#[tokio::test]
async fn previews_are_streamed_before_the_image() {
    let (server, script) = Server::with_fake_backend(options()).await;
    for partial_images in 0..=3 {
        let body = json!({"prompt": "square", "seed": 4, "stream": true, "partial_images": partial_images, "size": "24x24"});
        let response = post(&server, &body).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store, no-transform");
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
    error(with_timeout(text.header("content-type", "text/plain").send()).await.unwrap(), 415).await;
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
