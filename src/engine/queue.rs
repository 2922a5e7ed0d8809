//! Which image is drawn next.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::JobId;
use super::job::Job;

/// Jobs with images that haven't begun, by arrival.
#[derive(Default)]
pub(super) struct Queue {
    jobs: VecDeque<Waiting>,
}

struct Waiting {
    job: Arc<Job>,
    /// The next image to begin; those before it have.
    next: u32,
}

impl Waiting {
    fn images(&self) -> usize {
        (self.job.request.count() - self.next) as usize
    }
}

impl Queue {
    pub fn push(&mut self, job: Arc<Job>) {
        self.jobs.push_back(Waiting { job, next: 0 });
    }

    /// Forgets the images of a job that haven't begun.
    pub fn remove(&mut self, id: JobId) {
        self.jobs.retain(|waiting| waiting.job.id != id);
    }

    /// Forgets jobs that have ended meanwhile.
    pub fn forget_ended(&mut self) {
        self.jobs.retain(|waiting| waiting.job.is_live());
    }

    pub fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Takes all jobs of a model out.
    pub fn drain(&mut self, model: usize) -> Vec<Arc<Job>> {
        let (taken, kept): (VecDeque<_>, _) =
            self.jobs.drain(..).partition(|waiting| waiting.job.model == model);
        self.jobs = kept;
        taken.into_iter().map(|waiting| waiting.job).collect()
    }

    /// Images waiting.
    pub fn images(&self) -> usize {
        self.jobs.iter().map(Waiting::images).sum()
    }

    /// The model of each waiting job.
    pub fn models(&self) -> impl Iterator<Item = usize> {
        self.jobs.iter().map(|waiting| waiting.job.model)
    }

    /// The jobs without any image begun, in the order in which [`Queue::deal`] would begin them. `held` counts the images
    /// that each model already has in a batch.
    pub fn unbegun(&self, mut held: Vec<usize>) -> Vec<&Arc<Job>> {
        let mut waiting: Vec<VecDeque<(usize, &Arc<Job>)>> = vec![VecDeque::new(); held.len()];
        let unbegun = self.jobs.iter().filter(|waiting| waiting.next == 0);
        for (arrival, Waiting { job, .. }) in unbegun.enumerate() {
            waiting[job.model].push_back((arrival, job));
        }
        let mut order = Vec::new();
        loop {
            let first = |model: usize| Some((held[model], waiting[model].front()?.0, model));
            let Some((_, _, model)) = (0..held.len()).filter_map(first).min() else { return order };
            order.extend(waiting[model].pop_front().map(|(_, job)| job));
            held[model] += 1;
        }
    }

    /// Deals up to `free` slots among the jobs of models that `can_draw` says, each to the job with the fewest images in
    /// flight; of several that have equally few, to one of the model with the fewest; of these, to the earliest. So one
    /// image isn't stuck behind sixteen, nor a model behind another that everybody wants; a job that is alone gets all its
    /// images begun together; and none starves.
    ///
    /// `jobs` and `models` count the images that each already has in a batch.
    pub fn deal(
        &mut self,
        free: usize,
        mut jobs: HashMap<JobId, usize>,
        mut models: Vec<usize>,
        can_draw: impl Fn(usize) -> bool,
    ) -> Vec<(Arc<Job>, u32)> {
        let mut dealt = Vec::new();
        while dealt.len() < free {
            let held = |job: &Job| (jobs.get(&job.id).copied().unwrap_or(0), models[job.model]);
            let drawable = self.jobs.iter().enumerate().filter(|(_, waiting)| can_draw(waiting.job.model));
            // `min_by_key` returns the first of several equal ones.
            let Some((at, waiting)) = drawable.min_by_key(|(_, waiting)| held(&waiting.job)) else { break };
            *jobs.entry(waiting.job.id).or_default() += 1;
            models[waiting.job.model] += 1;
            dealt.push(self.take_image(at));
        }
        dealt
    }

    /// Takes whole jobs by arrival as long as they fit into `free` slots; of a first job that is larger, as much as
    /// fits.
    pub fn take_jobs(&mut self, free: usize, can_draw: impl Fn(usize) -> bool) -> Vec<(Arc<Job>, u32)> {
        let mut taken = Vec::new();
        while let Some(at) = self.jobs.iter().position(|waiting| can_draw(waiting.job.model)) {
            let first = &self.jobs[at];
            let fits = first.images() <= free - taken.len();
            if !(fits || taken.is_empty()) {
                break;
            }
            for _ in 0..first.images().min(free - taken.len()) {
                taken.push(self.take_image(at));
            }
            if !fits {
                break;
            }
        }
        taken
    }

    fn take_image(&mut self, at: usize) -> (Arc<Job>, u32) {
        let waiting = &mut self.jobs[at];
        let image = (Arc::clone(&waiting.job), waiting.next);
        waiting.next += 1;
        if waiting.images() == 0 {
            self.jobs.remove(at);
        }
        image
    }
}
