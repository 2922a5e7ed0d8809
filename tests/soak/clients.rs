//! Clients with random behavior.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rdpm::engine::Options;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Tally;
use crate::client::Api;
use crate::job::{Job, Link, is_end};

/// What a client does with one of its jobs.
#[derive(Debug, Clone, Copy)]
enum Behavior {
    /// Reads the event stream to its end.
    Follow,
    /// Reads this number of messages and disconnects.
    Disconnect(usize),
    /// Disconnects after every this number of messages and reconnects after a pause.
    Reconnect(usize, Duration),
    /// Cancels after a while.
    Cancel(Duration),
    /// Reads the event stream and cancels after a while.
    FollowAndCancel(Duration),
    /// Polls the job's state.
    Poll,
    /// Opens the event stream, waits, then reads all of it.
    ReadLate(Duration),
    /// Opens the event stream, waits, and disconnects without reading.
    ReadNothing(Duration),
}

/// One client.
pub struct Client<'a> {
    number: u64,
    generator: ChaCha8Rng,
    api: &'a Api,
    tally: &'a RefCell<Tally>,
}

impl<'a> Client<'a> {
    pub fn new(number: u64, seed: u64, api: &'a Api, tally: &'a RefCell<Tally>) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(number);
        Self { number, generator, api, tally }
    }

    /// Runs one job after the other, each to its end, until the time is over.
    pub async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            let behavior = self.behavior();
            let body = self.body();
            let name = format!("client {}, {behavior:?}, {body}", self.number);
            match self.post(&name, &body).await {
                Some(job) => self.run_job(job, behavior, &body).await,
                None => self.pause(100..1000).await,
            }
            self.pause(0..300).await;
        }
    }

    fn behavior(&mut self) -> Behavior {
        let messages = self.generator.random_range(1..12);
        let mut time = |most| Duration::from_millis(self.generator.random_range(0..most));
        // A client that disconnects after each of a job's forty or so messages must read the last one before the server
        // evicts the job, 10 seconds after its end.
        let (short, long) = (time(100), time(5000));
        match self.generator.random_range(0..8) {
            0 => Behavior::Follow,
            1 => Behavior::Disconnect(messages),
            2 => Behavior::Reconnect(messages, short),
            3 => Behavior::Cancel(long),
            4 => Behavior::FollowAndCancel(long),
            5 => Behavior::Poll,
            6 => Behavior::ReadLate(long),
            _ => Behavior::ReadNothing(long),
        }
    }

    fn body(&mut self) -> Value {
        let random = &mut self.generator;
        json!({
            "class": random.random_range(0..10),
            "seed": random.random_range(0..1_000_000),
            "count": random.random_range(1..=4),
            "guidance": random.random_range(1..=2),
            "previews": random.random_bool(0.5),
            "cancel_on_disconnect": random.random_bool(0.5),
        })
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        sleep(Duration::from_millis(self.generator.random_range(milliseconds))).await;
    }

    /// Posts a generation request; `None` if the queue is full.
    async fn post(&self, name: &str, body: &Value) -> Option<Job<'a>> {
        let response = self.api.post(body).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(response.headers().contains_key("retry-after"), "{name}: 429 without Retry-After");
            self.tally.borrow_mut().refused += 1;
            return None;
        }
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{name}");
        let accepted = response.json().await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        Some(Job::new(self.api, name, body, &accepted))
    }

    /// Runs a job to its end, checks that the end is allowed, and counts it.
    async fn run_job(&mut self, mut job: Job<'a>, behavior: Behavior, body: &Value) {
        let mut may_be_canceled = false;
        let cancel_on_disconnect = body["cancel_on_disconnect"] == true;
        let end = match behavior {
            Behavior::Follow => self.follow(&mut job).await,
            Behavior::Poll => self.poll(&mut job).await,
            Behavior::Disconnect(messages) => {
                may_be_canceled = cancel_on_disconnect;
                self.disconnect(&mut job, messages).await
            }
            Behavior::Reconnect(messages, pause) => {
                let (end, longest) = self.keep_reconnecting(&mut job, messages, pause).await;
                may_be_canceled = cancel_on_disconnect && longest >= Options::default().disconnect_grace;
                end
            }
            Behavior::Cancel(after) => {
                may_be_canceled = true;
                self.cancel(&job.link, after).await
            }
            Behavior::FollowAndCancel(after) => {
                may_be_canceled = true;
                self.follow_and_cancel(&mut job, after).await
            }
            Behavior::ReadLate(pause) => self.read_late(&mut job, pause, true).await,
            Behavior::ReadNothing(pause) => {
                may_be_canceled = cancel_on_disconnect;
                self.read_late(&mut job, pause, false).await
            }
        };
        job.assert_end(&end).await;
        let status = end["status"].as_str().expect("a status");
        let is_allowed = status == "completed" || (status == "canceled" && may_be_canceled);
        assert!(is_allowed, "{}: it ended as {status}", job.link);
        self.count_end(status, &end);
    }

    fn count_end(&self, status: &str, end: &Value) {
        let finished = end["images"].as_array().map_or(0, Vec::len) as u64;
        let requested = end["count"].as_u64().expect("a count");
        let mut tally = self.tally.borrow_mut();
        *tally.jobs.entry(status.to_owned()).or_default() += 1;
        *tally.images.entry("completed".to_owned()).or_default() += finished;
        if status != "completed" {
            *tally.images.entry(status.to_owned()).or_default() += requested - finished;
        }
    }

    fn count_action(&self, action: &'static str) {
        self.tally.borrow_mut().count_action(action);
    }

    async fn follow(&self, job: &mut Job<'a>) -> Value {
        self.count_action("streams");
        let mut stream = job.open().await;
        job.read(&mut stream).await
    }

    async fn poll(&mut self, job: &mut Job<'a>) -> Value {
        loop {
            let state = job.fetch_state().await;
            if is_end(&state) {
                return state;
            }
            self.pause(50..500).await;
        }
    }

    async fn disconnect(&mut self, job: &mut Job<'a>, messages: usize) -> Value {
        self.count_action("streams");
        let mut stream = job.open().await;
        if let Some(end) = job.read_some(&mut stream, messages).await {
            return end;
        }
        drop(stream);
        self.count_action("disconnects");
        self.poll(job).await
    }

    /// Returns the end, and the longest time between two connections.
    async fn keep_reconnecting(
        &self,
        job: &mut Job<'a>,
        messages: usize,
        pause: Duration,
    ) -> (Value, Duration) {
        self.count_action("streams");
        let mut longest = Duration::ZERO;
        let mut stream = job.open().await;
        loop {
            if let Some(end) = job.read_some(&mut stream, messages).await {
                return (end, longest);
            }
            let disconnected = Instant::now();
            drop(stream);
            sleep(pause).await;
            self.count_action("reconnects");
            stream = job.open().await;
            longest = longest.max(disconnected.elapsed());
        }
    }

    async fn cancel(&self, job: &Link<'a>, after: Duration) -> Value {
        sleep(after).await;
        self.count_action("cancels");
        let state = job.delete().await;
        // Canceling twice changes nothing.
        assert_eq!(job.delete().await["status"], state["status"], "{job}: canceled again");
        state
    }

    async fn follow_and_cancel(&self, job: &mut Job<'a>, after: Duration) -> Value {
        let link = job.link.clone();
        let (end, state) = tokio::join!(self.follow(job), self.cancel(&link, after));
        assert_eq!(end["status"], state["status"], "{link}: its end for the stream and for DELETE");
        end
    }

    async fn read_late(&mut self, job: &mut Job<'a>, pause: Duration, reads: bool) -> Value {
        self.count_action("slow streams");
        let mut stream = job.open().await;
        sleep(pause).await;
        if reads {
            return job.read(&mut stream).await;
        }
        drop(stream);
        self.count_action("disconnects");
        self.poll(job).await
    }
}
