//! What an operator watches: counters, gauges and histograms of the engine.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::job::{Job, Outcome};
use super::{Status, SubmitError};
use crate::model::ModelInfo;

/// The labels of the end that a job came to, or an image's job.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    model: String,
    status: &'static str,
}

/// The label of a model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByModel {
    model: String,
}

/// The label of why a job was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByReason {
    reason: &'static str,
}

/// The label of a worker.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDevice {
    device: String,
}

/// The labels of a worker's model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDeviceAndModel {
    device: String,
    model: String,
}

/// Seconds from a job's acceptance: 5 ms to 80 s.
#[derive(Debug, Clone)]
struct WaitBuckets;

/// Seconds of one step: 1 ms to 8 s.
#[derive(Debug, Clone)]
struct StepBuckets;

/// Images in one step: 1 to 256.
#[derive(Debug, Clone)]
struct BatchBuckets;

impl MetricConstructor<Histogram> for WaitBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.005, 2.0, 15))
    }
}

impl MetricConstructor<Histogram> for StepBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.001, 2.0, 14))
    }
}

impl MetricConstructor<Histogram> for BatchBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(1.0, 2.0, 9))
    }
}

/// Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub queue_images: Gauge,
    pub live_jobs: Gauge,
    pub ended_jobs: Gauge,
    slots: Family<ByDevice, Gauge>,
    loaded: Family<ByDeviceAndModel, Gauge>,
    step_seconds: Family<ByDeviceAndModel, Histogram, StepBuckets>,
    batch_images: Family<ByDeviceAndModel, Histogram, BatchBuckets>,
    faults: Family<ByDeviceAndModel, Counter>,
    jobs: Family<ByStatus, Counter>,
    images: Family<ByStatus, Counter>,
    refused: Family<ByReason, Counter>,
    first_step_seconds: Family<ByModel, Histogram, WaitBuckets>,
    completion_seconds: Family<ByModel, Histogram, WaitBuckets>,
}

/// Those of one model on one worker.
#[derive(Debug, Clone)]
pub(super) struct LaneMetrics {
    pub loaded: Gauge,
    pub step_seconds: Histogram,
    pub batch_images: Histogram,
    pub faults: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            queue_images: Gauge::default(),
            live_jobs: Gauge::default(),
            ended_jobs: Gauge::default(),
            slots: Family::default(),
            loaded: Family::default(),
            step_seconds: Family::new_with_constructor(StepBuckets),
            batch_images: Family::new_with_constructor(BatchBuckets),
            faults: Family::default(),
            jobs: Family::default(),
            images: Family::default(),
            refused: Family::default(),
            first_step_seconds: Family::new_with_constructor(WaitBuckets),
            completion_seconds: Family::new_with_constructor(WaitBuckets),
        }
    }
}

impl Metrics {
    /// Names them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let all = self.clone();
        registry.register("queue_images", "Images waiting for a slot", all.queue_images);
        registry.register("live_jobs", "Jobs that are queued or running", all.live_jobs);
        registry.register("ended_jobs", "Ended jobs that are still readable", all.ended_jobs);
        registry.register("slots_in_use", "Images in flight", all.slots);
        registry.register("model_loaded", "Whether the model is loaded and works", all.loaded);
        registry.register_with_unit("step", "Time of one step of a batch", Unit::Seconds, all.step_seconds);
        registry.register("batch_images", "Images in one step", all.batch_images);
        registry.register("faults", "Batches lost to an error or a panic of the model", all.faults);
        registry.register("jobs", "Jobs by the end they came to", all.jobs);
        registry.register(
            "images",
            "Images by end: finished ones are completed, the others as their job",
            all.images,
        );
        registry.register("refused_jobs", "Jobs that were not accepted", all.refused);
        registry.register_with_unit(
            "first_step",
            "From a job's acceptance to its first step",
            Unit::Seconds,
            all.first_step_seconds,
        );
        registry.register_with_unit(
            "completion",
            "From a job's acceptance to its completion",
            Unit::Seconds,
            all.completion_seconds,
        );
    }

    /// Makes the metrics of these devices and models present from now on, before anything happens there.
    pub fn announce(&self, devices: &[String], models: &[Arc<ModelInfo>]) {
        for device in devices {
            self.slots(device);
            models.iter().for_each(|model| drop(self.lane(device, &model.config.name)));
        }
    }

    /// The images in flight on a device.
    pub fn slots(&self, device: &str) -> Gauge {
        self.slots.get_or_create_owned(&ByDevice { device: device.to_owned() })
    }

    /// The metrics of a model on the worker of a device.
    pub fn lane(&self, device: &str, model: &str) -> LaneMetrics {
        let label = ByDeviceAndModel { device: device.to_owned(), model: model.to_owned() };
        LaneMetrics {
            loaded: self.loaded.get_or_create_owned(&label),
            step_seconds: self.step_seconds.get_or_create_owned(&label),
            batch_images: self.batch_images.get_or_create_owned(&label),
            faults: self.faults.get_or_create_owned(&label),
        }
    }

    /// A job ended.
    pub fn ended(&self, job: &Job, outcome: &Outcome) {
        let label = |status: Status| {
            let model = job.info.config.name.clone();
            ByStatus { model, status: status.as_str() }
        };
        let count = |status: Status, images: u64| {
            self.images.get_or_create(&label(status)).inc_by(images);
        };
        self.jobs.get_or_create(&label(outcome.status)).inc();
        let finished = outcome.images as u64;
        count(Status::Completed, finished);
        if outcome.status == Status::Completed {
            self.completion_seconds.get_or_create(&of(job)).observe(outcome.time.as_secs_f64());
        } else {
            count(outcome.status, u64::from(job.request.count()).saturating_sub(finished));
        }
    }

    /// A job took its first step.
    pub fn first_step(&self, job: &Job) {
        self.first_step_seconds.get_or_create(&of(job)).observe(job.accepted.elapsed().as_secs_f64());
    }

    pub fn refused(&self, error: &SubmitError) {
        let reason = match error {
            SubmitError::UnknownModel => "unknown_model",
            SubmitError::Full { .. } => "full",
            SubmitError::NotReady { .. } => "not_ready",
            SubmitError::ShuttingDown => "shutting_down",
        };
        self.refused.get_or_create(&ByReason { reason }).inc();
    }
}

fn of(job: &Job) -> ByModel {
    ByModel { model: job.info.config.name.clone() }
}
