//! Random jobs while parts are killed at random: every accepted job ends once, and all gateways tell the same.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::system::{Gateway, Process, System, tokens};

#[tokio::test]
async fn random_jobs_with_random_kills_end_exactly_once() {
    let jobs: usize = std::env::var("RDPM_QUEUE_JOBS").map_or(50, |count| count.parse().unwrap());
    let seed: u64 = std::env::var("RDPM_SOAK_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("{jobs} jobs, RDPM_SOAK_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut system = System::start();
    // All jobs stay readable until the end of the test.
    let arguments = "--queue-attempts 50 --retention 7200 --job-timeout 7200";
    system.arguments.extend(arguments.split(' ').map(str::to_owned));
    let start =
        |system: &System| system.gateway_with(&["--retention-jobs", "10000", "--retention-mib", "2000"]);
    let mut gateways = [start(&system), start(&system)];
    let mut workers: Vec<Process> = vec![system.worker(), system.worker()];
    for gateway in &gateways {
        gateway.wait_for("/health/ready", StatusCode::OK).await;
    }
    let mut accepted = Vec::new();
    let mut kills = [0; 4];
    while accepted.len() < jobs {
        let body = json!({
            "class": "Bag", "seed": random.random_range(0..1000), "count": random.random_range(1..=8),
            "previews": random.random_bool(0.3),
        });
        let gateway = &gateways[random.random_range(0..2)];
        let response = gateway.try_send(Method::POST, "/api/v1/generations", &[], Some(&body)).await;
        match response {
            Ok(response) if response.status() == StatusCode::ACCEPTED => {
                let answer: serde_json::Value = response.json().await.unwrap();
                let id = answer["id"].as_str().unwrap().to_owned();
                if random.random_bool(0.15) {
                    let other = &gateways[random.random_range(0..2)];
                    let path = format!("/api/v1/generations/{id}");
                    let _ = other.try_send(Method::DELETE, &path, &[], None).await;
                }
                accepted.push((id, body));
            }
            // The queue is full or restarting.
            Ok(response) => {
                assert!(matches!(response.status().as_u16(), 429 | 503), "{response:?}");
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            Err(error) => panic!("{error}"),
        }
        if random.random_bool(0.2) {
            let at = random.random_range(0..2);
            match random.random_range(0..10) {
                0..4 => {
                    workers[at].kill();
                    workers[at] = system.worker();
                    kills[0] += 1;
                }
                4..6 => {
                    workers[at].signal(libc::SIGSTOP);
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    workers[at].signal(libc::SIGCONT);
                    kills[1] += 1;
                }
                6..9 => {
                    gateways[at].program.0.kill().unwrap();
                    gateways[at] = start(&system);
                    gateways[at].wait_for("/health/ready", StatusCode::OK).await;
                    kills[2] += 1;
                }
                _ => {
                    system.nats.take().unwrap().kill();
                    system.start_nats(&[]);
                    kills[3] += 1;
                }
            }
        }
    }
    println!(
        "killed: {} workers, {} frozen, {} gateways, {} servers",
        kills[0], kills[1], kills[2], kills[3]
    );
    let server = Gateway::embedded();
    let mut counts = [0; 3];
    for (at, (id, body)) in accepted.iter().enumerate() {
        let job = gateways[0].ended(id).await;
        let status = job["status"].as_str().unwrap().to_owned();
        let events = gateways[0].events(id).await;
        let ends = events.iter().filter(|it| ["completed", "failed", "canceled"].contains(&it.name.as_str()));
        assert_eq!(ends.count(), 1, "{id}");
        assert_eq!(events.last().unwrap().name, status, "{id}");
        assert_eq!(gateways[1].ended(id).await["status"], status.as_str());
        assert_eq!(gateways[1].events(id).await, events, "{id}");
        let found = tokens(&events);
        counts[match status.as_str() {
            "completed" => 0,
            "canceled" => 1,
            _ => 2,
        }] += 1;
        // Each tenth, as the comparison draws it again.
        if status == "completed" && at % 10 == 0 {
            let own = server.post(body).await;
            assert_eq!(tokens(&server.events(&own).await), found, "{body}");
        }
    }
    println!("{} completed, {} canceled, {} failed", counts[0], counts[1], counts[2]);
    assert_eq!(counts[2], 0, "no job fails");
}
