//! A job as JSON.

use std::borrow::Cow;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{self, Snapshot};
use crate::model::{Config, SamplingOptions, SamplingSettings};
use crate::picture::Format;
use crate::request::PictureFormat;

/// A generation, as `GET` answers it and as the events that end a stream do.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::web) struct Generation {
    id: String,
    status: Status,
    /// Place in the queue while it waits: 1 is next, counted in jobs.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
    /// While it waits: estimated seconds until its first image begins, from measured step times.
    #[serde(skip_serializing_if = "Option::is_none")]
    eta_seconds: Option<f64>,
    /// When it was accepted: RFC 3339, UTC.
    #[schema(format = DateTime)]
    created: String,
    /// When its first image began.
    #[schema(format = DateTime)]
    started: Option<String>,
    #[schema(format = DateTime)]
    ended: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'static, str>>,
    model: String,
    class: String,
    class_index: usize,
    seed: u64,
    count: u32,
    #[serde(flatten)]
    #[schema(ignore)] // Made from the table of fields.
    options: SamplingOptions,
    /// Without a prompt, of a model that knows words: what each image shows, by its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<String>>,
    /// Without a style, of a model that has styles: that of each image, by its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    styles: Option<Vec<String>>,
    /// With a prompt: its words that the model doesn't know. They have no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_words: Option<Vec<String>>,
    /// The index of the first image, if it isn't 0: image i is drawn from (seed, index + i).
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// The step of another image that its images start from.
    #[serde(skip_serializing_if = "Option::is_none")]
    from_step: Option<usize>,
    previews: bool,
    alternatives: bool,
    cancel_on_disconnect: bool,
    /// What was adapted in the request. Only in the answer to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
    links: Links,
    /// The finished images by rising index; all of them once it is completed.
    images: Vec<Image>,
}

/// State of a generation. The last three are final.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::web) enum Status {
    Queued,
    Running,
    Completed,
    Failed,
    Canceled,
}

impl From<engine::Status> for Status {
    fn from(status: engine::Status) -> Self {
        match status {
            engine::Status::Queued => Self::Queued,
            engine::Status::Running => Self::Running,
            engine::Status::Completed => Self::Completed,
            engine::Status::Failed => Self::Failed,
            engine::Status::Canceled => Self::Canceled,
        }
    }
}

/// What a client needs to follow a new generation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    id: String,
    status: Status,
    model: String,
    class: String,
    /// Without a prompt, of a model that knows words: what each image shows, by its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<String>>,
    /// Without a style, of a model that has styles: that of each image, by its index.
    #[serde(skip_serializing_if = "Option::is_none")]
    styles: Option<Vec<String>>,
    /// With a prompt: its words that the model doesn't know. They have no effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    unknown_words: Option<Vec<String>>,
    seed: u64,
    /// What was adapted in the request. Only in the answer to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    warnings: Vec<String>,
    links: Links,
}

/// One of a client's generations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Summary {
    #[serde(flatten)]
    accepted: Accepted,
    /// Images asked for.
    count: u32,
    /// When it was accepted: RFC 3339, UTC.
    #[schema(format = DateTime)]
    created: String,
}

/// Relative URLs.
#[derive(Debug, Serialize, ToSchema)]
struct Links {
    #[serde(rename = "self")]
    own: String,
    /// The event stream.
    events: String,
}

/// A finished image.
#[derive(Debug, Serialize, ToSchema)]
struct Image {
    index: u32,
    /// A PNG file of the model's own size, with the parameters that made it.
    png_base64: String,
    /// The picture in the `format` and `scale` of the request.
    url: String,
}

