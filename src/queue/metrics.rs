//! What an operator can measure of a queue on other machines.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The metrics of a gateway. Cheap to clone: all clones share their values.
#[derive(Debug, Clone, Default)]
pub(super) struct QueueMetrics {
    pub connected: Gauge,
    pub workers: Gauge,
    pub worker_slots: Gauge,
    pub worker_slots_in_use: Gauge,
    pub invalid_messages: Counter,
}

impl QueueMetrics {
    pub fn register(&self, registry: &mut Registry) {
        let metrics = self.clone();
        registry.register("queue_connected", "Whether the queue's servers can be used", metrics.connected);
        registry.register("workers", "Workers that reported lately", metrics.workers);
        registry.register("worker_slots", "Images that all workers can draw at once", metrics.worker_slots);
        registry.register(
            "worker_slots_in_use",
            "Images that all workers draw now",
            metrics.worker_slots_in_use,
        );
        registry.register(
            "queue_invalid_messages",
            "Messages of the queue that were refused",
            metrics.invalid_messages,
        );
    }
}
