//! The workers that a gateway hears of, and the measured speed at which all of them draw.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The time between two reports of a worker.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// A worker that was silent for this time is gone.
const TIMEOUT: Duration = Duration::from_secs(5);
/// More workers than this aren't kept.
const MAX_WORKERS: usize = 10_000;
/// The longest name of a worker, a device or a model, in bytes.
const MAX_NAME: usize = 256;
/// The time over which images are counted.
const WINDOW: Duration = Duration::from_secs(30);

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// The worker's name, different for each process.
    pub name: String,
    /// The devices on which it draws.
    pub devices: Vec<String>,
    /// The models that it draws with.
    pub models: Vec<WorkerModel>,
    /// The largest number of images that it draws at the same time.
    pub slots: u32,
    /// The number of images that it draws now.
    pub slots_in_use: u32,
    /// The images that it finished in each second of the last half minute.
    pub images_per_second: f64,
    /// The version of the program.
    pub version: String,
    /// Whether it ends after the images that it draws.
    pub leaving: bool,
}

/// A model of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkerModel {
    pub name: String,
    pub version: String,
    /// The transformer's precision, for example `f32`.
    pub precision: String,
}

impl WorkerReport {
    /// Whether it takes images of a model in a version.
    pub(super) fn draws(&self, name: &str, version: &str) -> bool {
        !self.leaving && self.models.iter().any(|model| model.name == name && model.version == version)
    }

    fn is_valid(&self) -> bool {
        let models = self.models.iter().flat_map(|model| [&model.name, &model.version, &model.precision]);
        let texts = [&self.name, &self.version].into_iter().chain(&self.devices).chain(models);
        let is_valid =
            |text: &String| !text.is_empty() && text.len() <= MAX_NAME && !text.contains(char::is_control);
        self.devices.len() <= 64
            && self.models.len() <= 256
            && self.images_per_second.is_finite()
            && self.images_per_second >= 0.0
            && texts.into_iter().all(is_valid)
    }
}

/// The workers that reported lately.
#[derive(Debug, Default)]
pub(super) struct Fleet(Mutex<HashMap<String, (Instant, WorkerReport)>>);

impl Fleet {
    /// Takes a report. Returns whether it was valid.
    pub fn record(&self, report: WorkerReport) -> bool {
        if !report.is_valid() {
            return false;
        }
        let mut workers = self.0.lock();
        if report.leaving && report.slots_in_use == 0 {
            workers.remove(&report.name);
        } else if workers.len() < MAX_WORKERS || workers.contains_key(&report.name) {
            workers.insert(report.name.clone(), (Instant::now(), report));
        }
        true
    }

    /// The workers, by name.
    pub fn workers(&self) -> Vec<WorkerReport> {
        let mut workers = self.0.lock();
        workers.retain(|_, (seen, _)| seen.elapsed() < TIMEOUT);
        let mut reports: Vec<_> = workers.values().map(|(_, report)| report.clone()).collect();
        reports.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        reports
    }

    /// Whether a worker draws with a model in a version.
    pub fn draws(&self, name: &str, version: &str) -> bool {
        self.workers().iter().any(|worker| worker.draws(name, version))
    }
}

/// Counts finished images, for their number in a second.
#[derive(Debug, Default)]
pub(super) struct Throughput(Mutex<VecDeque<Instant>>);

impl Throughput {
    /// The largest number of images that are remembered.
    const CAPACITY: usize = 100_000;

    pub fn record(&self) {
        let mut finished = self.0.lock();
        finished.push_back(Instant::now());
        if finished.len() > Self::CAPACITY {
            finished.pop_front();
        }
    }

    /// Images per second of the last half minute; 0 if there were none.
    pub fn images_per_second(&self) -> f64 {
        let mut finished = self.0.lock();
        while finished.front().is_some_and(|at| at.elapsed() > WINDOW) {
            finished.pop_front();
        }
        let Some(first) = finished.front() else { return 0.0 };
        finished.len() as f64 / first.elapsed().as_secs_f64().max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(name: &str) -> WorkerReport {
        WorkerReport {
            name: name.into(),
            devices: vec!["cpu".into()],
            models: vec![WorkerModel { name: "m".into(), version: "1".into(), precision: "f32".into() }],
            slots: 16,
            slots_in_use: 0,
            images_per_second: 0.0,
            version: "1".into(),
            leaving: false,
        }
    }

    #[test]
    fn worker_is_listed_until_it_leaves() {
        let fleet = Fleet::default();
        assert!(fleet.record(report("b")) && fleet.record(report("a")));
        assert_eq!(fleet.workers(), [report("a"), report("b")]);
        assert!(fleet.draws("m", "1") && !fleet.draws("m", "2"));
        fleet.record(WorkerReport { leaving: true, ..report("b") });
        assert_eq!(fleet.workers(), [report("a")]);
    }

    #[test]
    fn invalid_report_is_refused() {
        let fleet = Fleet::default();
        for invalid in [report(""), report("a\n"), report(&"a".repeat(257))] {
            assert!(!fleet.record(invalid));
        }
        assert!(!fleet.record(WorkerReport { images_per_second: f64::NAN, ..report("a") }));
        assert!(fleet.workers().is_empty());
    }
}
