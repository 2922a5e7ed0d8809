//! The queue: the order in which waiting images start, and the fairness between clients, jobs and models.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;

use super::event::JobId;
use super::job::Job;
use super::request::ClientGroup;

/// The jobs with images that haven't started, in order of arrival.
#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<QueuedJob>,
}

/// The numbers of images that are in batches.
pub(super) struct InBatch {
    of_client: HashMap<ClientGroup, usize>,
    of_job: HashMap<JobId, usize>,
    /// By model index.
    of_model: Vec<usize>,
}

impl InBatch {
    /// Counts images of `models` models, each given by its client, its job and its model's index.
    pub fn count<'a>(images: impl Iterator<Item = (&'a ClientGroup, JobId, usize)>, models: usize) -> Self {
        let mut counts =
            Self { of_client: HashMap::new(), of_job: HashMap::new(), of_model: vec![0; models] };
        images.for_each(|(client, job, model)| counts.add(client, job, model));
        counts
    }

    fn add(&mut self, client: &ClientGroup, job: JobId, model: usize) {
        *self.of_client.entry(client.clone()).or_default() += 1;
        *self.of_job.entry(job).or_default() += 1;
        self.of_model[model] += 1;
    }

    fn of_client(&self, client: &ClientGroup) -> usize {
        self.of_client.get(client).copied().unwrap_or(0)
    }
}

/// The jobs of one model without a started image, in the order in which they start.
#[derive(Default)]
struct WaitingJobs<'a> {
    /// By client, in order of arrival.
    of_client: HashMap<&'a ClientGroup, VecDeque<(usize, &'a Arc<Job>)>>,
    /// The clients, by their images in batches and the arrival of their first job. Numbers of images only rise, so an old one
    /// is corrected when it comes first.
    clients: BinaryHeap<Reverse<(usize, usize, &'a ClientGroup)>>,
}

impl<'a> WaitingJobs<'a> {
    fn push(&mut self, arrival: usize, queued: &'a QueuedJob, in_batch: &InBatch) {
        let jobs = self.of_client.entry(&queued.client).or_default();
        if jobs.is_empty() {
            self.clients.push(Reverse((in_batch.of_client(&queued.client), arrival, &queued.client)));
        }
        jobs.push_back((arrival, &queued.job));
    }

    /// The first job's client's images in batches, and its arrival.
    fn first(&mut self, in_batch: &InBatch) -> Option<(usize, usize)> {
        loop {
            let Reverse((images, arrival, client)) = *self.clients.peek()?;
            let now = in_batch.of_client(client);
            if now == images {
                return Some((images, arrival));
            }
            self.clients.pop();
            self.clients.push(Reverse((now, arrival, client)));
        }
    }

    /// Removes the first job.
    fn pop(&mut self) -> Option<&'a Arc<Job>> {
        let Reverse((images, _, client)) = self.clients.pop()?;
        let jobs = self.of_client.get_mut(client)?;
        let (_, job) = jobs.pop_front()?;
        if let Some(&(arrival, _)) = jobs.front() {
            self.clients.push(Reverse((images, arrival, client)));
        }
        Some(job)
    }
}

struct QueuedJob {
    job: Arc<Job>,
    client: ClientGroup,
    /// The index of the next image to start. Those before it have started.
    next_image: u32,
}

impl QueuedJob {
    fn waiting_images(&self) -> usize {
        (self.job.request.count() - self.next_image) as usize
    }

    fn model(&self) -> usize {
        self.job.model().index()
    }
}

impl Queue {
    pub fn push(&mut self, job: Arc<Job>) {
        let client = job.request.client_group();
        self.jobs.push_back(QueuedJob { job, client, next_image: 0 });
    }

    /// Adds a job of which only the last images wait.
    pub fn push_rest(&mut self, job: Arc<Job>, waiting: u32) {
        let (client, next_image) = (job.request.client_group(), job.request.count() - waiting);
        self.jobs.push_back(QueuedJob { job, client, next_image });
    }

    /// Removes the waiting images of a job.
    pub fn remove(&mut self, id: JobId) {
        self.jobs.retain(|queued| queued.job.id != id);
    }

    /// Removes the jobs that have ended.
    pub fn remove_ended(&mut self) {
        self.jobs.retain(|queued| queued.job.is_live());
    }

