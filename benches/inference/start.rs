//! How soon the server is ready after it was started, and how much memory it holds.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::json;
use tokio::runtime::Runtime;

use crate::client::Api;
use crate::memory;
use crate::program::{self, Program};

/// Servers that are started, one after the other.
const STARTS: usize = 7;
/// Images of the request that memory is measured with.
const IMAGES: usize = 8;

/// What was measured of a server.
pub struct Start {
    /// From its start to the first answer that says it is ready.
    pub ready: Duration,
    /// Resident when it was ready, in bytes.
    pub idle: u64,
    /// Most that was resident while it drew, in bytes.
    pub drawing: u64,
}

/// Starts the server a few times. By rising time to readiness.
pub fn measure(model: &str) -> anyhow::Result<Vec<Start>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut starts = (0..STARTS).map(|_| once(model, &runtime)).collect::<anyhow::Result<Vec<_>>>()?;
    starts.sort_by_key(|start| start.ready);
    Ok(starts)
}

fn once(model: &str, runtime: &Runtime) -> anyhow::Result<Start> {
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
        let idle = memory::resident(program.0.id())?;
        let answer = api.post(&json!({"class": 0, "count": IMAGES})).await?;
        ensure!(answer.status() == 202, "not accepted: {}", answer.text().await?);
        let answer: serde_json::Value = answer.json().await?;
        let events = answer["links"]["events"].as_str().context("no link to the events")?;
        api.get(events).await?.text().await?; // all of them, to the end
        Ok(Start { ready, idle, drawing: memory::peak(program.0.id())? })
    })
}
