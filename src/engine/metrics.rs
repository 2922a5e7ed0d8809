//! The engine's metrics: counters, gauges and histograms for the operator.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::error::SubmitError;
use super::event::Status;
use super::job::{Job, Outcome};
use super::model_handle::ModelHandle;
use crate::model::Computation;

/// The labels of ended jobs and their images.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    model: String,
    status: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

/// The label of refused jobs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    device: String,
}

/// The labels of a model instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    device: String,
    model: String,
}

/// The labels of how a model computes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PrecisionLabels {
    model: String,
    precision: &'static str,
    passes: u8,
}

/// Buckets for times from a job's acceptance: 5 ms to 80 s.
#[derive(Debug, Clone)]
struct WaitBuckets;

/// Buckets for the time of one step: 1 ms to 8 s.
#[derive(Debug, Clone)]
struct StepBuckets;

/// Buckets for the number of images in one step: 1 to 256.
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

/// All metrics of an engine. Cheap to clone: all clones share their values.
#[derive(Debug, Clone)]
pub(super) struct Metrics {
    pub queue_images: Gauge,
    pub live_jobs: Gauge,
    pub ended_jobs: Gauge,
    slots: Family<DeviceLabels, Gauge>,
    loaded: Family<InstanceLabels, Gauge>,
    precision: Family<PrecisionLabels, Gauge>,
    step_seconds: Family<InstanceLabels, Histogram, StepBuckets>,
    batch_images: Family<InstanceLabels, Histogram, BatchBuckets>,
    faults: Family<InstanceLabels, Counter>,
    jobs: Family<StatusLabels, Counter>,
    images: Family<StatusLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    first_step_seconds: Family<ModelLabels, Histogram, WaitBuckets>,
    completion_seconds: Family<ModelLabels, Histogram, WaitBuckets>,
}

/// The metrics of one model on one worker.
#[derive(Debug, Clone)]
pub(super) struct ModelInstanceMetrics {
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
            precision: Family::default(),
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
    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = self.clone();
        registry.register("queue_images", "Images waiting for a slot", metrics.queue_images);
        registry.register("live_jobs", "Jobs that are queued or running", metrics.live_jobs);
        registry.register("ended_jobs", "Ended jobs that are still readable", metrics.ended_jobs);
        registry.register("slots_in_use", "Images in flight", metrics.slots);
        registry.register("model_loaded", "Whether the model is loaded and works", metrics.loaded);
        registry.register(
            "model_precision",
            "1 for the precision and the passes of the model",
            metrics.precision,
        );
        registry.register_with_unit(
            "step",
            "Time of one step of a batch",
            Unit::Seconds,
            metrics.step_seconds,
        );
        registry.register("batch_images", "Images in one step", metrics.batch_images);
        registry.register("faults", "Batches lost to an error or a panic of the model", metrics.faults);
        registry.register("jobs", "Jobs by the end they came to", metrics.jobs);
        registry.register(
            "images",
            "Images by end: finished ones are completed, the others as their job",
            metrics.images,
        );
        registry.register("refused_jobs", "Jobs that were not accepted", metrics.refused);
        registry.register_with_unit(
            "first_step",
            "From a job's acceptance to its first step",
            Unit::Seconds,
            metrics.first_step_seconds,
        );
        registry.register_with_unit(
            "completion",
            "From a job's acceptance to its completion",
            Unit::Seconds,
            metrics.completion_seconds,
        );
    }

    /// Creates the time series of these devices and models, so that they are exported before their first event.
    pub fn create_series(&self, devices: &[String], models: &[ModelHandle]) {
        for device in devices {
            self.slots(device);
            models.iter().for_each(|model| drop(self.model_instance(device, model.name())));
        }
        for model in models {
            let Computation { precision, passes } = model.computation;
            let (model, precision, passes) = (model.name().to_owned(), precision.name(), passes.number());
            let label = PrecisionLabels { model, precision, passes };
            self.precision.get_or_create_owned(&label).set(1);
        }
    }

    /// The gauge of the images in flight on a device.
    pub fn slots(&self, device: &str) -> Gauge {
        self.slots.get_or_create_owned(&DeviceLabels { device: device.to_owned() })
    }

    /// The metrics of a model on the worker of a device.
    pub fn model_instance(&self, device: &str, model: &str) -> ModelInstanceMetrics {
        let label = InstanceLabels { device: device.to_owned(), model: model.to_owned() };
        ModelInstanceMetrics {
            loaded: self.loaded.get_or_create_owned(&label),
            step_seconds: self.step_seconds.get_or_create_owned(&label),
            batch_images: self.batch_images.get_or_create_owned(&label),
            faults: self.faults.get_or_create_owned(&label),
        }
    }

    pub fn record_end(&self, job: &Job, outcome: &Outcome) {
        let label = |status: Status| {
            let model = job.model().name().to_owned();
            StatusLabels { model, status: status.as_str() }
        };
        let count = |status: Status, images: u64| {
            self.images.get_or_create(&label(status)).inc_by(images);
        };
        self.jobs.get_or_create(&label(outcome.status)).inc();
        let finished = outcome.finished_images as u64;
        count(Status::Completed, finished);
        if outcome.status == Status::Completed {
            self.completion_seconds.get_or_create(&model_labels(job)).observe(outcome.duration.as_secs_f64());
        } else {
            count(outcome.status, u64::from(job.request.count()).saturating_sub(finished));
        }
    }

    /// Records that a job took its first step.
    pub fn record_first_step(&self, job: &Job) {
        self.first_step_seconds
            .get_or_create(&model_labels(job))
            .observe(job.accepted.elapsed().as_secs_f64());
    }

    pub fn record_refused(&self, error: &SubmitError) {
        let reason = match error {
            SubmitError::UnknownModel => "unknown_model",
            SubmitError::Full { .. } => "full",
            SubmitError::NotReady { .. } => "not_ready",
            SubmitError::Unavailable { .. } => "unavailable",
            SubmitError::ShuttingDown => "shutting_down",
        };
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }
}

fn model_labels(job: &Job) -> ModelLabels {
    ModelLabels { model: job.model().name().to_owned() }
}
