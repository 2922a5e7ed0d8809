//! Images that clients send: tokenizations and variations.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{
    DynamicImage, ExtendedColorType, GrayImage, ImageEncoder, ImageFormat, Luma, Rgb, RgbImage, Rgba,
    RgbaImage,
};
use moxcms::ColorProfile;
use reqwest::Response;
use serde_json::{Value, json};

use super::common::{Fault, STEPS, Server, fields, options, problem, with_timeout};
use super::picture;

const TOKENIZE: &str = "/api/v1/tokenizations";
const BOUNDARY: &str = "xxXxx";

fn file(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    let image = DynamicImage::from(GrayImage::from_pixel(width, height, Luma([90])));
    // JPEG, like most photos, has three channels.
    image.to_rgb8().write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn png(image: impl Into<DynamicImage>) -> String {
    let mut file = Cursor::new(Vec::new());
    image.into().write_to(&mut file, ImageFormat::Png).unwrap();
    STANDARD.encode(file.into_inner())
}

fn base64(width: u32, height: u32) -> String {
    STANDARD.encode(file(width, height, ImageFormat::Png))
}

async fn post(server: &Server, body: &Value) -> Response {
    with_timeout(server.client.post(server.url(TOKENIZE)).json(body).send()).await.unwrap()
}

/// Posts a form: name, file name, content.
async fn form(server: &Server, parts: &[(&str, Option<&str>, &[u8])]) -> Response {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        body.extend(
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    with_timeout(server.client.post(server.url(TOKENIZE)).header("content-type", kind).body(body).send())
        .await
        .unwrap()
}

#[tokio::test]
async fn an_image_becomes_tokens() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let response = post(&server, &json!({"image": base64(12, 12), "seed": 5})).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        (&body["model"], &body["seed"], &body["resized_from"]),
        (&json!("toy"), &json!(5), &Value::Null)
    );
    let steps = body["steps"].as_array().unwrap();
    assert_eq!(steps.len(), STEPS);
    assert_eq!(
        (&steps[2]["step"], &steps[2]["tokens"]),
        (&json!(3), &json!([[3, 3, 3], [3, 3, 3], [3, 3, 3]]))
    );
    assert!(steps[0]["noisy"].as_str().unwrap().starts_with("data:image/png;base64,"));
    let input = STANDARD.decode(body["input"]["png_base64"].as_str().unwrap()).unwrap();
    assert!(image::load_from_memory(&input).unwrap().to_luma8().iter().all(|&grey| grey == 90));
    let last = steps[STEPS - 1]["clean"].as_str().unwrap();
    assert!(last.ends_with(body["reconstruction"]["png_base64"].as_str().unwrap()));
}

#[tokio::test]
async fn an_image_may_come_in_many_ways() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
    {
        let file = file(40, 30, format);
        let url = format!("data:{};base64,{}", format.to_mime_type(), STANDARD.encode(&file));
        let body: Value = post(&server, &json!({"image": url})).await.json().await.unwrap();
        assert_eq!(body["resized_from"], json!({"width": 40, "height": 30}), "{format:?}");
        let parts: [(&str, Option<&str>, &[u8]); 3] =
            [("image", Some("a.bin"), &file), ("seed", None, b"7"), ("model", None, b"toy")];
        let response = form(&server, &parts).await;
        assert_eq!(response.status(), 200);
        let other: Value = response.json().await.unwrap();
        assert_eq!((&other["seed"], &other["input"]), (&json!(7), &body["input"]));
    }
    // The head of a large body isn't larger than others'.
    let photo = file(2000, 1500, ImageFormat::Bmp);
    assert!(photo.len() > 8_000_000);
    assert_eq!(form(&server, &[("image", Some("photo.bmp"), &photo)]).await.status(), 200);
}

