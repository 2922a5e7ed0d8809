//! What every request passes, whatever its route.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::cors::{AllowHeaders, CorsLayer, ExposeHeaders};
use tower_http::csrf::CsrfLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::{Level, Span, field};

use super::bodies;
use super::http_metrics::{self, HttpMetrics};
use super::keys::{self, Access};
use super::options::{Options, Origin, ProxyHeader};
use super::problem;
use super::rate::{self, Limiter};

/// The page loads nothing from elsewhere and has neither scripts nor styles of its own text; previews are `data:` URLs.
/// Every page that needs more says so by a policy of its own.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// No route takes more, and most take much less. A body that says to be longer is refused before it is sent.
const LARGEST_BODY: usize = 16 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the layers; the last one here is the outermost.
pub(super) fn around(routes: Router, options: &Options, metrics: &HttpMetrics) -> Router {
    let mut routes = routes
        .layer(from_fn_with_state(options.body_timeout, bodies::arrive_in_time))
        .layer(RequestBodyLimitLayer::new(LARGEST_BODY));
    if let Some(limiter) = Limiter::new(options) {
        routes = routes.layer(from_fn_with_state(limiter, rate::limit));
    }
    if let Some(access) = Access::new(options) {
        routes = routes.layer(from_fn_with_state(access, keys::check));
    }
    routes = routes
        .layer(same_origin(&options.cors_origins))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(problem::dress))
        // Leaves event streams and pictures as they are.
        .layer(CompressionLayer::new());
    if !options.cors_origins.is_empty() {
        routes = routes.layer(cors(&options.cors_origins));
    }
    let set = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let measure = from_fn_with_state(metrics.clone(), http_metrics::measure);
    let trust_proxy = options.trust_proxy;
    let trace = TraceLayer::new_for_http()
        .make_span_with(move |request: &Request| span(request, trust_proxy))
        .on_request(())
        .on_response(log)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(());
    routes
        .layer(set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::REFERRER_POLICY, "same-origin"))
        .layer(set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(measure)
        .layer(trace)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(map_request(drop_bad_request_id))
}

/// Refuses what other sites' scripts and forms send through a visitor's browser, unless theirs is allowed.
fn same_origin(trusted: &[Origin]) -> CsrfLayer {
    trusted.iter().fold(CsrfLayer::new(), |layer, origin| {
        // It refuses what is no origin; these are.
        layer.clone().add_trusted_origin(origin.as_str()).unwrap_or(layer)
    })
}

/// Lets the scripts of other sites use the API and read all of its answers. Keys are theirs to send: no cookies.
fn cors(origins: &[Origin]) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(origins.iter().filter_map(Origin::header).collect::<Vec<_>>())
        .allow_methods([Method::GET, Method::POST, Method::DELETE])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(ExposeHeaders::any())
        .max_age(Duration::from_secs(3600))
}

/// A request may bring its id, to be found again in the log, if it is one: short and without blanks.
async fn drop_bad_request_id(mut request: Request) -> Request {
    let is_id = |id: &HeaderValue| id.len() <= 128 && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if request.headers().get(&REQUEST_ID).is_some_and(|id| id.is_empty() || !is_id(id)) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// What the log says with every line about a request. Requests that come all the time are for level `debug`.
fn span(request: &Request, trust_proxy: Option<ProxyHeader>) -> Span {
    let path = request.uri().path();
    let method = request.method();
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let client = rate::address(request, trust_proxy).map(field::display);
    let key = field::Empty;
    let span = if ["/static/", "/health/", "/metrics"].iter().any(|often| path.starts_with(often)) {
        tracing::debug_span!("http", id, %method, path, client, key)
    } else {
        tracing::info_span!("http", id, %method, path, client, key)
    };
    #[cfg(feature = "otlp")]
    belong(&span, request);
    span
}

/// Makes a span part of the trace that a request's `traceparent` names.
#[cfg(feature = "otlp")]
fn belong(span: &Span, request: &Request) {
    use opentelemetry_http::HeaderExtractor;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(request.headers()))
    });
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(?error, "no traces are sent");
    }
}

/// The line of the access log, at its span's level.
fn log<B>(response: &axum::http::Response<B>, latency: Duration, span: &Span) {
    let status = response.status().as_u16();
    let ms = latency.as_millis() as u64;
    // A new job's id is the end of its address.
    let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
    if span.metadata().is_some_and(|span| *span.level() == Level::INFO) {
        tracing::info!(status, ms, location, "answered");
    } else {
        tracing::debug!(status, ms, location, "answered");
    }
}

fn panicked(payload: Box<dyn Any + Send>) -> Response {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("without a message"), "a handler panicked");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
