//! Many open event streams over three gateways: real processes, real HTTP, a small real model.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;

use crate::memory::resident;
use crate::nats::Nats;
use crate::program::{Program, rdpm};

/// The number of gateways.
const GATEWAYS: usize = 3;
/// Jobs that the streams are of.
const JOBS: usize = 20;
/// Streams that are opened at once: a gateway's backlog of connections is limited.
const OPENING: usize = 200;

/// What was measured.
pub struct StreamsResult {
    pub streams: usize,
    /// Until all streams were open.
    pub opened: Duration,
    /// From the start of the worker until the last stream had its end, and the same of a single stream for comparison.
    pub ended: Duration,
    pub bytes: usize,
    /// Resident memory of a gateway for each of its streams.
    pub bytes_of_stream: u64,
}

/// Opens `streams` event streams of jobs that wait, over three gateways, then starts a worker and reads all streams to their
/// ends.
pub async fn measure(nats: &Nats, streams: usize) -> anyhow::Result<StreamsResult> {
    let command = |name: &str| {
        let mut command = rdpm();
        let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/eighth");
        command.env("RDPM_WEIGHTS", weights).arg(name).args(["--queue", &nats.url()]);
        command.args(["--queue-prefix", &format!("streams{streams}")]);
        command
    };
    let mut gateways = Vec::new();
    for _ in 0..GATEWAYS {
        let mut command = command("serve");
        command.args(["--port", "0", "--max-connections", "20000", "--max-connections-per-address", "0"]);
        command.args(["--max-streams", "20000"]);
        let (program, address) = Program::start(&mut command, "http://");
        gateways.push((program, address.parse::<SocketAddr>()?));
    }
    let http = reqwest::Client::new();
    let mut jobs = Vec::new();
    for seed in 0..JOBS {
        let url = format!("http://{}/api/v1/generations", gateways[seed % GATEWAYS].1);
        let body = json!({"class": 0, "seed": seed, "previews": false});
        let started = Instant::now();
        let answer: Value = loop {
            let response = http.post(&url).json(&body).send().await?;
            match response.status().as_u16() {
                202 => break response.json().await?,
                503 if started.elapsed() < Duration::from_secs(20) => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                status => {
                    anyhow::bail!("a generation was answered with {status}: {}", response.text().await?)
                }
            }
        };
        jobs.push(answer["id"].as_str().context("a job without an id")?.to_owned());
    }
    let memory = || gateways.iter().map(|(program, _)| resident(program.0.id())).sum::<anyhow::Result<u64>>();
    let before = memory()?;
    let opening = Arc::new(Semaphore::new(OPENING));
    let started = Instant::now();
    let mut opened = Vec::new();
    for number in 0..streams {
        let (address, id) = (gateways[number % GATEWAYS].1, jobs[number % JOBS].clone());
        let opening = Arc::clone(&opening);
        opened.push(tokio::spawn(async move {
            let _permit = opening.acquire_owned().await?;
            open(number, address, &id).await
        }));
    }
    let mut open_streams = Vec::new();
    for stream in opened {
        open_streams.push(stream.await??);
    }
    let opened = started.elapsed();
    let after = memory()?;
    let mut worker = command("work");
    let started = Instant::now();
    let _worker = Program(worker.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    let readers: Vec<_> = open_streams.into_iter().map(|stream| tokio::spawn(read_to_end(stream))).collect();
    let mut bytes = 0;
    for reader in readers {
        bytes += reader.await??;
    }
    Ok(StreamsResult {
        streams,
        opened,
        ended: started.elapsed(),
        bytes,
        bytes_of_stream: after.saturating_sub(before) / streams as u64,
    })
}

/// Opens a stream and reads its first event. Addresses of this machine have few ports, so it uses several.
async fn open(number: usize, gateway: SocketAddr, id: &str) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 1, 1 + (number / 5000) as u8], 0)))?;
    let mut stream = socket.connect(gateway).await?;
    let request = format!(
        "GET /api/v1/generations/{id}/events HTTP/1.1\r\nhost: {gateway}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut buffer = [0; 4096];
    let mut read = Vec::new();
    while !contains(&read, b"event: queued") {
        let count = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut buffer)).await??;
        ensure!(count > 0, "a stream ended early: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&buffer[..count]);
    }
    Ok(stream)
}

/// Reads a stream to its end, which must be that of a completed job; the number of bytes.
async fn read_to_end(mut stream: TcpStream) -> anyhow::Result<usize> {
    let mut read = Vec::new();
    tokio::time::timeout(Duration::from_secs(300), stream.read_to_end(&mut read)).await??;
    ensure!(contains(&read, b"event: completed"), "a stream without its end");
    Ok(read.len())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
