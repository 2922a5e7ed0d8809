//! Generates load on a server over HTTP: closed loop (each client sends its next request when the last is completed) and
//! open loop (requests arrive independently of completions).
//!
//! It runs on one thread, because the server needs the cores, and of a message it reads the event name only.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};

use crate::client::{Api, Messages};

/// The results of a load.
#[derive(Debug, Default)]
pub struct LoadResult {
    /// Images per second.
    pub throughput: f64,
    /// The latencies of requests that arrived in the window and were completed.
    pub requests: Vec<Latency>,
    /// Number of requests that were refused because the queue was full.
    pub refused: usize,
    /// The share of a core that generating the load used; `None` if the system doesn't report it.
    pub generator_cpu: Option<f64>,
}

/// The latencies of a request, from its arrival.
#[derive(Debug, Clone, Copy)]
pub struct Latency {
    /// To the first `step` event.
    pub first_step: Duration,
    /// To the `completed` event, which contains the image.
    pub completed: Duration,
}

/// A generator of load on one server.
pub struct LoadGenerator {
    pub api: Api,
    /// T, the model's number of steps.
    pub steps: usize,
    /// The model's number of classes.
    pub classes: usize,
    /// The server's `--max-batch`.
    pub max_batch: usize,
    /// Duration of the measurement, after a warm-up.
    pub window: Duration,
}

impl LoadGenerator {
    /// Closed loop: `clients` clients, each with one request in flight.
    ///
    /// The window opens when each client's first request is completed. Requests that arrive in it are followed to their
    /// ends.
    pub async fn closed_loop(&self, clients: usize, previews: bool) -> anyhow::Result<LoadResult> {
        let cpu = CpuUsage::start();
        let (completed_clients, opened) = (Cell::new(0), Cell::new(None::<Instant>));
        let is_open = |now: Instant| opened.get().is_some_and(|opened| now < opened + self.window);
        let steps = RefCell::new(Vec::new());
        let requests = RefCell::new(Vec::new());
        let on_step = |now| {
            if is_open(now) {
                steps.borrow_mut().push(now);
            }
        };
        let client = async |client: usize| -> anyhow::Result<()> {
            for iteration in 0.. {
                let arrival = Instant::now();
                if opened.get().is_some_and(|opened| arrival >= opened + self.window) {
                    break;
                }
                let latency = self.request(iteration * clients + client, previews, arrival, on_step).await?;
                let latency = latency.context("the queue was full")?;
                if is_open(arrival) {
                    requests.borrow_mut().push(latency);
                }
                if iteration == 0 {
                    completed_clients.set(completed_clients.get() + 1);
                    if completed_clients.get() == clients {
                        opened.set(Some(Instant::now()));
                    }
                }
            }
            Ok(())
        };
        try_join_all((0..clients).map(client)).await?;
        let throughput = rate(&steps.into_inner(), clients.min(self.max_batch)) / self.steps as f64;
        Ok(LoadResult { throughput, requests: requests.into_inner(), refused: 0, generator_cpu: cpu.share() })
    }

    /// Open loop: requests arrive `rate` times per second as a Poisson process, whether or not earlier ones are completed.
    ///
    /// The window opens after a quarter of its length. Latencies count from a request's scheduled arrival, so that a late
    /// start would show.
    pub async fn open_loop(&self, rate: f64, seed: u64) -> anyhow::Result<LoadResult> {
        let opens = self.window / 4;
        let closes = opens + self.window;
        let (cpu, started) = (CpuUsage::start(), Instant::now());
        let (refused, steps) = (Cell::new(0), Cell::new(0));
        let requests = RefCell::new(Vec::new());
        let client = async |(number, due): (usize, Duration)| -> anyhow::Result<()> {
            sleep_until(started + due).await;
            let on_step = |now: Instant| {
                let is_open = now >= started + opens && now < started + closes;
                steps.set(steps.get() + usize::from(is_open));
            };
            match self.request(number, false, started + due, on_step).await? {
                Some(latency) if due >= opens => requests.borrow_mut().push(latency),
                Some(_) => {}
                None => refused.set(refused.get() + 1),
            }
            Ok(())
        };
        try_join_all(arrivals(rate, closes, seed)?.into_iter().enumerate().map(client)).await?;
        let throughput = steps.get() as f64 / self.steps as f64 / self.window.as_secs_f64();
        let requests = requests.into_inner();
        Ok(LoadResult { throughput, requests, refused: refused.get(), generator_cpu: cpu.share() })
    }

    /// Sends a request for one image and follows it to its end. `None` if the queue is full. Calls `on_step` for each step.
    async fn request(
        &self,
        number: usize,
        previews: bool,
        arrival: Instant,
        on_step: impl Fn(Instant),
    ) -> anyhow::Result<Option<Latency>> {
        let body = json!({"class": number % self.classes, "seed": number, "previews": previews});
        let response = self.api.post(&body).await?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Ok(None);
        }
        ensure!(
            response.status() == StatusCode::ACCEPTED,
            "{}: {}",
            response.status(),
            response.text().await?
        );
        let job: Value = response.json().await?;
        let path = job["links"]["events"].as_str().context("no link to the events")?;
        let mut messages = Messages::new(self.api.events(path, 0).await?.error_for_status()?);
        let (mut first_step, mut completed) = (None, None);
        while let Some(message) = messages.next().await? {
            let now = Instant::now();
            match message.event() {
                "step" => {
                    first_step.get_or_insert(now);
                    on_step(now);
                }
                "completed" => completed = Some(now),
                "queued" | "started" => {}
                other => anyhow::bail!("unexpected event: {other}"),
            }
        }
        let since =
            |time: Option<Instant>| time.map(|time| time - arrival).context("the event stream ended early");
        Ok(Some(Latency { first_step: since(first_step)?, completed: since(completed)? }))
    }
}

/// The processor time of this thread, which the server's threads can't use meanwhile.
struct CpuUsage {
    started: Instant,
    before: Option<f64>,
}

impl CpuUsage {
    fn start() -> Self {
        Self { started: Instant::now(), before: Self::seconds() }
    }

    /// The share of a core since the start.
    fn share(&self) -> Option<f64> {
        Some((Self::seconds()? - self.before?) / self.started.elapsed().as_secs_f64())
    }

    /// Processor time of this thread in seconds, as Linux reports it.
    fn seconds() -> Option<f64> {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = times.split_whitespace().next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    }
}

/// The rate per second of events that occur about `batch` at a time: from the mean time of the first `batch` events to
/// the mean time of the last, because a batch more or less at the window's edges would be an error of a few percent.
fn rate(times: &[Instant], batch: usize) -> f64 {
    let Some((&first, between)) = times.first().zip(times.len().checked_sub(batch)) else { return f64::NAN };
    let mean = |times: &[Instant]| {
        times.iter().map(|&time| (time - first).as_secs_f64()).sum::<f64>() / batch as f64
    };
    between as f64 / (mean(&times[between..]) - mean(&times[..batch]))
}

/// The arrivals of a Poisson process before `end`.
fn arrivals(rate: f64, end: Duration, seed: u64) -> anyhow::Result<Vec<Duration>> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let gaps = Exp::new(rate)?.sample_iter(&mut generator);
    let times = gaps.scan(0.0, |time, gap: f64| {
        *time += gap;
        Some(*time)
    });
    Ok(times.take_while(|&time| time < end.as_secs_f64()).map(Duration::from_secs_f64).collect())
}
