//! Clients that do as chance tells them.

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

/// What a client does with a job of its.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Follows the stream to its end.
    Follow,
    /// Follows it for so many messages and leaves.
    Leave(usize),
    /// Leaves after each so many messages and comes back after a pause.
    Return(usize, Duration),
    /// Cancels after a while.
    Cancel(Duration),
    /// Cancels after a while and follows the stream meanwhile.
    FollowAndCancel(Duration),
    /// Asks for the state again and again.
    Poll,
    /// Opens the stream, reads nothing for so long, then all of it.
    Dawdle(Duration),
    /// Opens the stream, reads nothing for so long, and leaves.
    DawdleAndLeave(Duration),
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

    /// One job after the other until it is time to stop, and each to its end.
    pub async fn run(mut self, until: Instant) {
        while Instant::now() < until {
            let manner = self.manner();
            let body = self.body();
            let name = format!("client {}, {manner:?}, {body}", self.number);
            match self.post(&name, &body).await {
                Some(job) => self.accompany(job, manner, &body).await,
                None => self.pause(100..1000).await,
            }
            self.pause(0..300).await;
        }
    }

    fn manner(&mut self) -> Manner {
        let messages = self.generator.random_range(1..12);
        let mut time = |most| Duration::from_millis(self.generator.random_range(0..most));
        // Who leaves after each of a job's messages, some forty, must have come back for the last one before the server
        // forgets the job, 10 seconds after its end.
        let (short, long) = (time(100), time(5000));
        match self.generator.random_range(0..8) {
            0 => Manner::Follow,
            1 => Manner::Leave(messages),
            2 => Manner::Return(messages, short),
            3 => Manner::Cancel(long),
            4 => Manner::FollowAndCancel(long),
            5 => Manner::Poll,
            6 => Manner::Dawdle(long),
            _ => Manner::DawdleAndLeave(long),
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

    /// Asks for a generation; `None` where the queue is full.
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

    /// Behaves towards a job as the manner says, and notes its end, of which there are only legitimate ones.
    async fn accompany(&mut self, mut job: Job<'a>, manner: Manner, body: &Value) {
        let mut may_be_canceled = false;
        let leaving_cancels = body["cancel_on_disconnect"] == true;
        let end = match manner {
            Manner::Follow => self.follow(&mut job).await,
            Manner::Poll => self.poll(&mut job).await,
            Manner::Leave(messages) => {
                may_be_canceled = leaving_cancels;
                self.leave(&mut job, messages).await
            }
            Manner::Return(messages, pause) => {
                let (end, longest) = self.keep_returning(&mut job, messages, pause).await;
                may_be_canceled = leaving_cancels && longest >= Options::default().disconnect_grace;
                end
            }
            Manner::Cancel(after) => {
                may_be_canceled = true;
                self.cancel(&job.link, after).await
            }
            Manner::FollowAndCancel(after) => {
                may_be_canceled = true;
                self.follow_and_cancel(&mut job, after).await
            }
            Manner::Dawdle(pause) => self.dawdle(&mut job, pause, true).await,
            Manner::DawdleAndLeave(pause) => {
                may_be_canceled = leaving_cancels;
                self.dawdle(&mut job, pause, false).await
            }
        };
        job.confirm(&end).await;
        let status = end["status"].as_str().expect("a status");
        let legitimate = status == "completed" || (status == "canceled" && may_be_canceled);
        assert!(legitimate, "{}: it ended as {status}", job.link);
        self.note(status, &end);
    }

    fn note(&self, status: &str, end: &Value) {
        let finished = end["images"].as_array().map_or(0, Vec::len) as u64;
        let wanted = end["count"].as_u64().expect("a count");
        let mut tally = self.tally.borrow_mut();
        *tally.jobs.entry(status.to_owned()).or_default() += 1;
        *tally.images.entry("completed".to_owned()).or_default() += finished;
        if status != "completed" {
            *tally.images.entry(status.to_owned()).or_default() += wanted - finished;
        }
    }

    fn did(&self, deed: &'static str) {
        self.tally.borrow_mut().did(deed);
    }

    async fn follow(&self, job: &mut Job<'a>) -> Value {
        self.did("streams");
        let mut stream = job.open().await;
        job.read(&mut stream).await
    }

    async fn poll(&mut self, job: &mut Job<'a>) -> Value {
        loop {
            let state = job.look().await;
            if is_end(&state) {
                return state;
            }
            self.pause(50..500).await;
        }
    }

    async fn leave(&mut self, job: &mut Job<'a>, messages: usize) -> Value {
        self.did("streams");
        let mut stream = job.open().await;
        if let Some(end) = job.read_some(&mut stream, messages).await {
            return end;
        }
        drop(stream);
        self.did("disconnects");
        self.poll(job).await
    }

    /// Returns the end, and the longest time that it was away.
    async fn keep_returning(&self, job: &mut Job<'a>, messages: usize, pause: Duration) -> (Value, Duration) {
        self.did("streams");
        let mut longest = Duration::ZERO;
        let mut stream = job.open().await;
        loop {
            if let Some(end) = job.read_some(&mut stream, messages).await {
                return (end, longest);
            }
            let left = Instant::now();
            drop(stream);
            sleep(pause).await;
            self.did("reconnects");
            stream = job.open().await;
            longest = longest.max(left.elapsed());
        }
    }

    async fn cancel(&self, job: &Link<'a>, after: Duration) -> Value {
        sleep(after).await;
        self.did("cancels");
        let state = job.delete().await;
        // To cancel twice changes nothing.
        assert_eq!(job.delete().await["status"], state["status"], "{job}: canceled again");
        state
    }

    async fn follow_and_cancel(&self, job: &mut Job<'a>, after: Duration) -> Value {
        let link = job.link.clone();
        let (end, state) = tokio::join!(self.follow(job), self.cancel(&link, after));
        assert_eq!(end["status"], state["status"], "{link}: its end for the stream and for DELETE");
        end
    }

    async fn dawdle(&mut self, job: &mut Job<'a>, pause: Duration, reads_on: bool) -> Value {
        self.did("slow streams");
        let mut stream = job.open().await;
        sleep(pause).await;
        if reads_on {
            return job.read(&mut stream).await;
        }
        drop(stream);
        self.did("disconnects");
        self.poll(job).await
    }
}
