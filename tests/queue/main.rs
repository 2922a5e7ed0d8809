//! Gateways and workers with a real NATS server: jobs of several gateways, and the death of each part while jobs are drawn.
//!
//! `RDPM_QUEUE_JOBS` is the number of random jobs with random kills (50), `RDPM_QUEUE_CLUSTER=1` adds the test with three servers,
//! `RDPM_QUEUE_SOAK_SECONDS` is the time of the soak with faults (20).

mod cluster;
mod fairness;
mod faults;
mod gateways;
mod misuse;
#[path = "../nats_server/mod.rs"]
mod nats_server;
#[path = "../program/mod.rs"]
mod program;
mod random;
mod security;
mod soak;
mod system;
mod webhooks;
