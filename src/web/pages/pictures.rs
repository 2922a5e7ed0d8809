//! The pictures of a form sent without scripts, generated while the browser waits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::form::Form;
use crate::engine::{JobId, Request, SEED_MAX, Snapshot, Status};
use crate::queue::AnyEngine;
use crate::web::access::{Budget, Client, Cost};

/// Less than the timeouts of browsers and proxies, which are half a minute or more.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A finished picture with its label.
pub(super) struct Picture {
    /// What it shows.
    pub label: String,
    pub seed: u64,
    /// From 1.
    pub number: u32,
    /// A `data:` URL.
    pub source: String,
}

/// Generates the pictures of a form. On failure adds a sentence to the form's problems and returns none.
pub(super) async fn generate(
    engine: &AnyEngine,
    client: &Client,
    budget: &Budget,
    form: &mut Form,
) -> Vec<Picture> {
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
    if let Err(problem) = budget.charge(Cost::images(requests.iter().map(Request::count).sum())) {
        form.problems.push(problem.detail);
        return Vec::new();
    }
    let requests =
        requests.into_iter().map(|request| request.with_client(Some(client.engine_id()))).collect();
    let mut jobs = Jobs { engine, ids: Vec::new() };
    match tokio::time::timeout(TIME_LIMIT, jobs.run(requests)).await {
        Ok(Ok(snapshots)) => snapshots.iter().flat_map(labelled).collect(),
        Ok(Err(sentence)) => {
            form.problems.push(sentence);
            Vec::new()
        }
        Err(_) => {
            form.problems.push("The server is busy. Try again later, or generate fewer pictures.".into());
            Vec::new()
        }
    }
}

/// Jobs that are canceled when this is dropped, also when the browser disconnects.
struct Jobs<'a> {
    engine: &'a AnyEngine,
    ids: Vec<JobId>,
}

impl Jobs<'_> {
    /// All jobs, completed; otherwise a sentence for people.
    async fn run(&mut self, requests: Vec<Request>) -> Result<Vec<Snapshot>, String> {
        for request in requests {
            let id = self.engine.submit(request).await;
            self.ids.push(id.map_err(|error| format!("No picture was generated: {error}."))?);
        }
        let mut snapshots = Vec::new();
        for &id in &self.ids {
            let expired = || "No picture was generated: the job has expired.".to_owned();
            let mut events = self.engine.subscribe(id, 0).ok_or_else(expired)?;
            while events.next().await.is_some() {}
            let snapshot = events.snapshot();
            if snapshot.status != Status::Completed {
                return Err(format!(
                    "No picture was generated: {}",
                    snapshot.detail.unwrap_or("it was canceled.".into())
                ));
            }
            snapshots.push(snapshot);
        }
        Ok(snapshots)
    }
}

impl Drop for Jobs<'_> {
    fn drop(&mut self) {
        for &id in &self.ids {
            self.engine.cancel_in_background(id);
        }
    }
}

fn labelled(snapshot: &Snapshot) -> Vec<Picture> {
    let picture = |image: &crate::engine::FinishedImage| Picture {
        label: snapshot.request.describe_image(image.index),
        seed: snapshot.request.seed(),
        number: image.index + 1,
        source: format!("data:image/png;base64,{}", STANDARD.encode(&image.png)),
    };
    snapshot.images.iter().map(picture).collect()
}
