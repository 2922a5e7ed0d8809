//! Pictures by address: `/api/v1/pictures/{model}@{version}/{class}.{format}?seed=…`.

use std::io::Cursor;
use std::time::Duration;

use futures_util::future::join_all;
use image::AnimationDecoder;
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use rdpm::picture::read_provenance;
use reqwest::{Client, Method, Response, redirect};
use serde_json::json;

use super::common::{STEPS, Server, fields, options, problem, with_timeout};
use super::{finished, picture};

const ROOT: &str = "/api/v1/pictures/toy@0123456789abcdef";

/// The answer itself, where it is a redirect.
async fn get_once(server: &Server, path: &str) -> Response {
    let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
    with_timeout(client.get(server.url(path)).send()).await.unwrap()
}

async fn get_with(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = server.client.get(server.url(path));
    let request = headers.iter().fold(request, |request, &(name, value)| request.header(name, value));
    with_timeout(request.send()).await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

#[tokio::test]
async fn name_of_a_model_redirects_to_its_version() {
    let (server, _) = Server::with_fake_backend(options()).await;
    assert_eq!(server.json("/api/v1/models").await["models"][0]["version"], "0123456789abcdef");
    let path = "/api/v1/pictures/toy/ankle%20boot.png?scale=4&seed=a+b";
    let redirect = get_once(&server, path).await;
    assert_eq!(redirect.status(), 307);
    assert_eq!(header(&redirect, "cross-origin-resource-policy"), "cross-origin");
    assert_eq!(header(&redirect, "access-control-allow-origin"), "*");
    assert_eq!(header(&redirect, "cache-control"), "no-cache");
    assert_eq!(header(&redirect, "location"), "../toy@0123456789abcdef/ankle%20boot.png?scale=4&seed=a+b");
    let response = server.get(path).await;
    assert_eq!(response.url().path(), format!("{ROOT}/ankle%20boot.png"));
    assert_eq!(header(&response, "cache-control"), "public, max-age=31536000, immutable");
    assert_eq!(header(&response, "cross-origin-resource-policy"), "cross-origin");
    assert_eq!(header(&response, "access-control-allow-origin"), "*");
    let shown = picture(response, "image/png").await;
    assert_eq!((shown.width(), shown.height()), (48, 48));
}

#[tokio::test]
async fn address_gives_the_picture_of_a_generation_in_each_format() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let own = finished(&server, &json!({"class": 2, "seed": 4, "temperature": 0.5})).await;
    for (ending, kind) in [("png", "image/png"), ("webp", "image/webp"), ("jpg", "image/jpeg")] {
        let expected = server.get(&format!("{own}/images/0.{ending}?scale=3")).await.bytes().await.unwrap();
        let response = server.get(&format!("{ROOT}/2.{ending}?seed=4&scale=3&temperature=0.5")).await;
        assert_eq!(header(&response, "content-type"), kind);
        assert_eq!(response.bytes().await.unwrap(), expected, "{ending}");
    }
    // The class by name and by index, and the same seed in another way.
    let digits = server.get(&format!("{ROOT}/2.png?seed=4")).await;
    let named = server.get(&format!("{ROOT}/ANKLE%20BOOT.png?seed=004")).await;
    assert_eq!(header(&digits, "etag"), header(&named, "etag"));
    assert_eq!(digits.bytes().await.unwrap(), named.bytes().await.unwrap());
}

#[tokio::test]
async fn any_text_is_a_seed() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (text, seed) in [
        // The first 53 bits of the SHA-256 of the text.
        ("ada%40example.org", 0xcfe0_0dde_46ef_9426_u64 >> 11),
        ("%C3%9Cn%C3%AFc%C3%B6d%C3%A9+%F0%9F%A6%8A", 0xb109_5d2b_bedb_29e8 >> 11),
        ("9007199254740992", 0xc681_da39_d727_3a6a >> 11),
        ("9007199254740991", (1 << 53) - 1),
    ] {
        let file = server.get(&format!("{ROOT}/0.png?seed={text}")).await.bytes().await.unwrap();
        assert_eq!(read_provenance(Cursor::new(&file)).unwrap().seed, seed, "{text}");
    }
    for path in ["0.png", "0.png?seed=", "0.png?seed=-1&scale=2"] {
        for root in ["/api/v1/pictures/toy", ROOT] {
            let redirect = get_once(&server, &format!("{root}/{path}")).await;
            assert_eq!(redirect.status(), 307, "{path}");
            assert_eq!(header(&redirect, "cache-control"), "no-store");
            let location = header(&redirect, "location");
            assert!(location.starts_with("../toy@0123456789abcdef/0.png?"), "{location}");
            assert!(location.contains("seed=") && !location.contains("seed=-1"), "{location}");
            let other = get_once(&server, &format!("{root}/{path}")).await;
            assert_ne!(header(&other, "location"), location);
        }
    }
    assert_eq!(server.get("/api/v1/pictures/toy/0.png").await.status(), 200);
}

#[tokio::test]
async fn what_an_address_cannot_name_is_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let gone = problem(server.get("/api/v1/pictures/toy@0000/0.png?seed=1").await, 410).await;
    assert!(gone["detail"].as_str().unwrap().contains("0123456789abcdef"), "{gone}");
    for missing in ["toi/0.png", "toy/3.png", "toy/Bag.png", "toy/0.svg", "toy/0", "toy/.png", "toy/+1.png"] {
        problem(server.get(&format!("/api/v1/pictures/{missing}?seed=1")).await, 404).await;
    }
    for (query, names) in [
        ("scale=33&delay=100&guidance=x&seed=1", &["guidance", "scale", "delay"][..]),
        ("seed=1&seed=2", &["seed"]),
        ("seed=1&count=2", &["count"]),
        ("seed=1&which=noisy", &["which"]),
        ("seed=1&style=noto", &["style"]),
    ] {
        for root in ["/api/v1/pictures/toy", ROOT] {
            let refused = problem(get_once(&server, &format!("{root}/0.png?{query}")).await, 422).await;
            let (mut found, mut expected) = (fields(&refused), names.to_vec());
            found.sort_unstable();
            expected.sort_unstable();
            assert_eq!(found, expected, "{query}");
        }
    }
}

