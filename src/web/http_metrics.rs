//! HTTP metrics: requests by route, open connections and event streams.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The labels of a request. Each has few values, whatever clients send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    method: &'static str,
    /// The route's pattern, with the names of its parameters.
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    method: &'static str,
    route: String,
    status: u16,
}

/// Half a millisecond to 8 s.
#[derive(Debug, Clone)]
struct ResponseTimeBuckets;

impl MetricConstructor<Histogram> for ResponseTimeBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0005, 2.0, 15))
    }
}

/// Cheap to clone; all clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct HttpMetrics {
    requests: Family<ByStatus, Counter>,
    request_seconds: Family<ByRoute, Histogram, ResponseTimeBuckets>,
    pub connections: Gauge,
    pub streams: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(ResponseTimeBuckets),
            connections: Gauge::default(),
            streams: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let metrics = self.clone();
        registry.register("requests", "Requests answered", metrics.requests);
        registry.register_with_unit(
            "request",
            "Time from a request's headers to its response's",
            Unit::Seconds,
            metrics.request_seconds,
        );
        registry.register("connections", "Open connections", metrics.connections);
        registry.register("event_streams", "Open event streams", metrics.streams);
    }
}

/// Middleware that counts a request and its time.
pub(super) async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let method = method_name(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let started = Instant::now();
    let response = next.run(request).await;
    let seconds = started.elapsed().as_secs_f64();
    metrics.request_seconds.get_or_create(&ByRoute { method, route: route.clone() }).observe(seconds);
    metrics.requests.get_or_create(&ByStatus { method, route, status: response.status().as_u16() }).inc();
    response
}

/// The method's name; `other` for methods that no route has.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Increments a gauge until it is dropped.
#[derive(Debug)]
pub(super) struct GaugeGuard(Gauge);

impl GaugeGuard {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for GaugeGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}
