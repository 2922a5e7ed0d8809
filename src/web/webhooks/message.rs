//! What a web hook says: that a generation has ended, and how. Pictures are not part of it.

use std::borrow::Cow;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;

use crate::engine::Snapshot;

/// A web hook: the same for each attempt to send it.
#[derive(Debug, Clone)]
pub(super) struct Message {
    /// The header `webhook-id`, by which a receiver knows a web hook that comes twice.
    pub id: String,
    pub body: Bytes,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    /// When the generation ended.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    status: &'static str,
    model: &'a str,
    class: &'a str,
    seed: u64,
    /// Images that were asked for.
    count: u32,
    /// Images that are done.
    finished: usize,
    created: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Cow<'static, str>>,
    links: Links,
}

/// Addresses without scheme and host: the server doesn't know by which name its clients reach it.
#[derive(Serialize)]
struct Links {
    #[serde(rename = "self")]
    own: String,
    events: String,
}

impl Message {
    /// A message about a job that has ended, with links below the path `root`.
    pub fn new(job: &Snapshot, root: &str) -> Self {
        let (request, status) = (&job.request, job.status.as_str());
        let config = &request.model().config;
        let time = |time: SystemTime| humantime::format_rfc3339_millis(time).to_string();
        let own = format!("{root}/api/v1/generations/{}", job.id);
        let body = Body {
            kind: format!("generation.{status}"),
            timestamp: time(job.ended.unwrap_or_else(SystemTime::now)),
            data: Data {
                id: job.id.to_string(),
                status,
                model: &config.name,
                class: config.classes.get(request.settings().class()).map(String::as_str).unwrap_or_default(),
                seed: request.seed(),
                count: request.count(),
                finished: job.images.len(),
                created: time(job.created),
                error: job.detail.as_ref(),
                links: Links { events: format!("{own}/events"), own },
            },
        };
        // Texts and numbers are valid JSON.
        let body = serde_json::to_vec(&body).unwrap_or_default().into();
        Self { id: format!("msg_{}", job.id), body }
    }
}