#[tokio::test]
async fn concurrent_equal_requests_draw_once() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let path = format!("{ROOT}/1.webp?seed=avatar&scale=8");
    let answers = join_all((0..20).map(|_| server.get(&path))).await;
    let mut files = Vec::new();
    for answer in answers {
        assert_eq!(answer.status(), 200);
        files.push(answer.bytes().await.unwrap());
    }
    assert!(files.len() == 20 && files.iter().all(|body| *body == files[0]));
    assert_eq!(script.batches().len(), STEPS, "one image is drawn");
    server.get(&path).await;
    assert_eq!(script.batches().len(), STEPS, "a cached picture is not drawn again");
    server.get(&path.replace("avatar", "other")).await;
    assert_eq!(script.batches().len(), 2 * STEPS);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_fail_the_others() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.pause();
    let path = format!("{ROOT}/1.png?seed=5");
    let first = tokio::spawn(server.client.get(server.url(&path)).send());
    while !script.is_step_waiting() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let second = tokio::spawn(server.client.get(server.url(&path)).send());
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.abort();
    script.resume();
    assert_eq!(with_timeout(second).await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn steps_are_an_animation() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for which in ["", "&which=noisy", "&which=tokens"] {
        let query = format!("seed=4&scale=2&delay=100{which}");
        let gif = server.get(&format!("{ROOT}/0.gif?{query}")).await;
        assert_eq!(header(&gif, "content-type"), "image/gif");
        let gif = gif.bytes().await.unwrap();
        let frames = GifDecoder::new(Cursor::new(&gif)).unwrap().into_frames().collect_frames().unwrap();
        assert_eq!(frames.len(), STEPS);
        assert_eq!(frames[0].buffer().dimensions(), (24, 24));
        let png = server.get(&format!("{ROOT}/0.apng?{query}")).await;
        assert_eq!(header(&png, "content-type"), "image/apng");
        let png = png.bytes().await.unwrap();
        let frames = PngDecoder::new(Cursor::new(&png)).unwrap().apng().unwrap().into_frames();
        assert_eq!(frames.collect_frames().unwrap().len(), STEPS);
    }
}

#[tokio::test]
async fn head_ranges_and_conditions_work() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let path = format!("{ROOT}/0.png?seed=9&scale=4");
    let whole = server.get(&path).await;
    let etag = header(&whole, "etag").to_owned();
    assert!(etag.starts_with('"') && etag.len() == 34, "{etag} is strong");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    let whole = whole.bytes().await.unwrap();
    let length = whole.len();

    let head = with_timeout(server.client.request(Method::HEAD, server.url(&path)).send()).await.unwrap();
    assert_eq!((head.status().as_u16(), header(&head, "content-length")), (200, &*length.to_string()));
    assert_eq!(header(&head, "etag"), etag);
    assert!(head.bytes().await.unwrap().is_empty());

    for (range, part) in [
        ("bytes=0-9", 0..10),
        ("bytes=10-", 10..length),
        ("bytes=-7", length - 7..length),
        ("bytes=-999999", 0..length),
        ("bytes=5-999999", 5..length),
    ] {
        let response = get_with(&server, &path, &[("range", range)]).await;
        assert_eq!(response.status(), 206, "{range}");
        let expected = format!("bytes {}-{}/{length}", part.start, part.end - 1);
        assert_eq!(header(&response, "content-range"), expected);
        assert_eq!(header(&response, "content-type"), "image/png");
        assert_eq!(header(&response, "etag"), etag);
        assert_eq!(response.bytes().await.unwrap(), whole[part]);
    }
    for range in ["bytes=9-5", "lines=1-2", "bytes=0-1,5-6", "bytes=x"] {
        let response = get_with(&server, &path, &[("range", range)]).await;
        assert_eq!(response.status(), 200, "{range}");
        assert_eq!(response.bytes().await.unwrap(), whole);
    }
    let beyond = get_with(&server, &path, &[("range", "bytes=999999-")]).await;
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{length}"));
    assert_eq!(beyond.status(), 416);
    for (condition, status) in [(etag.as_str(), 206), ("\"other\"", 200)] {
        let headers = [("range", "bytes=0-9"), ("if-range", condition)];
        assert_eq!(get_with(&server, &path, &headers).await.status(), status, "{condition}");
    }

    for (name, value, status) in [
        ("if-none-match", etag.as_str(), 304),
        ("if-none-match", &format!("\"x\", W/{etag}"), 304),
        ("if-none-match", "\"x\"", 200),
        ("if-match", &etag, 200),
        ("if-match", "\"x\"", 412),
    ] {
        let response = get_with(&server, &path, &[(name, value)]).await;
        assert_eq!(response.status(), status, "{name}: {value}");
        if status == 304 {
            assert_eq!(header(&response, "etag"), etag);
            assert!(header(&response, "cache-control").contains("immutable"));
        }
    }
    // A browser that has the picture costs nothing, even where the server has lost it.
    let (other, other_script) = Server::with_fake_backend(options()).await;
    assert_eq!(get_with(&other, &path, &[("if-none-match", &etag)]).await.status(), 304);
    assert!(other_script.batches().is_empty());
    assert_eq!(script.batches().len(), STEPS);
}