#[tokio::test]
async fn base64_may_be_of_any_kind() {
    let (server, _) = Server::with_fake_backend(options()).await;
    // Its standard form has both of the characters that differ, and padding.
    let file = file(40, 29, ImageFormat::Jpeg);
    let file = (0..).map(|end| [file.as_slice(), &vec![0xfb; end], b"\xff\xf0"].concat());
    let standard = file.map(|file| STANDARD.encode(file)).find(|text| text.ends_with('=')).unwrap();
    assert!(standard.contains('+') && standard.contains('/'));
    let url_safe = standard.replace('+', "-").replace('/', "_");
    let lines =
        |end: &str| standard.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line) + end).collect();
    let ways: [String; 9] = [
        standard.clone(),
        standard.trim_end_matches('=').into(),
        url_safe.clone(),
        url_safe.trim_end_matches('=').into(),
        lines("\n"),
        lines("\r\n"),
        format!("DATA:image/jpeg;base64,{standard}"),
        format!("Data:Image/JPEG;name=a.jpg;BASE64,{}", url_safe.trim_end_matches('=')),
        format!("  data:;base64,\n{standard}\n"),
    ];
    for image in ways {
        let response = post(&server, &json!({"image": image})).await;
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{image}: {body}");
        assert_eq!(body["resized_from"], json!({"width": 40, "height": 29}), "{image}");
    }
    for image in ["data:image/jpeg,abcd", "data:base64", "data:", "abc$", "a", "ab=c"] {
        let refused = problem(post(&server, &json!({"image": image})).await, 422).await;
        assert_eq!(fields(&refused), ["image"], "{image}");
    }
}

/// The greys that the model sees of an image.
async fn seen(server: &Server, image: String) -> Vec<u8> {
    let response = post(server, &json!({"image": image})).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    let input = STANDARD.decode(body["input"]["png_base64"].as_str().unwrap()).unwrap();
    image::load_from_memory(&input).unwrap().to_luma8().into_raw()
}

#[tokio::test]
async fn the_model_sees_the_central_square_on_white() {
    let (server, _) = Server::with_fake_backend(options()).await;
    // What is beside the square leaves no trace in it.
    for (width, height) in [(72, 24), (24, 72), (36, 12), (12, 36)] {
        let side = width.min(height);
        let is_central = |x, y| x / side == width / side / 2 && y / side == height / side / 2;
        let grey = |x, y| Luma([if is_central(x, y) { 90 } else { 200 }]);
        let greys = seen(&server, png(GrayImage::from_fn(width, height, grey))).await;
        assert_eq!(greys, [90; 144], "{width} × {height}");
    }
    for (alpha, expected) in [(0, 255), (51, 204), (255, 0)] {
        let greys = seen(&server, png(RgbaImage::from_pixel(12, 12, Rgba([0, 0, 0, alpha])))).await;
        assert_eq!(greys, [expected; 144], "{alpha}");
    }
    // A strip is no larger than the square in it.
    assert_eq!(seen(&server, base64(16_384, 1)).await, [90; 144]);
}

#[tokio::test]
async fn what_is_no_image_is_named() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let cut = &file(300, 300, ImageFormat::Png)[..60];
    for (image, value) in [
        (json!(STANDARD.encode(b"text")), "4 bytes of no image format"),
        (json!(STANDARD.encode(cut)), "60 bytes of image/png that can't be decoded"),
        (json!(STANDARD.encode(b"")), "0 bytes of no image format"),
        (json!(base64(16_384, 4_096)), "16384 × 4096 pixels of image/png"),
    ] {
        let refused = problem(post(&server, &json!({"image": image})).await, 422).await;
        assert_eq!(fields(&refused), ["image"]);
        assert_eq!(refused["errors"][0]["value"], value);
    }
    for image in [json!("!"), json!(7), json!(null), json!("data:image/png,x"), json!("data:nothing")] {
        let refused = problem(post(&server, &json!({"image": image})).await, 422).await;
        assert_eq!(fields(&refused), ["image"]);
    }
    // Long values aren't sent back.
    let refused = problem(post(&server, &json!({"image": "!".repeat(100_000)})).await, 422).await;
    assert!(refused.to_string().len() < 1000);
    let body = json!({"image": base64(2, 2), "seed": -2, "model": "x", "size": 2});
    let refused = problem(post(&server, &body).await, 422).await;
    let mut named = fields(&refused);
    named.sort_unstable();
    assert_eq!(named, ["model", "seed", "size"]);
}

