//! The order of the images that other processes draw: the same fairness between clients, jobs and models as in one engine.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::JobId;
use super::job::Job;
use super::queue::{InBatch, Queue};
use super::request::ClientGroup;

/// The images to hand out next.
#[derive(Debug)]
pub struct NextImages {
    /// In the order in which they should be drawn: jobs and their images.
    pub images: Vec<(JobId, u32)>,
    /// By model index, how many more could be handed out after them; not 0 only where none waits.
    pub spare: Vec<usize>,
}

/// The images of a live job by their state.
pub(super) struct JobImages {
    pub job: Arc<Job>,
    /// The number of those that a worker has started and not finished.
    pub in_flight: usize,
    /// The number of those that are handed out and not started.
    pub handed_out: usize,
    /// The others that no worker has started.
    pub waiting: Vec<u32>,
}

impl JobImages {
    fn model(&self) -> usize {
        self.job.model().index()
    }

    fn is_waiting(&self) -> bool {
        self.waiting.len() == self.job.request.count() as usize
    }
}

/// Chooses the next images of jobs, which are in order of arrival. `targets` are the numbers of images that should be handed out
/// and not started, by model index.
pub(super) fn next_images(jobs: &[JobImages], targets: &[usize]) -> NextImages {
    let mut queue = Queue::default();
    let mut spare = targets.to_vec();
    let mut in_flight: Vec<(ClientGroup, JobId, usize)> = Vec::new();
    for images in jobs {
        let (job, model) = (&images.job, images.model());
        spare[model] = spare[model].saturating_sub(images.handed_out);
        let entry = (job.request.client_group(), job.id, model);
        in_flight.extend(std::iter::repeat_n(entry, images.in_flight + images.handed_out));
        if !images.waiting.is_empty() {
            queue.push_rest(Arc::clone(job), images.waiting.len() as u32);
        }
    }
    let waiting: HashMap<JobId, &[u32]> =
        jobs.iter().map(|images| (images.job.id, &images.waiting[..])).collect();
    let mut next = Vec::new();
    for (model, spare) in spare.iter_mut().enumerate() {
        let counts = in_flight.iter().map(|(client, job, model)| (client, *job, *model));
        let taken = queue.take_images(*spare, 0, InBatch::count(counts, targets.len()), |it| it == model);
        *spare -= taken.len();
        for (job, at) in taken {
            let waiting = waiting[&job.id];
            // The queue counts from the end of the job.
            let before = job.request.count() as usize - waiting.len();
            in_flight.push((job.request.client_group(), job.id, model));
            next.push((job.id, waiting[at as usize - before]));
        }
    }
    NextImages { images: next, spare }
}

/// The jobs of which no image is started, in the order in which they start.
pub(super) fn start_order(jobs: &[JobImages], models: usize) -> Vec<JobId> {
    let mut queue = Queue::default();
    let mut in_flight = Vec::new();
    for images in jobs {
        let entry = (images.job.request.client_group(), images.job.id, images.model());
        in_flight.extend(std::iter::repeat_n(entry, images.in_flight));
        if images.is_waiting() {
            queue.push(Arc::clone(&images.job));
        }
    }
    let counts = in_flight.iter().map(|(client, job, model)| (client, *job, *model));
    queue.jobs_not_started(InBatch::count(counts, models)).into_iter().map(|job| job.id).collect()
}
