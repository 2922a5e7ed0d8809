//! The server's metrics and the memory of its process.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::client::Api;

/// The time between two polls of the server.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The allowed growth of the resident memory between the second and the last quarter of a soak, for the allocator and the
/// varying number of ended jobs. Without a leak it was below 1 MiB.
const ALLOWED_KIB: f64 = 8.0 * 1024.0;

/// The resident memory of a process over time.
pub struct Memory {
    process: u32,
    started: Instant,
    /// Times and KiB.
    samples: Vec<(Duration, f64)>,
}

impl Memory {
    pub fn of(process: u32) -> Self {
        Self { process, started: Instant::now(), samples: Vec::new() }
    }

    /// Polls the memory and the server's readiness.
    pub async fn watch(&mut self, api: &Api) {
        loop {
            let ready = api.get("/health/ready").await.expect("an answer from /health/ready");
            assert_eq!(ready.status(), 200, "/health/ready");
            if let Some(kib) = resident(self.process) {
                self.samples.push((self.started.elapsed(), kib));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// The memory at the start, in the middle and at the end.
    pub fn summary(&self) -> Vec<(&'static str, f64)> {
        let at = |index: usize| self.samples.get(index).map(|&(_, kib)| kib);
        let last = self.samples.len().saturating_sub(1);
        let summary = [("start", at(0)), ("middle", at(last / 2)), ("end", at(last))];
        summary.into_iter().filter_map(|(when, kib)| Some((when, kib?))).collect()
    }

    /// Compares the medians of the second quarter, when all buffers have been used, and of the last one. A median ignores
    /// short peaks.
    pub fn assert_no_growth(&self, length: Duration) {
        let median = |quarter: u32| {
            let of_quarter = |&&(when, _): &&(Duration, f64)| {
                when >= length * (quarter - 1) / 4 && when < length * quarter / 4
            };
            let mut sorted: Vec<f64> = self.samples.iter().filter(of_quarter).map(|&(_, kib)| kib).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.get(sorted.len() / 2).copied()
        };
        // Unknown on systems without /proc.
        let (Some(warm), Some(last)) = (median(2), median(4)) else { return };
        println!("{:<28} {:>8.1}", "MiB grown since the warm-up", (last - warm) / 1024.0);
        assert!(last - warm <= ALLOWED_KIB, "memory grew from {warm} KiB to {last} KiB");
    }
}

/// The resident memory of a process in KiB, without file pages, which the system evicts at will.
fn resident(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The server's metrics by name and labels.
pub async fn metrics(api: &Api) -> HashMap<String, f64> {
    let response = api.get("/metrics").await.expect("an answer from /metrics");
    assert_eq!(response.status(), 200, "/metrics");
    let text = response.text().await.expect("the metrics");
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(name, value)| (name.to_owned(), value.parse().expect("a number"))).collect()
}

/// Waits until the queue is empty, no slot is in use (a canceled image uses its slot until the running step ends) and the
/// ended jobs are evicted.
pub async fn wait_until_empty(api: &Api) {
    let gauges = ["rdpm_queue_images", "rdpm_slots_in_use", "rdpm_live_jobs", "rdpm_ended_jobs"];
    let mut left = HashMap::new();
    for _ in 0..120 {
        left = metrics(api).await;
        left.retain(|name, &mut value| value != 0.0 && gauges.iter().any(|gauge| name.starts_with(gauge)));
        if left.is_empty() {
            return;
        }
        sleep(POLL_INTERVAL).await;
    }
    panic!("all jobs have ended, but {left:?}");
}