/// A PNG file that says it has this many pixels, and has none.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut file = file(1, 1, ImageFormat::Png);
    file[16..20].copy_from_slice(&width.to_be_bytes());
    file[20..24].copy_from_slice(&height.to_be_bytes());
    let mut crc = !0u32;
    for byte in &file[12..29] {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    file[29..33].copy_from_slice(&(!crc).to_be_bytes());
    file
}

#[tokio::test]
async fn image_bombs_are_refused_unread() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (width, height) in [(60_000, 60_000), (0x7fff_ffff, 0x7fff_ffff), (16_384, 16_384), (1, 100_000)] {
        let refused =
            problem(post(&server, &json!({"image": STANDARD.encode(bomb(width, height))})).await, 422).await;
        assert_eq!(fields(&refused), ["image"]);
    }
    // One byte too many: while more of it was on its way, a reset could overtake the answer.
    let around = json!({"image": ""}).to_string().len();
    let large = post(&server, &json!({"image": "x".repeat((12 << 20) + 1 - around)})).await;
    problem(large, 413).await;
}

#[tokio::test]
async fn forms_that_cannot_be_used_are_problems() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let image = file(12, 12, ImageFormat::Png);
    let image: (&str, Option<&str>, &[u8]) = ("image", Some("a.png"), &image);
    for (parts, field) in [
        (vec![("seed", None, &b"7"[..])], "image"),
        (vec![image, image], "image"),
        (vec![image, ("seed", None, b"x")], "seed"),
        (vec![image, ("seed", None, b"1"), ("seed", None, b"1")], "seed"),
        (vec![image, ("model", None, b"x")], "model"),
        (vec![image, ("other", None, b"x")], "other"),
    ] {
        assert_eq!(fields(&problem(form(&server, &parts).await, 422).await), [field]);
    }
    for kind in
        ["multipart/form-data", "multipart/form-data; boundary=other", "multipart/form-data; boundary="]
    {
        let request =
            server.client.post(server.url(TOKENIZE)).header("content-type", kind).body("--x\r\n\r\n--x--");
        problem(with_timeout(request.send()).await.unwrap(), 400).await;
    }
    problem(with_timeout(server.client.post(server.url(TOKENIZE)).body("x").send()).await.unwrap(), 400)
        .await;
    let text = server.client.post(server.url(TOKENIZE)).header("content-type", "text/plain").body("x");
    problem(with_timeout(text.send()).await.unwrap(), 415).await;
}

