//! The queue: the order in which waiting images start, and the fairness between jobs and between models.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::event::JobId;
use super::job::Job;

/// The jobs with images that haven't started, in order of arrival.
#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<QueuedJob>,
}

struct QueuedJob {
    job: Arc<Job>,
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
        self.jobs.push_back(QueuedJob { job, next_image: 0 });
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

    /// The number of waiting images.
    pub fn waiting_images(&self) -> usize {
        self.jobs.iter().map(QueuedJob::waiting_images).sum()
    }

    /// The model of each waiting job.
    pub fn models(&self) -> impl Iterator<Item = usize> {
        self.jobs.iter().map(QueuedJob::model)
    }

    /// The jobs without a started image, in the order in which [`Queue::take_images`] would start them. `in_batch` is the
    /// number of each model's images in batches.
    pub fn jobs_not_started(&self, mut in_batch: Vec<usize>) -> Vec<&Arc<Job>> {
        let mut waiting: Vec<VecDeque<(usize, &Arc<Job>)>> = vec![VecDeque::new(); in_batch.len()];
        let not_started = self.jobs.iter().filter(|queued| queued.next_image == 0);
        for (arrival, queued) in not_started.enumerate() {
            waiting[queued.model()].push_back((arrival, &queued.job));
        }
        let mut order = Vec::new();
        loop {
            let first = |model: usize| Some((in_batch[model], waiting[model].front()?.0, model));
            let Some((_, _, model)) = (0..in_batch.len()).filter_map(first).min() else { return order };
            order.extend(waiting[model].pop_front().map(|(_, job)| job));
            in_batch[model] += 1;
        }
    }

    /// Takes up to `free` images of models that `can_draw` accepts. Each image is one of the job with the fewest images in
    /// batches; among equal jobs, of the model with the fewest images in batches; among these, of the earliest job. So a
    /// job of one image doesn't wait behind a job of sixteen, nor a model behind another with many jobs; a job that is
    /// alone starts all its images together; and no job starves.
    ///
    /// `in_batch_of_job` and `in_batch_of_model` are the numbers of images that are already in batches.
    pub fn take_images(
        &mut self,
        free: usize,
        mut in_batch_of_job: HashMap<JobId, usize>,
        mut in_batch_of_model: Vec<usize>,
        can_draw: impl Fn(usize) -> bool,
    ) -> Vec<(Arc<Job>, u32)> {
        let mut taken = Vec::new();
        while taken.len() < free {
            let in_batch = |queued: &QueuedJob| {
                let of_job = in_batch_of_job.get(&queued.job.id).copied().unwrap_or(0);
                (of_job, in_batch_of_model[queued.model()])
            };
            let drawable = self.jobs.iter().enumerate().filter(|(_, queued)| can_draw(queued.model()));
            // `min_by_key` returns the first of several equal jobs.
            let Some((at, queued)) = drawable.min_by_key(|(_, queued)| in_batch(queued)) else { break };
            *in_batch_of_job.entry(queued.job.id).or_default() += 1;
            in_batch_of_model[queued.model()] += 1;
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
