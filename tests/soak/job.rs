//! One job as its client sees it, with checks of every response and event.

use std::collections::HashMap;
use std::fmt;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use crate::client::{Api, Message, Messages};

/// T of the shipped model.
const STEPS: u64 = 10;
/// The states in the order in which they follow each other. The last three are alternatives.
const STATES: [&str; 5] = ["queued", "running", "completed", "failed", "canceled"];
const FIRST_END: usize = 2;

/// The address of a job.
#[derive(Clone)]
pub struct Link<'a> {
    api: &'a Api,
    /// The client and its request, for messages of assertions.
    name: String,
    path: String,
}

/// An accepted job and what its client knows of it.
pub struct Job<'a> {
    pub link: Link<'a>,
    count: usize,
    previews: bool,
    /// The number of the last message read.
    last: u64,
    /// Whether the `started` event was read.
    started: bool,
    /// The number of steps that each image has taken.
    steps: HashMap<u64, u64>,
    /// The rank of the state last fetched.
    rank: usize,
}

impl Link<'_> {
    /// Cancels the job, which must have ended then.
    pub async fn delete(&self) -> Value {
        let state = self.body(self.api.delete(&self.path).await, "DELETE").await;
        assert!(is_end(&state), "{self}: {} after DELETE", state["status"]);
        state
    }

    async fn body(&self, response: reqwest::Result<Response>, what: &str) -> Value {
        let body = self.success(response, what).json().await;
        body.unwrap_or_else(|error| panic!("{self}: {what}: {error:?}"))
    }

    /// The response, which must be successful.
    fn success(&self, response: reqwest::Result<Response>, what: &str) -> Response {
        let response = response.unwrap_or_else(|error| panic!("{self}: {what}: {error:?}"));
        assert!(response.status().is_success(), "{self}: {what}: {}", response.status());
        response
    }
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.path)
    }
}

impl<'a> Job<'a> {
    /// The job of a response with status 202.
    pub fn new(api: &'a Api, name: &str, body: &Value, accepted: &Value) -> Self {
        let path = accepted["links"]["self"].as_str().expect("a link").to_owned();
        Self {
            link: Link { api, name: name.to_owned(), path },
            count: body["count"].as_u64().expect("a count") as usize,
            previews: body["previews"].as_bool().expect("a flag"),
            last: 0,
            started: false,
            steps: HashMap::new(),
            rank: 0,
        }
    }

    /// Opens the event stream after the last message read, which wasn't the end.
    pub async fn open(&self) -> Messages {
        let response = self.link.api.events(&format!("{}/events", self.link.path), self.last).await;
        let response = self.link.success(response, "events");
        assert_eq!(response.status(), StatusCode::OK, "{}: events after {}", self.link, self.last);
        Messages::new(response)
    }

    /// Reads the remaining messages. The last one is the job.
    pub async fn read(&mut self, messages: &mut Messages) -> Value {
        loop {
            if let Some(end) = self.read_some(messages, 1).await {
                return end;
            }
        }
    }

    /// Reads this number of messages. Returns the job if the last one was among them.
    pub async fn read_some(&mut self, messages: &mut Messages, count: usize) -> Option<Value> {
        for _ in 0..count {
            let message = next(messages, &self.link).await;
            let message = message.unwrap_or_else(|| panic!("{}: its stream ended without an end", self.link));
            if let Some(end) = self.check_message(&message) {
                assert!(next(messages, &self.link).await.is_none(), "{}: a message after its end", self.link);
                return Some(end);
            }
        }
        None
    }

    /// Checks a message. Returns the job if it is the last.
    fn check_message(&mut self, message: &Message) -> Option<Value> {
        self.last += 1;
        assert_eq!(message.id(), self.last, "{}: number of a message", self.link);
        let data = message.data();
        match message.event() {
            "queued" => assert!(!self.started, "{}: queued after its start", self.link),
            "started" => assert!(!std::mem::replace(&mut self.started, true), "{}: started twice", self.link),
            "step" => self.check_step(&data),
            end => {
                assert_eq!(data["status"], end, "{}: its end", self.link);
                let done = self.steps.values().filter(|&&steps| steps == STEPS).count();
                assert!(
                    end != "completed" || done == self.count,
                    "{}: {done} images took all steps",
                    self.link
                );
                return Some(data);
            }
        }
        None
    }

    /// Checks that each image takes one step after the other.
    fn check_step(&mut self, data: &Value) {
        assert!(self.started, "{}: a step before its start", self.link);
        for image in data["images"].as_array().expect("images") {
            let taken = self.steps.entry(image["index"].as_u64().expect("an index")).or_default();
            *taken += 1;
            assert_eq!(data["step"], *taken, "{}: step of image {}", self.link, image["index"]);
            for preview in ["noisy", "clean"] {
                assert_eq!(image[preview].is_string(), self.previews, "{}: {preview}", self.link);
            }
        }
    }

    /// Fetches the state, which must not go back.
    pub async fn fetch_state(&mut self) -> Value {
        let link = &self.link;
        let state = link.body(link.api.get(&link.path).await, "GET").await;
        let rank = STATES.iter().position(|&status| state["status"] == status).expect("a status");
        let is_allowed = rank == self.rank || (rank > self.rank && self.rank < FIRST_END);
        assert!(is_allowed, "{link}: from {} to {}", STATES[self.rank], STATES[rank]);
        self.rank = rank;
        state
    }

    /// Checks that the job's state is the end that was read before.
    pub async fn assert_end(&mut self, end: &Value) {
        let state = self.fetch_state().await;
        assert_eq!(state["status"], end["status"], "{}: its end, asked again", self.link);
        assert_eq!(state["images"], end["images"], "{}: its images, asked again", self.link);
        let images = state["images"].as_array().map_or(0, Vec::len);
        assert!(state["status"] != "completed" || images == self.count, "{}: {images} images", self.link);
    }
}

/// The next message of a stream, which must not break.
async fn next(messages: &mut Messages, link: &Link<'_>) -> Option<Message> {
    messages.next().await.unwrap_or_else(|error| panic!("{link}: {error:?}"))
}

/// Whether a job has ended.
pub fn is_end(state: &Value) -> bool {
    STATES[FIRST_END..].iter().any(|&end| state["status"] == end)
}