    pub fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Removes all jobs of a model and returns them.
    pub fn drain_model(&mut self, model: usize) -> Vec<Arc<Job>> {
        let (drained, kept): (VecDeque<_>, _) =
            self.jobs.drain(..).partition(|queued| queued.model() == model);
        self.jobs = kept;
        drained.into_iter().map(|queued| queued.job).collect()
    }

    /// The numbers of waiting images of the clients that have any.
    pub fn waiting_images_of_clients(&self) -> HashMap<ClientGroup, usize> {
        let mut of_client = HashMap::new();
        for queued in &self.jobs {
            *of_client.entry(queued.client.clone()).or_default() += queued.waiting_images();
        }
        of_client
    }

    /// The number of waiting images.
    pub fn waiting_images(&self) -> usize {
        self.jobs.iter().map(QueuedJob::waiting_images).sum()
    }

    /// The model of each waiting job.
    pub fn models(&self) -> impl Iterator<Item = usize> {
        self.jobs.iter().map(QueuedJob::model)
    }

    /// The jobs without a started image, in the order in which [`Queue::take_images`] would start them.
    pub fn jobs_not_started(&self, mut in_batch: InBatch) -> Vec<&Arc<Job>> {
        let mut waiting: Vec<WaitingJobs<'_>> =
            in_batch.of_model.iter().map(|_| WaitingJobs::default()).collect();
        let not_started = self.jobs.iter().filter(|queued| queued.next_image == 0);
        for (arrival, queued) in not_started.enumerate() {
            waiting[queued.model()].push(arrival, queued, &in_batch);
        }
        let mut order = Vec::new();
        loop {
            let firsts = waiting.iter_mut().enumerate().filter_map(|(model, waiting)| {
                let (of_client, arrival) = waiting.first(&in_batch)?;
                Some((of_client, in_batch.of_model[model], arrival, model))
            });
            let Some((.., model)) = firsts.min() else { return order };
            if let Some(job) = waiting[model].pop() {
                in_batch.add(&job.request.client_group(), job.id, model);
                order.push(job);
            }
        }
    }

    /// Takes up to `free` images of models that `can_draw` accepts, and up to `extra` more of clients without an image in a
    /// batch. Each image is one of the client with the fewest images in batches; among these, of the job with the fewest; among
    /// equal jobs, of the model with the fewest; among these, of the earliest job. So a client doesn't wait behind another with many jobs, a job of one image behind a job of sixteen, nor a
    /// model behind another with many jobs; a job that is alone starts all its images together; and no job starves.
    pub fn take_images(
        &mut self,
        free: usize,
        extra: usize,
        mut in_batch: InBatch,
        can_draw: impl Fn(usize) -> bool,
    ) -> Vec<(Arc<Job>, u32)> {
        let mut taken = Vec::new();
        while taken.len() < free + extra {
            let rank = |queued: &QueuedJob| {
                let of_job = in_batch.of_job.get(&queued.job.id).copied().unwrap_or(0);
                (in_batch.of_client(&queued.client), of_job, in_batch.of_model[queued.model()])
            };
            let drawable = self.jobs.iter().enumerate().filter(|(_, queued)| can_draw(queued.model()));
            // `min_by_key` returns the first of several equal jobs.
            let Some((at, queued)) = drawable.min_by_key(|(_, queued)| rank(queued)) else { break };
            if taken.len() >= free && in_batch.of_client(&queued.client) > 0 {
                break;
            }
            in_batch.add(&queued.client, queued.job.id, queued.model());
            taken.push(self.take_image(at));
        }
        taken
    }

    /// Takes whole jobs in order of arrival as long as they fit into `free` slots. If the first job is larger, takes as
    /// many of its images as fit.
    pub fn take_whole_jobs(&mut self, free: usize, can_draw: impl Fn(usize) -> bool) -> Vec<(Arc<Job>, u32)> {
        let mut taken = Vec::new();
        while let Some(at) = self.jobs.iter().position(|queued| can_draw(queued.model())) {
            let first = &self.jobs[at];
            let fits = first.waiting_images() <= free - taken.len();
            if !(fits || taken.is_empty()) {
                break;
            }
            for _ in 0..first.waiting_images().min(free - taken.len()) {
                taken.push(self.take_image(at));
            }
            if !fits {
                break;
            }
        }
        taken
    }

    fn take_image(&mut self, at: usize) -> (Arc<Job>, u32) {
        let queued = &mut self.jobs[at];
        let image = (Arc::clone(&queued.job), queued.next_image);
        queued.next_image += 1;
        if queued.waiting_images() == 0 {
            self.jobs.remove(at);
        }
        image
    }
}
