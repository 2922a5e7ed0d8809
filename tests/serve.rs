//! The server as a program with the shipped weights, over real HTTP.

#[cfg(target_os = "linux")]
mod large_image;
mod program;

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use candle_core::Device;
use program::{Program, rdpm};
use rdpm::model::{Model, Sampler, SamplingSettings};
use serde_json::{Value, json};

fn serve() -> (Program, String) {
    let (server, address) =
        Program::start(rdpm().args(["serve", "--port", "0", "--drain-timeout", "60"]), "http://");
    (server, format!("http://{address}"))
}

async fn post(url: &str, body: Value) -> Value {
    let response =
        reqwest::Client::new().post(format!("{url}/api/v1/generations")).json(&body).send().await.unwrap();
    assert_eq!(response.status(), 202);
    response.json().await.unwrap()
}

async fn text(url: String) -> String {
    let response = reqwest::get(&url).await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.text().await.unwrap()
}

/// The data of a stream's events of one kind.
fn data(stream: &str, event: &str) -> Vec<Value> {
    let head = format!("event: {event}\n");
    let of_kind = stream.split("\n\n").filter(|message| message.contains(&head));
    of_kind
        .map(|message| message.lines().find_map(|line| line.strip_prefix("data: ")).unwrap())
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn a_generation_streams_the_samplers_own_tokens_and_keeps_its_images() {
    let (_server, url) = serve();
    // Two jobs at once, so that they share batches.
    let settings = json!({"class": "ankle BOOT", "seed": 5, "count": 3, "guidance": 2.5, "top_k": 100});
    let (job, other) = tokio::join!(post(&url, settings), post(&url, json!({"class": 0, "seed": 5})));
    assert_eq!(
        (&job["class"], &job["seed"], &job["model"]),
        (&json!("Ankle boot"), &json!(5), &json!("fashion-mnist"))
    );

    let events = |job: &Value| format!("{url}{}", job["links"]["events"].as_str().unwrap());
    let (stream, _) = tokio::join!(text(events(&job)), text(events(&other)));
    let steps = data(&stream, "step");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = Model::load(&folder, &Device::Cpu).unwrap();
    let settings = SamplingSettings::new(model.config(), 9).unwrap().with_guidance(2.5).unwrap();
    let settings = settings.with_top_k(model.config(), 100).unwrap();
    let mut sampler = Sampler::new(&model, &settings, 5, 0..3);
    for t in 1..=10 {
        for (index, expected) in sampler.next().unwrap().unwrap().into_iter().enumerate() {
            let seen = steps
                .iter()
                .filter(|step| step["step"] == t && step["steps"] == 10)
                .flat_map(|step| step["images"].as_array().unwrap())
                .find(|image| image["index"] == index)
                .unwrap();
            let rows: Vec<&[u32]> = expected.tokens.chunks(7).collect();
            assert_eq!(seen["tokens"], json!(rows), "image {index}, step {t}");
            assert_eq!(seen["entropy"].as_array().unwrap().len(), 7);
            for preview in ["noisy", "clean"] {
                assert!(seen[preview].as_str().unwrap().starts_with("data:image/png;base64,"));
            }
        }
    }

    let done: Value =
        serde_json::from_str(&text(format!("{url}{}", job["links"]["self"].as_str().unwrap())).await)
            .unwrap();
    assert_eq!((&done["status"], &done["count"]), (&json!("completed"), &json!(3)));
    assert_eq!(data(&stream, "completed"), std::slice::from_ref(&done));
    for (image, expected) in done["images"].as_array().unwrap().iter().zip(sampler.images().unwrap()) {
        let png =
            base64::engine::general_purpose::STANDARD.decode(image["png_base64"].as_str().unwrap()).unwrap();
        assert_eq!(image::load_from_memory(&png).unwrap(), expected);
        let file = reqwest::get(format!("{url}{}", image["url"].as_str().unwrap())).await.unwrap();
        assert_eq!(file.headers()["content-type"], "image/png");
        assert_eq!(file.bytes().await.unwrap(), png);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_picture_tells_the_command_that_makes_it_again() {
    let (_server, url) = serve();
    let client = reqwest::Client::new();
    let place = tempfile::TempDir::new().unwrap();
    let file = |name: &str| place.path().join(name);
    for body in [
        json!({"class": "Bag", "seed": 3, "temperature": 0.8, "scale": 2}),
        json!({"class": 0, "seed": 4, "count": 3, "top_p": 0.9}),
    ] {
        let request = client.post(format!("{url}/api/v1/generations")).header("accept", "image/png");
        let picture = request.json(&body).send().await.unwrap().bytes().await.unwrap();
        std::fs::write(file("it.png"), &picture).unwrap();
        let told = rdpm().arg("info").arg(file("it.png")).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let command = told.lines().last().unwrap().replacen("rdpm", env!("CARGO_BIN_EXE_rdpm"), 1);
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &command]).current_dir(&place).env("RDPM_DEVICE", "cpu");
        shell.env("RDPM_WEIGHTS", Path::new(env!("CARGO_MANIFEST_DIR")).join("weights"));
        assert!(shell.status().unwrap().success(), "{command}");
        let again = image::open(file("again.png")).unwrap();
        assert_eq!(image::load_from_memory(&picture).unwrap(), again, "{command}");
    }
}

#[tokio::test]
async fn every_class_has_a_picture_that_the_page_can_show() {
    let (_server, url) = serve();
    let classes: Value = serde_json::from_str(&text(format!("{url}/api/v1/classes")).await).unwrap();
    let classes = classes["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 10);
    for class in classes {
        let picture = reqwest::get(format!("{url}{}", class["picture"].as_str().unwrap())).await.unwrap();
        let picture = image::load_from_memory(&picture.bytes().await.unwrap()).unwrap();
        assert_eq!((picture.width(), picture.height()), (28, 28), "{class}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_signal_ends_the_server_and_its_streams_in_order() {
    let (mut server, url) = serve();
    let job = post(&url, json!({"class": "Bag", "count": 8})).await;
    let events = reqwest::get(format!("{url}{}", job["links"]["events"].as_str().unwrap())).await.unwrap();
    assert!(Command::new("kill").arg(server.0.id().to_string()).status().unwrap().success());
    // The job gets its time to finish, and the stream its last event.
    assert_eq!(data(&events.text().await.unwrap(), "completed").len(), 1);
    assert!(tokio::task::spawn_blocking(move || server.0.wait().unwrap()).await.unwrap().success());
}

/// The most memory that a process had so far, in bytes.
#[cfg(target_os = "linux")]
fn peak_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn images_and_bodies_take_bounded_memory() {
    let (server, url) = serve();
    let file = large_image::large_png();
    assert!(file.len() < 1_000_000, "{}", file.len());
    let client = reqwest::Client::new();
    let tokenize = async |body: reqwest::Body| {
        let request = client.post(format!("{url}/api/v1/tokenizations"));
        request.header("content-type", "application/json").body(body).send().await.unwrap()
    };
    let body =
        |file: &[u8]| json!({"image": base64::engine::general_purpose::STANDARD.encode(file)}).to_string();
    // The first one, of whatever size, starts threads and buffers.
    let mut small = std::io::Cursor::new(Vec::new());
    image::GrayImage::new(28, 28).write_to(&mut small, image::ImageFormat::Png).unwrap();
    assert_eq!(tokenize(body(small.get_ref()).into()).await.status(), 200);
    let before = peak_memory(server.0.id());
    let response = tokenize(body(&file).into()).await;
    assert_eq!(response.status(), 200);
    // 150 MB are its pixels in 8 bits without alpha.
    let taken = peak_memory(server.0.id()) - before;
    assert!(taken < 220 << 20, "{taken} bytes for an image");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn small_bodies_in_small_chunks_take_their_size() {
    use tokio::io::AsyncWriteExt;

    let (server, url) = serve();
    let before = peak_memory(server.0.id());
    // Each 60 kB, whose end never comes.
    let chunks = b"1\r\n \r\n".repeat(60_000);
    let mut connections = Vec::new();
    for path in
        ["/v1/images/generations", "/openai/deployments/emoji/images/generations", "/", "/api/v1/generations"]
    {
        for _ in 0..15 {
            let address = url.strip_prefix("http://").unwrap();
            let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
            connection.write_all(head.as_bytes()).await.unwrap();
            connection.write_all(&chunks).await.unwrap();
            connections.push(connection);
        }
    }
    // The last ones may not be read yet.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let taken = peak_memory(server.0.id()) - before;
    assert!(taken < 15 << 20, "{taken} bytes for 60 bodies of 60 kB");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_body_in_small_chunks_takes_its_size() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let (server, url) = serve();
    let before = peak_memory(server.0.id());
    let mut connection = tokio::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).await.unwrap();
    let head = "POST /api/v1/tokenizations HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    // Two megabytes, and then no JSON. Smaller chunks are refused.
    let chunks = [b"40\r\n".as_slice(), &[b' '; 64], b"\r\n"].concat().repeat(320);
    for _ in 0..100 {
        connection.write_all(&chunks).await.unwrap();
    }
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let taken = peak_memory(server.0.id()) - before;
    assert!(taken < 20 << 20, "{taken} bytes for a body of 2 MB");
}
