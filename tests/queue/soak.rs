//! Clients that draw, cancel and read on elsewhere, while parts are killed, stopped and restarted at random.
//! `RDPM_QUEUE_SOAK_SECONDS` is the time (20), `RDPM_SOAK_SEED` the seed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::system::{Process, Stream, StreamEvent, System, tokens};

const CLIENTS: u64 = 4;
const STEPS: usize = 10;
/// The longest time until a request is answered by some gateway, whatever is killed.
const LIMIT: Duration = Duration::from_secs(90);
/// The most memory of a gateway. It keeps the jobs of a minute.
const MAX_RESIDENT: u64 = 300 << 20;

/// What clients count.
#[derive(Default)]
struct Counts {
    completed: AtomicUsize,
    canceled: AtomicUsize,
    resumed: AtomicUsize,
    redrawn: AtomicUsize,
}

/// A client that knows both gateways, wherever they listen now.
struct SoakClient {
    http: Client,
    urls: Arc<Mutex<Vec<String>>>,
    random: StdRng,
    token: String,
    counts: Arc<Counts>,
}

impl SoakClient {
    /// Sends a request to random gateways until one answers it. What a client would try again is tried again.
    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        add: impl Fn(RequestBuilder) -> RequestBuilder,
    ) -> Response {
        let started = Instant::now();
        loop {
            let url = self.urls.lock()[self.random.random_range(0..2)].clone();
            let request = self.http.request(method.clone(), format!("{url}{path}"));
            let answer = add(request.header("rdpm-client", &self.token)).send().await;
            match answer {
                Ok(answer) if !matches!(answer.status().as_u16(), 429 | 503) => return answer,
                answer => assert!(started.elapsed() < LIMIT, "{method} {path}: {answer:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Draws until the time is over.
    async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            self.draw().await;
        }
    }

    async fn draw(&mut self) {
        let count: usize = self.random.random_range(1..=6);
        let body = json!({"class": "Bag", "seed": self.random.random_range(0..1000), "count": count,
                          "previews": self.random.random_bool(0.2)});
        let key = format!("{:x}", self.random.random::<u64>());
        let add = |request: RequestBuilder| request.header("idempotency-key", &key).json(&body);
        let answer = self.send(&Method::POST, "/api/v1/generations", add).await;
        let status = answer.status();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
        let path = format!("/api/v1/generations/{}", answer["id"].as_str().unwrap());
        let is_canceled = self.random.random_bool(0.2);
        if is_canceled {
            tokio::time::sleep(Duration::from_millis(self.random.random_range(0..400))).await;
            let answer = self.send(&Method::DELETE, &path, |request| request).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
        }
        let events = self.read(&path).await;
        let end = &events.last().unwrap().name;
        let images = tokens(&events);
        match end.as_str() {
            "completed" => {
                assert_eq!(images.len(), count, "{path}");
                assert!(images.iter().all(|steps| steps.len() == STEPS), "{path}");
                self.counts.completed.fetch_add(1, Ordering::Relaxed);
            }
            "canceled" if is_canceled => drop(self.counts.canceled.fetch_add(1, Ordering::Relaxed)),
            _ => panic!("{path}: {:?}", events.last().unwrap()),
        }
        let redrawn = events.iter().filter(|event| event.name == "redrawn").count();
        self.counts.redrawn.fetch_add(redrawn, Ordering::Relaxed);
        // Any gateway says the same, and says it again. It may read the end a moment later.
        assert_eq!(self.read(&path).await, events, "{path}");
        loop {
            let job: Value = self.send(&Method::GET, &path, |request| request).await.json().await.unwrap();
            match job["status"].as_str().unwrap() {
                "queued" | "running" => tokio::time::sleep(Duration::from_millis(20)).await,
                status => break assert_eq!(status, end, "{path}"),
            }
        }
    }

    /// Reads all events of a job, at as many gateways as it takes.
    async fn read(&mut self, path: &str) -> Vec<StreamEvent> {
        let mut events: Vec<StreamEvent> = Vec::new();
        let path = format!("{path}/events");
        let started = Instant::now();
        loop {
            let after = events.len().to_string();
            let add = |request: RequestBuilder| request.header("last-event-id", &after);
            let answer = self.send(&Method::GET, &path, add).await;
            assert_eq!(answer.status(), StatusCode::OK, "{path} after {after}");
            let mut stream = Stream::new(answer);
            while stream.next().await {}
            events.append(&mut stream.events);
            let ends =
                |event: &&StreamEvent| ["completed", "failed", "canceled"].contains(&event.name.as_str());
            if let Some(end) = events.iter().find(ends) {
                assert_eq!(Some(end), events.last(), "{path}: there is one end, and nothing after it");
                return events;
            }
            self.counts.resumed.fetch_add(1, Ordering::Relaxed);
            assert!(started.elapsed() < LIMIT, "{path} does not end: {:?}", events.last());
        }
    }
}

fn resident_bytes(process: u32) -> u64 {
    let pages = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_job_ends_once_while_parts_fail_at_random() {
    let seconds: u64 = std::env::var("RDPM_QUEUE_SOAK_SECONDS").map_or(20, |text| text.parse().unwrap());
    let seed: u64 = std::env::var("RDPM_SOAK_SEED").map_or(1, |text| text.parse().unwrap());
    println!("{seconds} s, RDPM_SOAK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut system = System::start();
    for argument in ["--queue-attempts", "50", "--retention", "60", "--job-timeout", "80"] {
        system.arguments.push(argument.into());
    }
    let mut gateways = [system.gateway(), system.gateway()];
    let mut workers: Vec<Process> = (0..3).map(|_| system.worker_with(&["--max-batch", "4"])).collect();
    for gateway in &gateways {
        gateway.wait_for_workers(3).await;
    }
    let urls = Arc::new(Mutex::new(gateways.iter().map(|gateway| gateway.url.clone()).collect()));
    let (counts, until) = (Arc::new(Counts::default()), Instant::now() + Duration::from_secs(seconds));
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let client = SoakClient {
            http: Client::builder().connect_timeout(Duration::from_secs(5)).build().unwrap(),
            urls: Arc::clone(&urls),
            random: StdRng::seed_from_u64(seed * 1000 + number),
            token: format!("the-token-of-client-{number}"),
            counts: Arc::clone(&counts),
        };
        clients.spawn(client.run(until));
    }
    let (mut faults, mut largest) = ([0; 4], 0);
    while Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..2000))).await;
        let worker = random.random_range(0..3);
        let fault = match random.random_range(0..10) {
            0..4 => {
                workers[worker].kill();
                workers[worker] = system.worker_with(&["--max-batch", "4"]);
                0
            }
            4..7 => {
                workers[worker].signal(libc::SIGSTOP);
                tokio::time::sleep(Duration::from_millis(random.random_range(500..3000))).await;
                workers[worker].signal(libc::SIGCONT);
                1
            }
            7..9 => {
                let at = random.random_range(0..2);
                gateways[at].program.0.kill().unwrap();
                gateways[at] = system.gateway();
                urls.lock()[at] = gateways[at].url.clone();
                2
            }
            _ => {
                system.nats.take().unwrap().kill();
                system.start_nats(&[]);
                3
            }
        };
        faults[fault] += 1;
        for gateway in &gateways {
            largest = largest.max(resident_bytes(gateway.program.0.id()));
        }
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    for gateway in &gateways {
        largest = largest.max(resident_bytes(gateway.program.0.id()));
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    println!(
        "{} completed, {} canceled, {} streams resumed, {} redrawn; killed {} workers, {} gateways, {} servers, {} workers \
         frozen; gateways took up to {} MiB",
        count(&counts.completed),
        count(&counts.canceled),
        count(&counts.resumed),
        count(&counts.redrawn),
        faults[0],
        faults[2],
        faults[3],
        faults[1],
        largest >> 20,
    );
    assert!(count(&counts.completed) > 0);
    assert_eq!(count(&counts.redrawn), 0, "all workers have the same kind of device");
    assert!(largest < MAX_RESIDENT, "{largest} bytes");
}
