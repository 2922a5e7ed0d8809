//! Limits by what requests cost.

use std::io::Cursor;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{GrayImage, ImageFormat};
use rdpm::web::{Options, RateLimit};
use reqwest::Response;
use serde_json::{Value, json};

use crate::common::{Server, with_timeout};
use crate::{problem, site};

/// A server that allows each client this cost at once, and one image in two seconds.
async fn limited(burst: u32) -> Server {
    let [per_minute, burst] = [30, burst].map(|number| NonZeroU32::new(number).unwrap());
    let options = Options { cost_limit: Some(RateLimit { per_minute, burst }), ..site() };
    Server::with_web_options(options).await.0
}

async fn exceeded(response: Response) {
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    let body = problem(response, 429).await;
    assert_eq!(body["type"], "urn:rdpm:problem:rate-limited");
    assert!(body["detail"].as_str().unwrap().starts_with("Cost limit exceeded"), "{body}");
}

async fn finished(server: &Server, count: u32) -> String {
    let job = server.generate(&json!({"class": 0, "count": count})).await;
    server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    job["links"]["self"].as_str().unwrap().to_owned()
}

async fn post(server: &Server, path: &str, body: Value) -> Response {
    with_timeout(server.client.post(server.url(path)).json(&body).send()).await.unwrap()
}

#[tokio::test]
async fn images_are_counted_not_requests() {
    let server = limited(20).await;
    for _ in 0..2 {
        server.generate(&json!({"class": 0, "count": 9})).await;
    }
    exceeded(server.post(&json!({"class": 0, "count": 16})).await).await;
    server.generate(&json!({"class": 0})).await;
    // A request that is invalid costs nothing.
    problem(server.post(&json!({"class": 99, "count": 16})).await, 422).await;
    // Reading JSON is free.
    assert_eq!(server.get("/api/v1/models").await.status(), 200);
}

#[tokio::test]
async fn a_large_image_takes_all_of_the_burst_and_is_read() {
    let mut file = Cursor::new(Vec::new());
    GrayImage::new(2000, 2000).write_to(&mut file, ImageFormat::Png).unwrap();
    let image = STANDARD.encode(file.into_inner());
    for (path, body, status) in [
        ("/api/v1/tokenizations", json!({"image": image}), 200),
        ("/api/v1/generations", json!({"image": image, "class": 0, "from_step": 2}), 202),
        ("/api/v1/interpolations", json!({"a": {"image": image}, "b": {"image": image}}), 202),
    ] {
        // Less than the image alone costs.
        let server = limited(3).await;
        assert_eq!(post(&server, path, body.clone()).await.status(), status, "{path}");
        exceeded(post(&server, path, body).await).await;
    }
}

#[tokio::test]
async fn a_request_beyond_the_burst_takes_all_of_it() {
    let server = limited(2).await;
    server.generate(&json!({"class": 0, "count": 16})).await;
    exceeded(server.post(&json!({"class": 0, "count": 2})).await).await;
}

#[tokio::test]
async fn pictures_cost_their_pixels_unless_they_are_cached() {
    let server = limited(20).await;
    // 16 of 20.
    let job = finished(&server, 16).await;
    // 1536 × 1536 pixels: 2.4.
    let sheet = format!("{job}/sheet.png?scale=32");
    assert_eq!(server.get(&sheet).await.status(), 200);
    // Five steps of the same size.
    exceeded(server.get(&format!("{job}/animation.gif?which=tokens&scale=32")).await).await;
    exceeded(server.get(&format!("{job}/sheet.jpeg?scale=32")).await).await;
    assert_eq!(server.get(&sheet).await.status(), 200);
    // An image as it was generated is not rendered; a small picture costs little.
    assert_eq!(server.get(&format!("{job}/images/0.png")).await.status(), 200);
    assert_eq!(server.get(&format!("{job}/images/0.png?scale=2")).await.status(), 200);
}

#[tokio::test]
async fn uploads_cost_their_pixels() {
    let server = limited(3).await;
    let mut file = Cursor::new(Vec::new());
    GrayImage::new(1000, 1500).write_to(&mut file, ImageFormat::Png).unwrap();
    let image = STANDARD.encode(file.into_inner());
    // 1 for the tokens and 1.5 for the image.
    let body = json!({"image": image});
    assert_eq!(post(&server, "/api/v1/tokenizations", body.clone()).await.status(), 200);
    exceeded(post(&server, "/api/v1/tokenizations", body).await).await;
}

