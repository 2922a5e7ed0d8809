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

impl Queue {
    pub fn push(&mut self, job: Arc<Job>) {
        self.jobs.push_back(Waiting { job, next: 0 });
    }

    /// Forgets the images of a job that haven't begun.
    pub fn remove(&mut self, id: JobId) {
        self.jobs.retain(|waiting| waiting.job.id != id);
    }

    pub fn clear(&mut self) {
        self.jobs.clear();
    }

    /// Takes all jobs out.
    pub fn drain(&mut self) -> Vec<Arc<Job>> {
        self.jobs.drain(..).map(|waiting| waiting.job).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Jobs waiting.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Images waiting.
    pub fn images(&self) -> usize {
        self.jobs.iter().map(|waiting| (waiting.job.request.count() - waiting.next) as usize).sum()
    }

    /// A job's place, 1 is the first.
    pub fn position(&self, id: JobId) -> Option<usize> {
        self.jobs.iter().position(|waiting| waiting.job.id == id).map(|at| at + 1)
    }

    /// Deals up to `free` slots, each to the job with the fewest images in flight, the earliest where several have
    /// equally few. So one image isn't stuck behind sixteen, a job that is alone gets all its images begun together,
    /// and none starves: a job without any image in flight goes before all later ones.
    ///
    /// `in_flight` counts the images that each job already has in the batch.
    pub fn take(&mut self, free: usize, mut in_flight: HashMap<JobId, usize>) -> Vec<(Arc<Job>, u32)> {
        self.jobs.retain(|waiting| waiting.job.is_live());
        let mut taken = Vec::new();
        while taken.len() < free {
            let held = |waiting: &Waiting| in_flight.get(&waiting.job.id).copied().unwrap_or(0);
            // `min_by_key` returns the first of several equal ones.
            let Some((at, _)) = self.jobs.iter().enumerate().min_by_key(|(_, waiting)| held(waiting)) else {
                break;
            };
            let waiting = &mut self.jobs[at];
            taken.push((Arc::clone(&waiting.job), waiting.next));
            *in_flight.entry(waiting.job.id).or_default() += 1;
            waiting.next += 1;
            if waiting.next == waiting.job.request.count() {
                self.jobs.remove(at);
            }
        }
        taken
    }
}
