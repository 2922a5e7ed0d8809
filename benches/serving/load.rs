//! Load on a server over HTTP: closed loop (clients that ask again when they are served) and open loop (clients that
//! come when they come).
//!
//! All of it runs on one thread, because the server needs the cores: messages are read no further than their names.

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

/// What a load saw of a server.
#[derive(Debug, Default)]
pub struct Seen {
    /// Images per second.
    pub throughput: f64,
    /// The requests that arrived in the window and were served.
    pub requests: Vec<Times>,
    /// The requests that found the queue full.
    pub refused: usize,
    /// The share of a core that making the load took, where the system says it.
    pub effort: Option<f64>,
}

/// How long a request waited, from its arrival.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Until the first `step` event.
    pub first_step: Duration,
    /// Until the `completed` event, which has the image.
    pub completed: Duration,
}

/// How to load a server.
pub struct Load {
    pub api: Api,
    /// T.
    pub steps: usize,
    pub classes: usize,
    pub max_batch: usize,
    /// How long is measured, after a warm-up.
    pub window: Duration,
}

impl Load {
    /// `clients` clients, each with one request in flight: post, follow the stream to its end, again.
    ///
    /// The window opens when each client has been served once. Requests that arrive in it are followed to their ends.
    pub async fn closed(&self, clients: usize, previews: bool) -> anyhow::Result<Seen> {
        let effort = Effort::start();
        let (served, opened) = (Cell::new(0), Cell::new(None::<Instant>));
        let open = |now: Instant| opened.get().is_some_and(|opened| now < opened + self.window);
        let steps = RefCell::new(Vec::new());
        let requests = RefCell::new(Vec::new());
        let on_step = |now| {
            if open(now) {
                steps.borrow_mut().push(now);
            }
        };
        let client = async |client: usize| -> anyhow::Result<()> {
            for turn in 0.. {
                let arrival = Instant::now();
                if opened.get().is_some_and(|opened| arrival >= opened + self.window) {
                    break;
                }
                let times = self.request(turn * clients + client, previews, arrival, on_step).await?;
                let times = times.context("the queue was full")?;
                if open(arrival) {
                    requests.borrow_mut().push(times);
                }
                if turn == 0 {
                    served.set(served.get() + 1);
                    if served.get() == clients {
                        opened.set(Some(Instant::now()));
                    }
                }
            }
            Ok(())
        };
        try_join_all((0..clients).map(client)).await?;
        let throughput = rate(&steps.into_inner(), clients.min(self.max_batch)) / self.steps as f64;
        Ok(Seen { throughput, requests: requests.into_inner(), refused: 0, effort: effort.share() })
    }

    /// Requests that arrive `rate` times a second, independently of each other (a Poisson process, which many clients
    /// together are, however many) and whether or not earlier ones have been served. The window opens after a quarter
    /// of its length. Times count from a request's due arrival, so that a late start would show.
    pub async fn open(&self, rate: f64, seed: u64) -> anyhow::Result<Seen> {
        let opens = self.window / 4;
        let closes = opens + self.window;
        let (effort, started) = (Effort::start(), Instant::now());
        let (refused, drawn) = (Cell::new(0), Cell::new(0));
        let requests = RefCell::new(Vec::new());
        let client = async |(number, due): (usize, Duration)| -> anyhow::Result<()> {
            sleep_until(started + due).await;
            let on_step = |now: Instant| {
                let open = now >= started + opens && now < started + closes;
                drawn.set(drawn.get() + usize::from(open));
            };
            match self.request(number, false, started + due, on_step).await? {
                Some(times) if due >= opens => requests.borrow_mut().push(times),
                Some(_) => {}
                None => refused.set(refused.get() + 1),
            }
            Ok(())
        };
        try_join_all(arrivals(rate, closes, seed)?.into_iter().enumerate().map(client)).await?;
        let throughput = drawn.get() as f64 / self.steps as f64 / self.window.as_secs_f64();
        let requests = requests.into_inner();
        Ok(Seen { throughput, requests, refused: refused.get(), effort: effort.share() })
    }

    /// One request for one image, followed to its end. `None` where the queue is full. `on_step` hears of each step.
    async fn request(
        &self,
        number: usize,
        previews: bool,
        arrival: Instant,
        on_step: impl Fn(Instant),
    ) -> anyhow::Result<Option<Times>> {
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
        let path = job["links"]["events"].as_str().context("a job without events")?;
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
                other => anyhow::bail!("a job ended with {other}"),
            }
        }
        let since = |time: Option<Instant>| time.map(|time| time - arrival).context("a stream ended early");
        Ok(Some(Times { first_step: since(first_step)?, completed: since(completed)? }))
    }
}

/// What this thread works, which the server's threads can't meanwhile.
struct Effort {
    started: Instant,
    before: Option<f64>,
}

impl Effort {
    fn start() -> Self {
        Self { started: Instant::now(), before: Self::seconds() }
    }

    /// The share of a core since the start.
    fn share(&self) -> Option<f64> {
        Some((Self::seconds()? - self.before?) / self.started.elapsed().as_secs_f64())
    }

    /// Processor time of this thread, as Linux tells it.
    fn seconds() -> Option<f64> {
        let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        let nanoseconds: f64 = times.split_whitespace().next()?.parse().ok()?;
        Some(nanoseconds / 1e9)
    }
}

/// Events a second, of events that come about `batch` at a time: from the mean time of the first so many to the mean
/// time of the last so many, because a batch more or less at the window's edges would be a few percent.
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