#[tokio::test]
async fn a_tokenization_that_fails_says_nothing_of_its_cause() {
    let (server, script) = Server::with_fake_backend(options()).await;
    script.fail_tokenizations([Some(Fault::Error)]);
    let failed = problem(post(&server, &json!({"image": base64(12, 12)})).await, 500).await;
    assert!(!failed.to_string().contains("secret"));
    with_timeout(async {
        while post(&server, &json!({"image": base64(12, 12)})).await.status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_image_can_be_varied() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let image = base64(30, 20);
    let job = server.generate(&json!({"class": 0, "image": image, "from_step": 3, "seed": 1})).await;
    let messages = server.messages(job["links"]["events"].as_str().unwrap(), None).await;
    let steps: Vec<&Value> =
        messages.iter().filter(|message| message.event == "step").map(|it| &it.data["step"]).collect();
    assert_eq!(steps, [4, 5]);
    let last = messages.last().unwrap();
    assert_eq!((last.event.as_str(), &last.data["from_step"]), ("completed", &json!(3)));
    let url = last.data["images"][0]["url"].as_str().unwrap();
    picture(server.get(url).await, "image/png").await;

    for (body, field) in [
        (json!({"class": 0, "image": image}), "from_step"),
        (json!({"class": 0, "from_step": 2}), "image"),
        (json!({"class": 0, "image": image, "from_step": 0}), "from_step"),
        (json!({"class": 0, "image": image, "from_step": 5}), "from_step"),
        (json!({"class": 0, "image": "!", "from_step": 1}), "image"),
        (json!({"class": 0, "image": STANDARD.encode("text"), "from_step": 1}), "image"),
    ] {
        assert_eq!(fields(&problem(server.post(&body).await, 422).await), [field], "{body}");
    }
}

/// A small file of `tests/fixtures/images`.
fn fixture(name: &str) -> Vec<u8> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/images");
    std::fs::read(folder.join(name)).unwrap()
}

/// The 8 × 8 colours that the model `other` receives of an image.
async fn received(server: &Server, file: &[u8]) -> image::RgbImage {
    let response = post(server, &json!({"image": STANDARD.encode(file), "model": "other"})).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    let input = STANDARD.decode(body["input"]["png_base64"].as_str().unwrap()).unwrap();
    image::load_from_memory(&input).unwrap().to_rgb8()
}

#[tokio::test]
async fn image_files_are_read_as_viewers_show_them() {
    let (server, _) = Server::with_two_models(options()).await;
    let near = |found: image::Rgb<u8>, expected: [u8; 3]| {
        let is_near = found.0.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 3);
        assert!(is_near, "{found:?}, not {expected:?}");
    };
    // Stored with the black half on the left; EXIF says that it is on top.
    let rotated = received(&server, &fixture("exif-rotated.jpg")).await;
    for x in 0..8 {
        near(*rotated.get_pixel(x, 0), [0; 3]);
        near(*rotated.get_pixel(x, 7), [255; 3]);
    }
    for pixel in received(&server, &fixture("cmyk.jpg")).await.pixels() {
        near(*pixel, [226, 187, 149]);
    }
    // 16 bits are scaled, not clipped.
    let ramp = received(&server, &fixture("grey16.png")).await;
    let mean = ramp.iter().map(|&byte| u32::from(byte)).sum::<u32>() / ramp.len() as u32;
    assert!(mean.abs_diff(128) <= 3, "{mean}");
    for name in ["palette-transparent.png", "grey-alpha.png"] {
        near(*received(&server, &fixture(name)).await.get_pixel(0, 0), [255; 3]);
    }
    // The first frame: a red square on transparency. The second frame is green.
    for name in ["animated-transparent.gif", "animated-transparent.png"] {
        let first = received(&server, &fixture(name)).await;
        near(*first.get_pixel(0, 0), [255; 3]);
        let [red, green, _] = first.get_pixel(4, 4).0;
        assert!(red > 150 && green < 100, "{name}: {:?}", first.get_pixel(4, 4));
    }
}

/// Expected values: the profiles' published primaries and transfer functions, computed apart from the program.
#[tokio::test]
async fn color_profiles_are_converted_to_srgb() {
    let (server, _) = Server::with_two_models(options()).await;
    let (p3, adobe) = (ColorProfile::new_display_p3(), ColorProfile::new_adobe_rgb());
    let damaged = p3.encode().unwrap()[..100].to_vec();
    for (profile, color, expected) in [
        (Some(p3.encode().unwrap()), [200, 100, 50], [215, 93, 31]),
        (Some(p3.encode().unwrap()), [60, 180, 90], [0, 183, 78]),
        (Some(adobe.encode().unwrap()), [200, 100, 50], [227, 100, 42]),
        (Some(ColorProfile::new_srgb().encode().unwrap()), [200, 100, 50], [200, 100, 50]),
        (Some(damaged), [200, 100, 50], [200, 100, 50]),
        (None, [200, 100, 50], [200, 100, 50]),
    ] {
        let pixels = RgbImage::from_pixel(24, 24, Rgb(color));
        for kind in ["png", "jpeg", "webp"] {
            let mut file = Vec::new();
            match kind {
                "png" => write(PngEncoder::new(&mut file), &pixels, profile.clone()),
                "jpeg" => write(JpegEncoder::new_with_quality(&mut file, 100), &pixels, profile.clone()),
                _ => write(WebPEncoder::new_lossless(&mut file), &pixels, profile.clone()),
            }
            for pixel in received(&server, &file).await.pixels() {
                let is_near =
                    pixel.0.iter().zip(expected).all(|(found, expected)| found.abs_diff(expected) <= 3);
                assert!(is_near, "{kind} {color:?}: {:?}, not {expected:?}", pixel.0);
            }
        }
    }
}

