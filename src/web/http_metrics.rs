//! What HTTP adds to the metrics: requests by route, open connections and event streams.

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

/// The labels of a request. All have few values, whatever clients send.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRoute {
    method: &'static str,
    /// As the router spells it, with its parameters' names.
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStatus {
    method: &'static str,
    route: String,
    status: u16,
}

/// Seconds of one answer: half a millisecond to 8 s.
#[derive(Debug, Clone)]
struct AnswerBuckets;

impl MetricConstructor<Histogram> for AnswerBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(exponential_buckets(0.0005, 2.0, 15))
    }
}

/// Cheap to clone: all clones count together.
#[derive(Debug, Clone)]
pub(super) struct HttpMetrics {
    requests: Family<ByStatus, Counter>,
    request_seconds: Family<ByRoute, Histogram, AnswerBuckets>,
    pub connections: Gauge,
    pub streams: Gauge,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(AnswerBuckets),
            connections: Gauge::default(),
            streams: Gauge::default(),
        }
    }
}

impl HttpMetrics {
    /// Names them in a registry.
    pub fn register(&self, registry: &mut Registry) {
        let all = self.clone();
        registry.register("requests", "Requests answered", all.requests);
        registry.register_with_unit(
            "request",
            "From a request's head to its answer's",
            Unit::Seconds,
            all.request_seconds,
        );
        registry.register("connections", "Open connections", all.connections);
        registry.register("event_streams", "Open event streams", all.streams);
    }
}

/// Counts a request and its time.
pub(super) async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let method = known(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let begun = Instant::now();
    let response = next.run(request).await;
    let seconds = begun.elapsed().as_secs_f64();
    metrics.request_seconds.get_or_create(&ByRoute { method, route: route.clone() }).observe(seconds);
    metrics.requests.get_or_create(&ByStatus { method, route, status: response.status().as_u16() }).inc();
    response
}

/// A method's name; a client can make up others.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Counts as one in a gauge until it is dropped.
#[derive(Debug)]
pub(super) struct Counted(Gauge);

impl Counted {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
