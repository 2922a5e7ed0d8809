//! The pictures of a form that was sent without a script: drawn while the browser waits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::form::Form;
use crate::engine::{Engine, JobId, Request, SEED_MAX, Snapshot, Status};
use crate::web::App;

/// Browsers, and proxies before the server, give up on a page after half a minute or more.
const PATIENCE: Duration = Duration::from_secs(20);

/// A finished picture with its label.
pub(super) struct Picture {
    pub class: String,
    pub seed: u64,
    /// From 1.
    pub number: u32,
    /// A `data:` URL.
    pub source: String,
}

/// Draws what the form asks for. Where that fails, a sentence joins the form's problems and nothing is drawn.
pub(super) async fn pictures(app: &App, form: &mut Form) -> Vec<Picture> {
    if form.seeds.is_empty() {
        form.seeds.push(rand::random_range(0..=SEED_MAX.min(999_999)));
    }
    let requests = match form.requests() {
        Ok(requests) => requests,
        Err(error) => {
            form.problems.push(format!("{error}."));
            return Vec::new();
        }
    };
    let mut jobs = Jobs { engine: &app.engine, ids: Vec::new() };
    match tokio::time::timeout(PATIENCE, jobs.draw(requests)).await {
        Ok(Ok(snapshots)) => snapshots.iter().flat_map(labelled).collect(),
        Ok(Err(sentence)) => {
            form.problems.push(sentence);
            Vec::new()
        }
        Err(_) => {
            form.problems.push("The server is busy: this takes longer than a page may take. Try again in a while, or ask for fewer pictures.".into());
            Vec::new()
        }
    }
}

/// Jobs that nobody else knows of: they are canceled with this, which happens too when the browser goes away.
struct Jobs<'a> {
    engine: &'a Engine,
    ids: Vec<JobId>,
}

impl Jobs<'_> {
    /// All jobs at their ends, or a sentence that says why not.
    async fn draw(&mut self, requests: Vec<Request>) -> Result<Vec<Snapshot>, String> {
        for request in requests {
            let id = self.engine.submit(request).map_err(|error| format!("Nothing was drawn: {error}."))?;
            self.ids.push(id);
        }
        let mut snapshots = Vec::new();
        for &id in &self.ids {
            let gone = || "Nothing was drawn: the server forgot it.".to_owned();
            let mut events = self.engine.subscribe(id, 0).ok_or_else(gone)?;
            while events.next().await.is_some() {}
            let snapshot = events.snapshot();
            if snapshot.status != Status::Completed {
                return Err(format!("Nothing was drawn: {}", snapshot.detail.unwrap_or("it was canceled.")));
            }
            snapshots.push(snapshot);
        }
        Ok(snapshots)
    }
}

impl Drop for Jobs<'_> {
    fn drop(&mut self) {
        for &id in &self.ids {
            self.engine.cancel(id);
        }
    }
}

fn labelled(snapshot: &Snapshot) -> Vec<Picture> {
    let class = &snapshot.model.config.classes[snapshot.request.settings().class()];
    let picture = |image: &crate::engine::Finished| Picture {
        class: class.clone(),
        seed: snapshot.request.seed(),
        number: image.index + 1,
        source: format!("data:image/png;base64,{}", STANDARD.encode(&image.png)),
    };
    snapshot.images.iter().map(picture).collect()
}
