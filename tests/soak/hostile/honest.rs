//! Honest clients: each opens the page, draws a picture and loads it enlarged, and comes back a second later.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::sleep;

/// The pause after a visit: with it a client stays within the rate limit.
const PAUSE: Duration = Duration::from_millis(1100);
/// The parts of a visit.
const PARTS: [&str; 4] = ["page", "models", "generation", "picture"];

/// The times that visits took.
#[derive(Debug, Default)]
pub struct Visits {
    times: Vec<[Duration; PARTS.len()]>,
    refused: usize,
}

impl Visits {
    pub fn and(mut self, other: Self) -> Self {
        self.times.extend(other.times);
        self.refused += other.refused;
        self
    }

    /// Visits, those that were refused included.
    pub fn count(&self) -> usize {
        self.times.len() + self.refused
    }

    /// Visits of which a part was answered with 503 and `Retry-After`.
    pub fn refused(&self) -> usize {
        self.refused
    }

    /// The 99th percentile of whole visits.
    pub fn percentile_99(&self) -> Duration {
        percentile(self.times.iter().map(|parts| parts.iter().sum()), 0.99)
    }

    pub fn report(&self, when: &str) {
        println!("{when}: {} visits, {} refused", self.count(), self.refused);
        println!("{:<28} {:>12} {:>12}", "milliseconds", "median", "99th perc.");
        let row = |name: &str, times: Vec<Duration>| {
            let [median, high] =
                [0.5, 0.99].map(|part| percentile(times.iter().copied(), part).as_secs_f64() * 1e3);
            println!("{name:<28} {median:>12.1} {high:>12.1}");
        };
        for (at, part) in PARTS.into_iter().enumerate() {
            row(part, self.times.iter().map(|parts| parts[at]).collect());
        }
        row("visit", self.times.iter().map(|parts| parts.iter().sum()).collect());
    }
}

fn percentile(times: impl Iterator<Item = Duration>, part: f64) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    let at = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
    times.get(at).copied().unwrap_or_default()
}

/// Visits the server until a time.
pub async fn visit(source: IpAddr, server: SocketAddr, until: Instant) -> Visits {
    let client = Client::builder()
        .local_address(source)
        .pool_idle_timeout(Duration::from_secs(2))
        .timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let url = |path: &str| format!("http://{server}{path}");
    let mut visits = Visits::default();
    let mut seed = 0;
    while Instant::now() < until {
        seed += 1;
        let draw = json!({"class": seed % 2, "seed": seed});
        let one = async {
            let page = timed(client.get(url("/"))).await?.0;
            let models = timed(client.get(url("/api/v1/models"))).await?.0;
            let (drawn, job) = timed(client.post(url("/api/v1/generations?wait=true")).json(&draw)).await?;
            let job: Value = serde_json::from_slice(&job).unwrap();
            assert_eq!(job["status"], "completed", "{job}");
            let picture = url(&format!("{}?scale=4", job["images"][0]["url"].as_str().unwrap()));
            let picture = timed(client.get(picture)).await?.0;
            Some([page, models, drawn, picture])
        };
        match one.await {
            Some(times) => visits.times.push(times),
            None => visits.refused += 1,
        }
        sleep(PAUSE).await;
    }
    visits
}

/// The time until the whole answer is there, and its body. `None` for an honest refusal.
async fn timed(request: RequestBuilder) -> Option<(Duration, Vec<u8>)> {
    let started = Instant::now();
    let response = request.send().await.unwrap_or_else(|error| panic!("an honest client: {error:?}"));
    let status = response.status().as_u16();
    if status == 503 {
        assert!(response.headers().contains_key("retry-after"), "503 without Retry-After");
        return None;
    }
    assert_eq!(status, 200, "an honest client's {}", response.url());
    let body = response.bytes().await.unwrap_or_else(|error| panic!("an honest client: {error:?}"));
    Some((started.elapsed(), body.into()))
}
