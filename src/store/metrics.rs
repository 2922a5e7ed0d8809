//! The store's metrics.

use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// Cheap to clone: all clones share their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    failures: Family<OperationLabels, Counter<u64, AtomicU64>>,
    pub degraded: Gauge<i64, AtomicI64>,
    pub pictures: Gauge<i64, AtomicI64>,
    pub bytes: Gauge<i64, AtomicI64>,
}

impl Metrics {
    /// Counts something that could not be written or read.
    pub fn record_failure(&self, operation: &'static str) {
        self.failures.get_or_create(&OperationLabels { operation }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        for operation in ["accept", "finish", "change", "remove", "read"] {
            let _ = self.failures.get_or_create(&OperationLabels { operation });
        }
        registry.register(
            "failures",
            "Generations that the store could not keep, and other operations of the store that failed",
            self.failures.clone(),
        );
        registry.register(
            "degraded",
            "Whether the store can't be written: 1 if so, otherwise 0",
            self.degraded.clone(),
        );
        registry.register("pictures", "Pictures in the store", self.pictures.clone());
        registry.register_with_unit(
            "size",
            "Size of the store's pictures, events and requests",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }
}
