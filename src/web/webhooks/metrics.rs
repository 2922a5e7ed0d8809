//! The metrics of web hooks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What became of a web hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has answered with 2xx.
    Delivered,
    /// The receiver has answered with 410: it wants no more.
    Gone,
    /// No attempt succeeded.
    Failed,
    /// Its host leads to no address that is allowed.
    Refused,
    /// Too many were waiting, or the server stopped.
    Dropped,
}

impl Outcome {
    const ALL: [Self; 5] = [Self::Delivered, Self::Gone, Self::Failed, Self::Refused, Self::Dropped];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Gone => "gone",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

/// Cheap to clone: all clones share their values.
#[derive(Debug, Clone, Default)]
pub(super) struct Metrics {
    deliveries: Family<ByResult, Counter>,
    pub attempts: Counter,
    pub pending: Gauge,
}

impl Metrics {
    pub fn record(&self, outcome: Outcome) {
        self.deliveries.get_or_create(&ByResult { result: outcome.as_str() }).inc();
    }

    pub fn register(&self, registry: &mut Registry) {
        for outcome in Outcome::ALL {
            let _ = self.deliveries.get_or_create(&ByResult { result: outcome.as_str() });
        }
        registry.register("deliveries", "Web hooks by what became of them", self.deliveries.clone());
        registry.register("attempts", "Attempts to send a web hook", self.attempts.clone());
        registry.register(
            "pending",
            "Web hooks that are sent or wait to be sent again",
            self.pending.clone(),
        );
    }
}