fn write(mut encoder: impl ImageEncoder, pixels: &RgbImage, profile: Option<Vec<u8>>) {
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile).unwrap();
    }
    encoder.write_image(pixels, pixels.width(), pixels.height(), ExtendedColorType::Rgb8).unwrap();
}

#[tokio::test]
async fn unsupported_formats_are_named() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for (brand, media_type) in [("heic", "image/heic"), ("mif1", "image/heif"), ("avif", "image/avif")] {
        let file = [b"\0\0\0\x18ftyp", brand.as_bytes(), &[0; 12]].concat();
        let refused = problem(post(&server, &json!({"image": STANDARD.encode(file)})).await, 422).await;
        let value = refused["errors"][0]["value"].as_str().unwrap();
        assert!(value.contains(media_type), "{brand}: {value}");
    }
}

#[tokio::test]
async fn truncated_images_are_refused() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let noise = RgbaImage::from_fn(60, 60, |x, y| {
        let mix = |factor: u32| ((x * factor) ^ (y * 31) ^ (x * y * 7)) as u8;
        Rgba([mix(13), mix(57), mix(101), 255])
    });
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp]
    {
        let mut whole = Cursor::new(Vec::new());
        DynamicImage::from(noise.clone()).to_rgb8().write_to(&mut whole, format).unwrap();
        let whole = whole.into_inner();
        let truncated = STANDARD.encode(&whole[..whole.len() / 2]);
        let refused = problem(post(&server, &json!({"image": truncated})).await, 422).await;
        let value = refused["errors"][0]["value"].as_str().unwrap();
        let expected =
            format!("{} bytes of {} that can't be decoded", whole.len() / 2, format.to_mime_type());
        assert_eq!(value, expected);
    }
}

/// Interlaced files and those of 16 bits are decoded to the same pixels as others.
#[tokio::test]
async fn all_kinds_of_png_files_are_decoded() {
    let (server, _) = Server::with_two_models(options()).await;
    let pixels = RgbaImage::from_fn(21, 13, |x, y| Rgba([x as u8 * 12, y as u8 * 19, 77, 255]));
    let mut plain = Cursor::new(Vec::new());
    pixels.write_to(&mut plain, ImageFormat::Png).unwrap();
    let expected = received(&server, &plain.into_inner()).await;
    let mut sixteen = Cursor::new(Vec::new());
    DynamicImage::from(pixels.clone()).to_rgba16().write_to(&mut sixteen, ImageFormat::Png).unwrap();
    assert_eq!(received(&server, &sixteen.into_inner()).await, expected);
    assert_eq!(received(&server, &fixture("interlaced.png")).await, expected);
}

#[tokio::test]
async fn progressive_images_that_need_too_much_memory_are_refused_unread() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let mut jpeg = file(8, 8, ImageFormat::Jpeg);
    // Start of frame: baseline becomes progressive, 8 × 8 becomes 7,000 × 7,000, without subsampling.
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    jpeg[frame + 1] = 0xc2;
    for at in [5, 7] {
        jpeg[frame + at..frame + at + 2].copy_from_slice(&7_000u16.to_be_bytes());
    }
    for component in 0..3 {
        jpeg[frame + 11 + 3 * component] = 0x11;
    }
    let refused = problem(post(&server, &json!({"image": STANDARD.encode(&jpeg)})).await, 422).await;
    let expected = "7000 × 7000 pixels of image/jpeg that take too much memory to decode";
    assert_eq!(refused["errors"][0]["value"], expected);
}
