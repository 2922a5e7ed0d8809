//! What is remembered of clients: their requests that are being drawn, and the models that they chose.
//!
//! AUTOMATIC1111's server has one user. Here `progress`, `interrupt` and the chosen model are each client's own: those of its
//! API key and its `Rdpm-Client` token or, where it sends neither, of its network.

use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::engine::JobId;
use crate::web::access::Client;

/// Choices that are remembered; of more, those that were not used for long are forgotten.
const MAX_CHOICES: usize = 10_000;

/// What is remembered of all clients.
pub(in crate::web) struct Clients {
    running: Mutex<Vec<Arc<Running>>>,
    /// Names of models.
    choices: Cache<Client, Arc<str>>,
}

impl Default for Clients {
    fn default() -> Self {
        Self { running: Mutex::default(), choices: Cache::new(MAX_CHOICES) }
    }
}

/// A request that is being drawn, each image as a job of its own.
pub(super) struct Running {
    client: Client,
    /// `txt2img` or `img2img`.
    pub kind: &'static str,
    /// The number of images.
    pub count: u32,
    pub since: SystemTime,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    jobs: Vec<JobId>,
    is_interrupted: bool,
}

/// Removes a request when it is dropped.
pub(super) struct RunningGuard {
    clients: Arc<Clients>,
    running: Arc<Running>,
}

impl Clients {
    /// Adds a request, as long as the guard lives.
    pub(super) fn begin(self: &Arc<Self>, client: &Client, kind: &'static str, count: u32) -> RunningGuard {
        let (client, since, state) = (client.clone(), SystemTime::now(), Mutex::default());
        let running = Arc::new(Running { client, kind, count, since, state });
        self.running.lock().push(Arc::clone(&running));
        RunningGuard { clients: Arc::clone(self), running }
    }

    /// A client's requests, the oldest first.
    pub(super) fn running_of(&self, client: &Client) -> Vec<Arc<Running>> {
        self.running.lock().iter().filter(|running| running.client == *client).cloned().collect()
    }

    /// The name of the model that a client chose.
    pub(super) fn choice(&self, client: &Client) -> Option<Arc<str>> {
        self.choices.get(client)
    }

    /// Remembers a choice; `None` forgets it.
    pub(super) fn choose(&self, client: Client, model: Option<&str>) {
        match model {
            Some(model) => self.choices.insert(client, model.into()),
            None => drop(self.choices.remove(&client)),
        }
    }
}

impl Running {
    /// The jobs of its images that have been submitted.
    pub fn jobs(&self) -> Vec<JobId> {
        self.state.lock().jobs.clone()
    }

    pub fn is_interrupted(&self) -> bool {
        self.state.lock().is_interrupted
    }

    /// Marks it as interrupted, so that no further job is submitted. Returns the jobs to cancel.
    pub fn interrupt(&self) -> Vec<JobId> {
        let mut state = self.state.lock();
        state.is_interrupted = true;
        state.jobs.clone()
    }
}

impl RunningGuard {
    /// Adds the job of an image. Returns whether the request was interrupted before.
    pub fn add(&self, job: JobId) -> bool {
        let mut state = self.running.state.lock();
        state.jobs.push(job);
        state.is_interrupted
    }
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.clients.running.lock().retain(|running| !Arc::ptr_eq(running, &self.running));
    }
}
