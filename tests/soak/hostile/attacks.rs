//! The attacks, each of which once took the memory, the processor or the connections of all.

use std::fmt::Write;
use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rand::RngExt;
use serde_json::json;

use super::attacker::Attacker;
use crate::large_image::large_png;

/// The attacks, and the number of attackers with addresses of their own.
pub const ATTACKS: [(&str, u8); 16] = [
    ("unknown fields", 4),
    ("image bombs", 4),
    ("one-byte chunks", 2),
    ("idle connections", 2),
    ("idle bodies", 3),
    ("slow headers", 1),
    ("expensive animations", 3),
    ("created and deleted", 2),
    ("foreign hosts", 1),
    ("unread answers", 2),
    ("unread event streams", 2),
    ("compressed bombs", 2),
    ("wide windows", 1),
    ("many images", 1),
    ("nested and broken JSON", 2),
    ("guessed addresses", 1),
];

const GENERATIONS: &str = "/api/v1/generations";
const TOKENIZATIONS: &str = "/api/v1/tokenizations";
const IMAGES: &str = "/v1/images/generations";

/// What attackers send, made once: they share the machine's processors with the server.
pub struct Payloads {
    /// Objects with that many unknown fields.
    unknown_fields: [(&'static str, Bytes); 3],
    image_bomb: Bytes,
    chunks: Vec<u8>,
    /// With their encodings.
    compressed: [(&'static str, Bytes); 2],
    broken: Vec<Bytes>,
}

impl Payloads {
    pub fn new() -> Self {
        let spaces = vec![b' '; 100 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(&spaces).unwrap();
        let zstd = zstd::encode_all(&spaces[..], 1).unwrap();
        let numbers = format!("{{\"class\":0,\"list\":[{}0]}}", "0,".repeat(5_000_000));
        let text = format!("{{\"class\":\"{}\"}}", "\\u0001".repeat(1_500_000));
        let broken = ["{".into(), "[".repeat(60_000), "[".repeat(5_000_000), numbers, text];
        Self {
            unknown_fields: [(GENERATIONS, 900_000), (GENERATIONS, 90_000), (IMAGES, 4_000)]
                .map(|(path, count)| (path, unknown_fields(count).into())),
            image_bomb: json!({"image": STANDARD.encode(large_png())}).to_string().into(),
            chunks: b"1\r\n \r\n".repeat(60_000),
            compressed: [("gzip", gzip.finish().unwrap().into()), ("zstd", zstd.into())],
            broken: broken.map(Bytes::from).into(),
        }
    }
}

impl Attacker {
    /// Attacks until this is dropped.
    pub async fn attack(self, payloads: Arc<Payloads>) {
        let many = json!({"class": 0, "count": 16, "previews": true});
        let mut job = None;
        loop {
            if job.is_none()
                && ["expensive animations", "unread answers", "unread event streams"].contains(&self.name)
            {
                job = self.ended_job(&many).await;
            }
            match (self.name, &job) {
                ("unknown fields", _) => self.send_unknown_fields(&payloads).await,
                ("image bombs", _) => {
                    self.send(self.post_json(TOKENIZATIONS, payloads.image_bomb.clone())).await;
                }
                ("one-byte chunks", _) => self.send_one_byte_chunks(&payloads).await,
                ("idle connections", _) => self.open_idle_connections().await,
                ("idle bodies", _) => self.send_idle_bodies().await,
                ("slow headers", _) => self.send_slow_headers().await,
                ("expensive animations", Some(job)) => self.ask_for_animations(job).await,
                ("created and deleted", _) => self.create_and_delete().await,
                ("foreign hosts", _) => self.name_foreign_host().await,
                ("unread answers", Some(job)) => {
                    self.leave_unread(&format!("{job}/sheet.png?scale=20")).await
                }
                ("unread event streams", Some(job)) => self.leave_unread(&format!("{job}/events")).await,
                ("compressed bombs", _) => self.send_compressed_bombs(&payloads).await,
                ("wide windows", _) => self.open_wide_windows().await,
                ("many images", _) => {
                    self.send(self.post(GENERATIONS).json(&many)).await;
                }
                ("nested and broken JSON", _) => self.send_broken_json(&payloads).await,
                ("guessed addresses", _) => self.guess_addresses().await,
                // The server has refused the job so far.
                _ => self.pause(1000).await,
            }
            // The job expires.
            if rand::rng().random_bool(0.02) {
                job = None;
            }
            self.pause(100).await;
        }
    }

    async fn send_unknown_fields(&self, payloads: &Payloads) {
        for (path, body) in &payloads.unknown_fields {
            self.send(self.post_json(path, body.clone())).await;
        }
        let query: String = (0..3000).map(|number| format!("&f{number}=1")).collect();
        self.send(self.get(&format!("/api/v1/classes?{query}"))).await;
        let form = self.post("/").header("content-type", "application/x-www-form-urlencoded");
        self.send(form.body("class=nothing&".repeat(4000))).await;
    }

    async fn send_one_byte_chunks(&self, payloads: &Payloads) {
        let mut held = Vec::new();
        for path in [GENERATIONS, TOKENIZATIONS, IMAGES, "/"].repeat(5) {
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
            let request = [head.as_bytes(), &payloads.chunks].concat();
            held.extend(self.connect_and_send(&request).await);
        }
        self.hold(held).await;
    }

    async fn open_idle_connections(&self) {
        let mut held = Vec::new();
        for _ in 0..300 {
            held.extend(self.connect().await);
        }
        self.hold(held).await;
    }

    async fn send_idle_bodies(&self) {
        let mut held = Vec::new();
        for path in [GENERATIONS, TOKENIZATIONS].repeat(4) {
            let head =
                format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n");
            let request = [head.as_bytes(), b"20000\r\n", &[b' '; 0x20000], b"\r\n"].concat();
            held.extend(self.connect_and_send(&request).await);
        }
        self.hold(held).await;
    }

    async fn send_slow_headers(&self) {
        let mut held = Vec::new();
        for _ in 0..100 {
            held.extend(self.connect_and_send(b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ").await);
        }
        self.hold(held).await;
        let long = "x".repeat(100_000);
        let header = format!("GET / HTTP/1.1\r\nhost: localhost\r\nlong: {long}\r\n\r\n");
        let broken = ["\u{16}\u{3}\u{1}\r\n\r\n".to_owned(), "GET / HTTP/9.9\r\n\r\n".into(), header];
        let mut held = Vec::new();
        for text in broken {
            held.extend(self.connect_and_send(text.as_bytes()).await);
        }
        self.hold(held).await;
    }

    async fn ask_for_animations(&self, job: &str) {
        for format in ["gif", "png", "webp"] {
            let delay = rand::rng().random_range(20..5000);
            let scale = rand::rng().random_range(1..=10);
            self.send(self.get(&format!("{job}/animation.{format}?which=noisy&scale={scale}&delay={delay}")))
                .await;
        }
    }

    async fn create_and_delete(&self) {
        let created = self.send(self.post(GENERATIONS).json(&json!({"class": 0}))).await;
        let own = created.and_then(|(_, job)| Some(job["links"]["self"].as_str()?.to_owned()));
        if let Some(own) = own {
            self.send(self.delete(&own)).await;
        }
    }

    async fn name_foreign_host(&self) {
        for path in ["/", "/api/v1/models", "/metrics"] {
            let answer = self.send(self.get(path).header("host", "evil.example")).await;
            assert!(answer.is_none_or(|(status, _)| status == 403), "{path}");
        }
    }

    /// Asks for much, a hundred times, and reads none of it.
    async fn leave_unread(&self, path: &str) {
        let requests = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(100);
        let mut held = Vec::new();
        for _ in 0..20 {
            held.extend(self.connect_and_send(requests.as_bytes()).await);
        }
        self.hold(held).await;
    }

    async fn send_compressed_bombs(&self, payloads: &Payloads) {
        for path in [GENERATIONS, TOKENIZATIONS, IMAGES] {
            for (encoding, bomb) in &payloads.compressed {
                self.send(self.post_json(path, bomb.clone()).header("content-encoding", *encoding)).await;
            }
        }
    }

    /// Announces that the decoder has to remember 128 MiB, and sends one byte.
    async fn open_wide_windows(&self) {
        let zstd = [0x28, 0xb5, 0x2f, 0xfd, 0, 0x88, 0x08, 0, 0, b' '];
        let mut held = Vec::new();
        for path in [GENERATIONS, TOKENIZATIONS, IMAGES].repeat(20) {
            let head = format!("POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-encoding: zstd\r\n");
            let head = format!("{head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n");
            held.extend(self.connect_and_send(&[head.as_bytes(), &zstd].concat()).await);
        }
        self.hold(held).await;
    }

    async fn send_broken_json(&self, payloads: &Payloads) {
        for body in &payloads.broken {
            self.send(self.post_json(GENERATIONS, body.clone())).await;
            self.send(self.post_json(TOKENIZATIONS, body.clone())).await;
        }
    }

    async fn guess_addresses(&self) {
        let long = "%41".repeat(8_000);
        for path in [
            &format!("{GENERATIONS}/{long}"),
            &format!("/{long}"),
            "/%00",
            "/static/../Cargo.toml",
            "//api/v1/models",
        ] {
            self.send(self.get(path)).await;
        }
    }
}

/// An object with so many unknown fields.
fn unknown_fields(count: usize) -> String {
    let mut body = "{\"class\":0".to_owned();
    for number in 0..count {
        write!(body, ",\"f{number}\":1").unwrap();
    }
    body + "}"
}
