//! Images, sheets and animations as files.

use std::io::Cursor;

use futures_util::future::join_all;
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

#[tokio::test]
async fn gif_durations_add_up_to_the_requested_time() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 0, "seed": 2})).await;
    for delay in [20, 25, 33, 99, 250] {
        let file = server.get(&format!("{own}/animation.gif?delay={delay}")).await.bytes().await.unwrap();
        let frames = frames(&file, "gif");
        let milliseconds =
            |frame: &Frame| frame.delay().numer_denom_ms().0 / frame.delay().numer_denom_ms().1;
        let sum: u32 = frames.iter().map(milliseconds).sum();
        // Each step once, the last one six times.
        let requested = (STEPS as u32 + 5) * delay;
        assert!(sum.abs_diff(requested) <= 5, "{delay} ms: {sum} instead of {requested}");
        assert!(milliseconds(&frames[0]).abs_diff(delay) <= 5, "{delay} ms");
    }
}

#[tokio::test]
async fn gif_frames_share_one_palette() {
    let (server, _) = Server::with_two_models(options()).await;
    let own = finished(&server, &json!({"model": "other", "class": 0, "seed": 2, "count": 3})).await;
    let file = server.get(&format!("{own}/animation.gif?which=noisy&scale=3")).await.bytes().await.unwrap();
    let mut decoder = gif::Decoder::new(Cursor::new(&file)).unwrap();
    assert!(decoder.global_palette().is_some());
    let mut count = 0;
    while let Some(frame) = decoder.read_next_frame().unwrap() {
        assert!(frame.palette.is_none());
        count += 1;
    }
    assert_eq!(count, 3);
}

#[tokio::test]
async fn webp_and_jpeg_files_contain_the_provenance() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 2, "seed": 4, "count": 2, "top_k": 3})).await;
    let provenance = async |path: String| {
        let file = server.get(&format!("{own}/{path}")).await.bytes().await.unwrap();
        read_provenance(Cursor::new(&file)).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    for (file, query) in [("images/1", "?scale=3"), ("sheet", ""), ("animation", "?which=noisy&index=1")] {
        let expected = provenance(format!("{file}.png{query}")).await;
        assert_eq!(expected.class, "Ankle boot");
        assert_eq!(provenance(format!("{file}.webp{query}")).await, expected);
        if file != "animation" {
            assert_eq!(provenance(format!("{file}.jpeg{query}")).await, expected);
        }
    }
}

#[tokio::test]
async fn a_full_render_queue_is_a_503_that_cached_and_small_pictures_do_not_get() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 0, "count": 16})).await;
    let render =
        async |delay: usize| server.get(&format!("{own}/animation.webp?scale=32&delay={delay}")).await;
    assert_eq!(render(100).await.status(), 200);
    // Large, and all different.
    let responses = join_all((101..151).map(&render)).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        responses.into_iter().partition(|response| response.status() == 200);
    assert!(!done.is_empty() && !refused.is_empty(), "{} and {}", done.len(), refused.len());
    for response in refused {
        assert_eq!(response.headers()["retry-after"], "5");
        assert_eq!(problem(response, 503).await["type"], "urn:rdpm:problem:overloaded");
    }
    // The cached one and a small one, while the queue is full.
    let others = async {
        let cached = join_all((0..20).map(|_| render(100))).await;
        let small = server.get(&format!("{own}/images/3.jpeg?scale=2")).await;
        cached.into_iter().map(|response| response.status()).chain([small.status()]).collect::<Vec<_>>()
    };
    let (_, statuses) = tokio::join!(join_all((201..251).map(&render)), others);
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}
