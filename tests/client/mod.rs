//! A client of the API that reads event streams as they come, message by message. The soak and the serving benchmark
//! are many of them.
#![allow(dead_code)] // Each program uses its own part.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// A server, as its clients see it. Clones share their kept-alive connections.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
}

impl Api {
    /// The server at `address`, a host and a port.
    pub fn new(address: &str) -> Self {
        // The server closes connections that say nothing for long: they must not be used again just then.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2)).build();
        Self { http: http.expect("a client"), url: format!("http://{address}") }
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.get(format!("{}{path}", self.url)).send().await
    }

    pub async fn delete(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.delete(format!("{}{path}", self.url)).send().await
    }

    /// Posts a generation.
    pub async fn post(&self, body: &Value) -> reqwest::Result<reqwest::Response> {
        self.http.post(format!("{}/api/v1/generations", self.url)).json(body).send().await
    }

    /// Opens an event stream after message number `after`; 0 is from the beginning, and without the header.
    pub async fn events(&self, path: &str, after: u64) -> reqwest::Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.url));
        if after > 0 {
            request = request.header("last-event-id", after);
        }
        request.send().await
    }
}

/// The messages of an open event stream. To drop it before its end is to disconnect.
pub struct Messages {
    response: reqwest::Response,
    /// What has arrived of messages that weren't returned yet.
    buffer: BytesMut,
}

impl Messages {
    pub fn new(response: reqwest::Response) -> Self {
        Self { response, buffer: BytesMut::new() }
    }

    /// The next message, `None` after the last.
    ///
    /// # Errors
    /// Any of the transport.
    pub async fn next(&mut self) -> reqwest::Result<Option<Message>> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let message = Message(self.buffer.split_to(end + 2).freeze());
                // A block without a name is a comment, which keeps the connection alive.
                if message.field("event").is_some() {
                    return Ok(Some(message));
                }
            }
            match self.response.chunk().await? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None => return Ok(None),
            }
        }
    }
}

/// One message of an event stream, read only as far as somebody asks.
pub struct Message(Bytes);

impl Message {
    /// The event's name.
    pub fn event(&self) -> &str {
        self.field("event").unwrap_or_default()
    }

    /// Its number in the stream; 0 where it has none.
    pub fn id(&self) -> u64 {
        self.field("id").and_then(|id| id.parse().ok()).unwrap_or(0)
    }

    /// Its JSON; null where it has none.
    pub fn data(&self) -> Value {
        self.field("data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        std::str::from_utf8(value).ok().map(str::trim_start)
    }
}
