//! Traces for an OpenTelemetry collector, over OTLP: a span for each request, with its log lines as events, in the trace of
//! its `traceparent` header. Needs `--features otlp`.

use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;

/// A layer that sends traces, if there is an endpoint.
type Sender<S> = Option<Box<dyn Layer<S> + Send + Sync>>;

/// Sends the remaining traces when it is dropped.
#[derive(Debug, Default)]
pub struct Traces(#[cfg(feature = "otlp")] Option<opentelemetry_sdk::trace::SdkTracerProvider>);

#[cfg(not(feature = "otlp"))]
pub fn start<S>(endpoint: Option<&str>) -> anyhow::Result<(Sender<S>, Traces)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    anyhow::ensure!(
        endpoint.is_none(),
        "traces can't be sent: this program was built without `--features otlp`"
    );
    Ok((None, Traces::default()))
}

#[cfg(feature = "otlp")]
pub fn start<S>(endpoint: Option<&str>) -> anyhow::Result<(Sender<S>, Traces)>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    use anyhow::Context;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{SpanExporter, WithExportConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    let Some(endpoint) = endpoint else { return Ok((None, Traces::default())) };
    let address = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder().with_http().with_endpoint(&address).build();
    let exporter = exporter.with_context(|| format!("traces can't be sent to {address}"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("rdpm").build())
        .build();
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("rdpm"));
    Ok((Some(layer.boxed()), Traces(Some(provider))))
}

#[cfg(feature = "otlp")]
impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}
