//! The names of subjects, streams and consumers.

use crate::engine::{JobId, ModelHandle, ModelInfo};

/// The names that begin with a prefix.
#[derive(Debug, Clone)]
pub(super) struct Names {
    prefix: String,
}

impl Names {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The stream of images to draw.
    pub fn work_stream(&self) -> String {
        format!("{}_work", self.prefix)
    }

    /// The subjects of [`Names::work_stream`].
    pub fn all_work(&self) -> String {
        format!("{}.work.>", self.prefix)
    }

    /// The subject of an image that is to be drawn by a model in its version.
    pub fn work(&self, model: &ModelInfo, job: JobId, image: u32) -> String {
        format!("{}.{job}.{image}", self.work_of_model(model))
    }

    fn work_of_model(&self, model: &ModelInfo) -> String {
        format!("{}.work.{}.{}", self.prefix, token(&model.config.name), model.version)
    }

    /// The subjects of the images that a model may draw.
    pub fn work_filter(&self, model: &ModelInfo) -> String {
        format!("{}.>", self.work_of_model(model))
    }

    /// The subjects of the images of a job.
    pub fn work_of_job(&self, job: JobId) -> String {
        format!("{}.work.*.*.{job}.*", self.prefix)
    }

    /// The consumer of the workers of a model in its version.
    pub fn consumer(&self, model: &ModelInfo) -> String {
        format!("{}-{}", token(&model.config.name), model.version)
    }

    /// The stream of events.
    pub fn event_stream(&self) -> String {
        format!("{}_events", self.prefix)
    }

    /// The subjects of [`Names::event_stream`].
    pub fn all_events(&self) -> String {
        format!("{}.events.>", self.prefix)
    }

    /// The subject of a job's acceptance.
    pub fn accepted(&self, job: JobId) -> String {
        format!("{}.events.{job}.accepted", self.prefix)
    }

    /// The subject of a job's positions.
    pub fn position(&self, job: JobId) -> String {
        format!("{}.events.{job}.position", self.prefix)
    }

    /// The subject of an image's events.
    pub fn image(&self, job: JobId, image: u32) -> String {
        format!("{}.events.{job}.image.{image}", self.prefix)
    }

    /// The subject of an image's starts, of which the last counts.
    pub fn started(&self, job: JobId, image: u32) -> String {
        format!("{}.started", self.image(job, image))
    }

    /// The subject of a job's early end.
    pub fn ended(&self, job: JobId) -> String {
        format!("{}.events.{job}.ended", self.prefix)
    }

    /// The subjects of all early ends.
    pub fn all_ended(&self) -> String {
        format!("{}.events.*.ended", self.prefix)
    }

    /// The job of a subject of events.
    pub fn job_of_event(&self, subject: &str) -> Option<JobId> {
        let rest = subject.strip_prefix(&self.prefix)?.strip_prefix(".events.")?;
        rest.split('.').next()?.parse().ok()
    }

    /// The index of the model, the job and the image of a subject of work of one of these models.
    pub fn image_of_work(&self, subject: &str, models: &[ModelHandle]) -> Option<(usize, JobId, u32)> {
        let rest = |model: &ModelHandle| subject.strip_prefix(&self.work_of_model(model))?.strip_prefix('.');
        let (index, rest) = models.iter().enumerate().find_map(|(at, model)| Some((at, rest(model)?)))?;
        let (job, image) = rest.split_once('.')?;
        Some((index, job.parse().ok()?, image.parse().ok()?))
    }

    /// The subject of what workers say about themselves.
    pub fn worker(&self, worker: &str) -> String {
        format!("{}.workers.{worker}", self.prefix)
    }

    /// The subjects of all workers.
    pub fn all_workers(&self) -> String {
        format!("{}.workers.*", self.prefix)
    }

    /// The subject of requests to tokenize with a model in its version.
    pub fn tokenize(&self, model: &ModelInfo) -> String {
        format!("{}.tokenize.{}.{}", self.prefix, token(&model.config.name), model.version)
    }

    /// The subject on which gateways tell each other what the limits of clients counted.
    pub fn charges(&self) -> String {
        format!("{}.charges", self.prefix)
    }

    /// The subject on which gateways ask each other who reads a job's events.
    pub fn readers(&self) -> String {
        format!("{}.readers", self.prefix)
    }
}

/// A name as one part of a subject: other characters than letters, digits, - and _ become `=` and two hexadecimal digits.
fn token(name: &str) -> String {
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_".contains(&byte) {
            token.push(byte as char);
        } else {
            token.push_str(&format!("={byte:02x}"));
        }
    }
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_model_is_one_part_of_a_subject() {
        assert_eq!(token("fashion-mnist_2"), "fashion-mnist_2");
        assert_eq!(token("a.b *>é"), "a=2eb=20=2a=3e=c3=a9");
    }

    #[test]
    fn job_is_read_from_a_subject_of_events() {
        let (names, job) = (Names::new("a.b"), JobId::random());
        for subject in [names.accepted(job), names.image(job, 3), names.ended(job), names.position(job)] {
            assert_eq!(names.job_of_event(&subject), Some(job));
        }
        assert_eq!(names.job_of_event("a.events.x.accepted"), None);
        assert_eq!(names.job_of_event("a.b.events.x.accepted"), None);
    }
}