#[tokio::test]
async fn masks_and_openai_edits_cost_their_pixels() {
    let mut file = Cursor::new(Vec::new());
    GrayImage::from_pixel(1000, 1500, image::Luma([255])).write_to(&mut file, ImageFormat::Png).unwrap();
    let large = file.into_inner();
    let mut file = Cursor::new(Vec::new());
    GrayImage::new(12, 12).write_to(&mut file, ImageFormat::Png).unwrap();
    let small = STANDARD.encode(file.into_inner());
    // 1 for the image that is drawn and 1.5 for the mask.
    let server = limited(3).await;
    let body = json!({"class": 0, "image": small, "mask": STANDARD.encode(&large)});
    assert_eq!(post(&server, "/api/v1/generations", body.clone()).await.status(), 202);
    exceeded(post(&server, "/api/v1/generations", body).await).await;
    for path in ["/v1/images/edits", "/v1/images/variations"] {
        let server = limited(3).await;
        let send = || {
            let part = |name| format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"");
            let mut form = Vec::new();
            if path.ends_with("edits") {
                form.extend(format!("{}\r\n\r\ncircle\r\n", part("prompt")).bytes());
            }
            form.extend(format!("{}; filename=\"f\"\r\n\r\n", part("image")).bytes());
            form.extend(&large);
            form.extend(b"\r\n--b--\r\n");
            let request = server.client.post(server.url(path));
            with_timeout(request.header("content-type", "multipart/form-data; boundary=b").body(form).send())
        };
        assert_eq!(send().await.unwrap().status(), 200, "{path}");
        assert_eq!(send().await.unwrap().status(), 429, "{path}");
    }
}

#[tokio::test]
async fn interpolations_cost_their_images_and_ends() {
    // The ends are drawn first, unless their noise is enough.
    for (kind, images) in [("noise", 4), ("steps", 6), ("latent", 6)] {
        let body = json!({"a": {"seed": 1}, "b": {"seed": 2}, "class": 0, "kind": kind, "frames": 4});
        let server = limited(images + 1).await;
        assert_eq!(post(&server, "/api/v1/interpolations", body.clone()).await.status(), 202, "{kind}");
        server.generate(&json!({"class": 0})).await;
        exceeded(server.post(&json!({"class": 0})).await).await;
    }
}

#[tokio::test]
async fn decoding_and_branches_cost_an_image() {
    let server = limited(4).await;
    let job = finished(&server, 2).await;
    let file = server.json(&format!("{job}/images/0.json")).await;
    assert_eq!(post(&server, "/api/v1/decode", file.clone()).await.status(), 200);
    let id = job.rsplit('/').next().unwrap();
    let branch = json!({"from": {"generation": id, "step": 1}});
    assert_eq!(post(&server, "/api/v1/generations", branch.clone()).await.status(), 202);
    exceeded(post(&server, "/api/v1/generations", branch).await).await;
    exceeded(post(&server, "/api/v1/decode", file).await).await;
}

#[tokio::test]
async fn pictures_as_answers_and_openai_requests_cost_both() {
    let server = limited(20).await;
    // 16 images and 2.4 million pixels.
    let draw = |server: &Server| {
        let request = server.client.post(server.url("/api/v1/generations")).header("accept", "image/png");
        let request = request.json(&json!({"class": 0, "count": 16, "scale": 32}));
        with_timeout(request.send())
    };
    assert_eq!(draw(&server).await.unwrap().status(), 200);
    exceeded(draw(&server).await.unwrap()).await;

    let server = limited(20).await;
    let draw = async |n: u32| {
        post(&server, "/v1/images/generations", json!({"prompt": "circle", "n": n, "size": "384x384"})).await
    };
    // 8 images of 0.15 million pixels.
    assert_eq!(draw(8).await.status(), 200);
    assert_eq!(draw(8).await.status(), 200);
    let refused = draw(8).await;
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.unwrap();
    assert_eq!(body["error"]["code"], "rate_limit_exceeded");

    let form = |server: &Server| {
        let request = server.client.post(server.url("/"));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        with_timeout(request.body("class=Circle&count=4").send())
    };
    let page = form(&server).await.unwrap().text().await.unwrap();
    assert!(page.contains("Cost limit exceeded"));
    let server = limited(20).await;
    let page = form(&server).await.unwrap().text().await.unwrap();
    assert!(!page.contains("Cost limit exceeded"));
}
