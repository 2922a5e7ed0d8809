//! A job as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::engine::{ModelInfo, Snapshot};

/// The body of `GET /api/v1/generations/{id}`, and of the events that end a stream.
#[derive(Debug, Serialize)]
pub(super) struct Generation {
    id: String,
    /// `queued`, `running`, `completed`, `failed` or `canceled`.
    status: &'static str,
    /// While it waits: 1 is next, counted in jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'static str>,
    model: String,
    class: String,
    class_index: usize,
    seed: u64,
    count: u32,
    guidance: f64,
    temperature: f64,
    top_k: Option<usize>,
    top_p: Option<f64>,
    links: Links,
    /// The finished images by rising index; all of them once it is completed.
    images: Vec<Image>,
}

/// The body of the 202: what a client needs to follow the job.
#[derive(Debug, Serialize)]
pub(super) struct Accepted {
    id: String,
    status: &'static str,
    model: String,
    class: String,
    seed: u64,
    links: Links,
}

/// Relative URLs.
#[derive(Debug, Serialize)]
struct Links {
    #[serde(rename = "self")]
    own: String,
    events: String,
}

#[derive(Debug, Serialize)]
struct Image {
    index: u32,
    png_base64: String,
    url: String,
}

impl Generation {
    pub fn new(info: &ModelInfo, snapshot: &Snapshot) -> Self {
        let links = Links::new(snapshot);
        let settings = snapshot.request.settings();
        let image = |image: &crate::engine::Finished| Image {
            index: image.index,
            png_base64: STANDARD.encode(&image.png),
            url: format!("{}/images/{}.png", links.own, image.index),
        };
        Self {
            id: snapshot.id.to_string(),
            status: snapshot.status.as_str(),
            position: snapshot.position,
            detail: snapshot.detail,
            model: info.config.name.clone(),
            class: class_name(info, settings.class()),
            class_index: settings.class(),
            seed: snapshot.request.seed(),
            count: snapshot.request.count(),
            guidance: settings.guidance(),
            temperature: settings.temperature(),
            top_k: settings.top_k(),
            top_p: settings.top_p(),
            images: snapshot.images.iter().map(image).collect(),
            links,
        }
    }
}

impl Accepted {
    pub fn new(info: &ModelInfo, snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id.to_string(),
            status: snapshot.status.as_str(),
            model: info.config.name.clone(),
            class: class_name(info, snapshot.request.settings().class()),
            seed: snapshot.request.seed(),
            links: Links::new(snapshot),
        }
    }

    /// The job's own URL.
    pub fn location(&self) -> &str {
        &self.links.own
    }
}

impl Links {
    fn new(snapshot: &Snapshot) -> Self {
        let own = format!("/api/v1/generations/{}", snapshot.id);
        Self { events: format!("{own}/events"), own }
    }
}

fn class_name(info: &ModelInfo, class: usize) -> String {
    info.config.classes.get(class).cloned().unwrap_or_default()
}