impl Generation {
    /// A job whose pictures have this format.
    pub fn new(snapshot: &Snapshot, format: PictureFormat) -> Self {
        let links = Links::new(snapshot);
        let ending = format.format.unwrap_or(Format::Png).name();
        let scale = if format.scale == 1 { String::new() } else { format!("?scale={}", format.scale) };
        let settings = snapshot.request.settings();
        let image = |image: &crate::engine::FinishedImage| Image {
            index: image.index,
            png_base64: STANDARD.encode(&image.png),
            url: format!("{}/images/{}.{ending}{scale}", links.own, image.index),
        };
        Self {
            id: snapshot.id.to_string(),
            status: snapshot.status.into(),
            position: snapshot.queue_position.map(|queued| queued.position),
            eta_seconds: snapshot.queue_position.map(|queued| queued.eta.as_secs_f64()),
            created: rfc_3339(snapshot.created),
            started: snapshot.started.map(rfc_3339),
            ended: snapshot.ended.map(rfc_3339),
            detail: snapshot.detail.clone(),
            model: snapshot.request.model().config.name.clone(),
            class: class_name(snapshot),
            class_index: settings.class(),
            seed: snapshot.request.seed(),
            count: snapshot.request.count(),
            options: settings.options().clone(),
            subjects: of_each_image(snapshot, SamplingSettings::subject),
            styles: of_each_image(snapshot, SamplingSettings::drawn_style),
            unknown_words: unknown_words(snapshot),
            index: Some(snapshot.request.first()).filter(|first| *first > 0),
            from_step: snapshot.request.init_image().map(|init| init.from_step).filter(|step| *step > 0),
            previews: snapshot.request.previews(),
            alternatives: snapshot.request.alternatives(),
            cancel_on_disconnect: snapshot.request.cancel_on_disconnect(),
            images: snapshot.images.iter().map(image).collect(),
            warnings: Vec::new(),
            links,
        }
    }

    /// With what was adapted in the request.
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }
}

impl Generation {
    /// The same with addresses below a path.
    pub fn below(mut self, root: &str) -> Self {
        self.links = self.links.below(root);
        for image in &mut self.images {
            image.url.insert_str(0, root);
        }
        self
    }
}

impl Accepted {
    pub fn new(snapshot: &Snapshot) -> Self {
        Self {
            id: snapshot.id.to_string(),
            status: snapshot.status.into(),
            model: snapshot.request.model().config.name.clone(),
            class: class_name(snapshot),
            subjects: of_each_image(snapshot, SamplingSettings::subject),
            styles: of_each_image(snapshot, SamplingSettings::drawn_style),
            unknown_words: unknown_words(snapshot),
            seed: snapshot.request.seed(),
            warnings: Vec::new(),
            links: Links::new(snapshot),
        }
    }

    /// With what was adapted in the request.
    pub fn with_warnings(self, warnings: Vec<String>) -> Self {
        Self { warnings, ..self }
    }

    /// The same with addresses below a path.
    pub fn below(mut self, root: &str) -> Self {
        self.links = self.links.below(root);
        self
    }

    /// The job's own URL.
    pub fn location(&self) -> &str {
        &self.links.own
    }
}

impl Summary {
    /// A job, with addresses below a path.
    pub fn new(snapshot: &Snapshot, root: &str) -> Self {
        Self {
            accepted: Accepted::new(snapshot).below(root),
            count: snapshot.request.count(),
            created: rfc_3339(snapshot.created),
        }
    }
}

impl Links {
    fn new(snapshot: &Snapshot) -> Self {
        let own = format!("/api/v1/generations/{}", snapshot.id);
        Self { events: format!("{own}/events"), own }
    }

    fn below(self, root: &str) -> Self {
        Self { own: format!("{root}{}", self.own), events: format!("{root}{}", self.events) }
    }
}

pub(super) fn rfc_3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

fn class_name(snapshot: &Snapshot) -> String {
    let class = snapshot.request.settings().class();
    snapshot.request.model().config.classes.get(class).cloned().unwrap_or_default()
}

/// A text for each image, by its index; `None` if `text` has none.
fn of_each_image(
    snapshot: &Snapshot,
    text: for<'c> fn(&SamplingSettings, &'c Config, u64, u32) -> Option<&'c str>,
) -> Option<Vec<String>> {
    let request = &snapshot.request;
    let config = &request.model().config;
    let of_image = |index| {
        let noise = request.noise(index);
        Some(text(request.settings_of(index), config, noise.seed, noise.index)?.to_owned())
    };
    (0..request.count()).map(of_image).collect()
}

fn unknown_words(snapshot: &Snapshot) -> Option<Vec<String>> {
    let request = &snapshot.request;
    let prompt = request.settings().options().prompt.as_ref()?;
    Some(request.model().config.vocabulary.encode(prompt).unknown)
}
