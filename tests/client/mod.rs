//! An API client that reads event streams message by message, for the soak test and the serving benchmark.
#![allow(dead_code)] // Each program uses its own part.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// A client of one server. Clones share the pool of connections.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
}

impl Api {
    /// A client of the server at `address`, a host and a port.
    pub fn new(address: &str) -> Self {
        // The server closes idle connections; a shorter timeout here avoids using one while it closes.
        let http = reqwest::Client::builder().pool_idle_timeout(Duration::from_secs(2)).build();
        Self { http: http.expect("a client"), url: format!("http://{address}") }
    }

    pub async fn get(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.get(format!("{}{path}", self.url)).send().await
    }

    pub async fn delete(&self, path: &str) -> reqwest::Result<reqwest::Response> {
        self.http.delete(format!("{}{path}", self.url)).send().await
    }

    /// Posts a generation request.
    pub async fn post(&self, body: &Value) -> reqwest::Result<reqwest::Response> {
        self.http.post(format!("{}/api/v1/generations", self.url)).json(body).send().await
    }

    /// Opens an event stream after message number `after`; 0 is from the beginning, without the header.
    pub async fn events(&self, path: &str, after: u64) -> reqwest::Result<reqwest::Response> {
        let mut request = self.http.get(format!("{}{path}", self.url));
        if after > 0 {
            request = request.header("last-event-id", after);
        }
        request.send().await
    }
}

/// The messages of an open event stream. Dropping it disconnects.
pub struct Messages {
    response: reqwest::Response,
    /// The bytes received of messages that weren't returned yet.
    buffer: BytesMut,
}

impl Messages {
    pub fn new(response: reqwest::Response) -> Self {
        Self { response, buffer: BytesMut::new() }
    }

    /// The next message; `None` after the last.
    ///
    /// # Errors
    /// Any error of the connection.
    pub async fn next(&mut self) -> reqwest::Result<Option<Message>> {
        loop {
            while let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let message = Message(self.buffer.split_to(end + 2).freeze());
                // A block without an event name is a keep-alive comment.
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

/// One message of an event stream, parsed on demand.
pub struct Message(Bytes);

impl Message {
    /// The event's name.
    pub fn event(&self) -> &str {
        self.field("event").unwrap_or_default()
    }

    /// Its number in the stream; 0 if it has none.
    pub fn id(&self) -> u64 {
        self.field("id").and_then(|id| id.parse().ok()).unwrap_or(0)
    }

    /// Its JSON; null if it has none.
    pub fn data(&self) -> Value {
        self.field("data").and_then(|data| serde_json::from_str(data).ok()).unwrap_or_default()
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.0.split(|&byte| byte == b'\n');
        let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
        std::str::from_utf8(value).ok().map(str::trim_start)
    }
}
