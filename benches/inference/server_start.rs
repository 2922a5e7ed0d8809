//! Measures how long the server takes to start, and its memory.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::client::Api;
use crate::memory;
use crate::program::{self, Program};

/// Number of servers to start, one after the other.
const STARTS: usize = 7;
/// Number of images of the request during which memory is measured.
const IMAGES: usize = 8;

/// Measurements of one server.
pub struct ServerStart {
    /// Time from the start to the first response that says it is ready.
    pub ready: Duration,
    /// Resident memory when it was ready, in bytes.
    pub idle_bytes: u64,
    /// Peak resident memory while it generated images, in bytes.
    pub peak_bytes: u64,
}

/// Starts the server [`STARTS`] times. Returns the measurements sorted by time.
pub fn measure(model: &str) -> anyhow::Result<Vec<ServerStart>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut starts =
        (0..STARTS).map(|_| measure_start(model, &runtime)).collect::<anyhow::Result<Vec<_>>>()?;
    starts.sort_by_key(|start| start.ready);
    Ok(starts)
}

fn measure_start(model: &str, runtime: &Runtime) -> anyhow::Result<ServerStart> {
    let started = Instant::now();
    let mut command = program::rdpm();
    command.args(["serve", "--port", "0", "--model", model, "--max-batch", &IMAGES.to_string()]);
    let (program, address) = Program::start(&mut command, "http://");
    let api = Api::new(&address);
    runtime.block_on(async {
        while !api.get("/health/ready").await?.status().is_success() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let ready = started.elapsed();
        let idle_bytes = memory::resident(program.0.id())?;
        let response = api.post(&json!({"class": 0, "count": IMAGES})).await?;
        ensure!(response.status() == 202, "not accepted: {}", response.text().await?);
        let response: serde_json::Value = response.json().await?;
        let events = response["links"]["events"].as_str().context("no link to the events")?;
        api.get(events).await?.text().await?; // until the job is completed
        Ok(ServerStart { ready, idle_bytes, peak_bytes: memory::peak(program.0.id())? })
    })
}
