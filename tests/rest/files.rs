//! Images, sheets and animations as files.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, Frame};
use rdpm::picture::read_provenance;
use serde_json::json;

use super::common::{STEPS, Server, fields, options, problem};
use super::{finished, picture};

#[tokio::test]
async fn an_image_comes_in_every_format_and_scale() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 2, "seed": 4, "count": 2})).await;
    for (file, kind) in
        [("1.png", "image/png"), ("1.webp", "image/webp"), ("1.jpeg", "image/jpeg"), ("1.jpg", "image/jpeg")]
    {
        for (query, side) in [("", 12), ("?scale=1", 12), ("?scale=32", 384)] {
            let response = server.get(&format!("{own}/images/{file}{query}")).await;
            assert!(response.headers()["cache-control"].to_str().unwrap().contains("immutable"));
            let shown = picture(response, kind).await.to_luma8();
            assert_eq!((shown.width(), shown.height()), (side, side));
            assert!(shown.iter().all(|grey| grey.abs_diff(66) <= 1), "{file}");
        }
    }
    let file = server.get(&format!("{own}/images/1.png?scale=2")).await.bytes().await.unwrap();
    let told = read_provenance(Cursor::new(&file)).unwrap();
    let expected = json!({
        "model": "toy", "class": "Ankle boot", "seed": 4, "index": 1, "count": 1, "guidance": 2.0,
        "temperature": 0.9, "top_k": null, "top_p": null, "scale": 2, "version": env!("CARGO_PKG_VERSION"),
    });
    assert_eq!(serde_json::to_value(told).unwrap(), expected);
}

#[tokio::test]
async fn bad_queries_are_named() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 0, "count": 3})).await;
    for (path, field) in [
        ("images/0.png?scale=0", "scale"),
        ("images/0.png?scale=33", "scale"),
        ("images/0.png?scale=%2B2", "scale"),
        ("images/0.png?scale=x", "scale"),
        ("images/0.png?scale=2&scale=2", "scale"),
        ("images/0.png?size=2", "size"),
        ("sheet.png?which=clean", "which"),
        ("animation.gif?which=all", "which"),
        ("animation.gif?index=16", "index"),
        ("animation.gif?delay=19", "delay"),
        ("animation.gif?delay=99999999999", "delay"),
    ] {
        let refused = problem(server.get(&format!("{own}/{path}")).await, 422).await;
        assert_eq!(fields(&refused), [field], "{path}");
    }
    let refused = problem(server.get(&format!("{own}/animation.gif?which=x&scale=0&y=1")).await, 422).await;
    assert_eq!(fields(&refused), ["which", "scale", "y"]);
    for path in [
        "animation.gif?index=3",
        "sheet.gif",
        "animation.jpeg",
        "animation",
        "other.png",
        "images/3.png",
        "images/0.gif",
    ] {
        problem(server.get(&format!("{own}/{path}")).await, 404).await;
    }
}

#[tokio::test]
async fn a_sheet_has_all_images() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 0, "seed": 1, "count": 4})).await;
    for (ending, kind) in [("png", "image/png"), ("webp", "image/webp"), ("jpeg", "image/jpeg")] {
        let sheet = picture(server.get(&format!("{own}/sheet.{ending}?scale=2")).await, kind).await.to_rgb8();
        assert_eq!((sheet.width(), sheet.height()), (50, 50));
        assert!(sheet.get_pixel(5, 5)[0].abs_diff(16) < 3 && sheet.get_pixel(45, 45)[0].abs_diff(22) < 3);
    }
}

fn frames(file: &[u8], ending: &str) -> Vec<Frame> {
    let file = Cursor::new(file);
    let frames = match ending {
        "gif" => GifDecoder::new(file).unwrap().into_frames(),
        "png" => PngDecoder::new(file).unwrap().apng().unwrap().into_frames(),
        _ => WebPDecoder::new(file).unwrap().into_frames(),
    };
    frames.collect_frames().unwrap()
}

#[tokio::test]
async fn the_steps_move() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 0, "seed": 2, "count": 2})).await;
    for (ending, kind) in [("gif", "image/gif"), ("png", "image/apng"), ("webp", "image/webp")] {
        let response = server.get(&format!("{own}/animation.{ending}?which=noisy&delay=100&scale=2")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], kind);
        let frames = frames(&response.bytes().await.unwrap(), ending);
        assert_eq!(frames.len(), STEPS);
        for (index, frame) in frames.iter().enumerate() {
            // Two images of 24 pixels, two apart. Noisy previews are one level lighter than what they become.
            assert_eq!(frame.buffer().dimensions(), (50, 24), "{ending}");
            let grey = if index + 1 == STEPS { 32 } else { 33 };
            assert_eq!(frame.buffer().get_pixel(0, 0)[0], grey, "{ending}, frame {index}");
            let (milliseconds, parts) = frame.delay().numer_denom_ms();
            assert_eq!(milliseconds / parts, if index + 1 == STEPS { 600 } else { 100 });
        }
    }
    // One image's tokens in the codebook's colours: seed 2 + index 1 × 3 + step 1, then the position.
    let file = server.get(&format!("{own}/animation.png?which=tokens&index=1")).await.bytes().await.unwrap();
    let first = frames(&file, "png")[0].buffer().clone();
    assert_eq!(first.dimensions(), (12, 12));
    assert_eq!(first.get_pixel(0, 0).0, [0x60, 0x60, 0x60, 255]);
    assert_eq!(first.get_pixel(4, 0).0, [0x70, 0x70, 0x70, 255]);
    assert_eq!(first.get_pixel(8, 0).0, [0x00, 0x00, 0x00, 255]);
}

#[tokio::test]
async fn what_is_not_there_yet_is_a_problem() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
    let job = server.generate(&json!({"class": 0})).await;
    let own = job["links"]["self"].as_str().unwrap();
    for file in ["sheet.png", "animation.gif", "images/0.webp"] {
        problem(server.get(&format!("{own}/{file}")).await, 404).await;
    }
    script.resume();
    let own = finished(&server, &json!({"class": 0, "previews": false})).await;
    problem(server.get(&format!("{own}/animation.gif")).await, 409).await;
    assert_eq!(server.get(&format!("{own}/animation.gif?which=tokens")).await.status(), 200);
}
