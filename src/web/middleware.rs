//! The middleware that every request passes.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{from_fn, from_fn_with_state, map_request};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::decompression::RequestDecompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::trace::TraceLayer;
use tracing::{Level, Span, field};

use super::access::{
    AnswerMemory, ClientAddress, HostCheck, KeyCheck, Origin, ProxyRules, RateLimiter, check_host, check_key,
    cors, limit_answers, limit_body_time, limit_rate, limit_small_pieces, read_proxy_headers, same_origin,
    trust_origins,
};
use super::http_metrics::{HttpMetrics, measure};
use super::options::Options;
use super::problem::format_errors;

/// The page loads everything from this server and has no inline scripts or styles; previews are `data:` URLs.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; font-src 'self'; \
    img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";

/// The largest body of any route; most have a lower limit. A larger `Content-Length` is refused before the body is read.
const MAX_BODY: usize = 16 << 20;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Adds the middleware; the last one here is the outermost.
pub(super) fn apply(
    routes: Router,
    options: &Options,
    http_metrics: &HttpMetrics,
    rate_limiter: RateLimiter,
) -> Router {
    let origins: Arc<[Origin]> = options.cors_origins.clone().into();
    let mut routes = routes
        // Handlers limit the size of what comes out.
        .layer(RequestDecompressionLayer::new())
        .layer(map_request(limit_small_pieces))
        .layer(from_fn_with_state(options.body_timeout, limit_body_time))
        .layer(RequestBodyLimitLayer::new(MAX_BODY));
    if options.rate_limit.is_some() {
        routes = routes.layer(from_fn_with_state(rate_limiter, limit_rate));
    }
    if !options.keys.is_empty() {
        let check = Arc::new(KeyCheck::new(options.keys.clone(), options.public_paths));
        routes = routes.layer(from_fn_with_state(check, check_key));
    }
    routes = routes
        .layer(same_origin())
        .layer(from_fn_with_state(Arc::clone(&origins), trust_origins))
        .layer(from_fn_with_state(host_check(options), check_host))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(AnswerMemory::new(options.answer_memory), limit_answers))
        .layer(from_fn(format_errors))
        // Event streams and pictures are not compressed.
        .layer(CompressionLayer::new());
    if !options.cors_origins.is_empty() {
        routes = routes.layer(cors(origins));
    }
    let default_header = |name: HeaderName, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
    };
    let measured = from_fn_with_state(http_metrics.clone(), measure);
    let rules = ProxyRules { trusted: options.trust_proxy, root_path: options.root_path.clone() };
    let trace = TraceLayer::new_for_http()
        .make_span_with(span)
        .on_request(())
        .on_response(log)
        .on_body_chunk(())
        .on_eos(())
        .on_failure(());
    let routes = routes
        .layer(default_header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(default_header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(default_header(header::REFERRER_POLICY, "same-origin"))
        .layer(default_header(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(measured)
        .layer(trace)
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(map_request(remove_invalid_request_id));
    // Outside of the router, which would otherwise have chosen the route by the path that the proxy uses.
    Router::new().fallback_service(routes).layer(from_fn_with_state(Arc::new(rules), read_proxy_headers))
}

/// Adds the middleware of the operator's listener, which needs no keys and limits.
pub(super) fn apply_to_admin(routes: Router, options: &Options) -> Router {
    routes
        .layer(from_fn_with_state(host_check(options), check_host))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(format_errors))
}

fn host_check(options: &Options) -> Arc<HostCheck> {
    Arc::new(HostCheck::new(options.allowed_hosts.clone(), options.trust_proxy.is_some()))
}

/// Removes an invalid request id, so that a new one is made. A client may send one to find its request in the log.
async fn remove_invalid_request_id(mut request: Request) -> Request {
    let is_id = |id: &HeaderValue| id.len() <= 128 && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if request.headers().get(&REQUEST_ID).is_some_and(|id| id.is_empty() || !is_id(id)) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// The span of a request, whose fields are logged with every line. Frequent requests have level `debug`.
fn span(request: &Request) -> Span {
    let path = request.uri().path();
    let method = request.method();
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
    let client = ClientAddress::of(request.extensions()).0.map(field::display);
    let key = field::Empty;
    let span = if ["/static/", "/health/", "/metrics"].iter().any(|frequent| path.starts_with(frequent)) {
        tracing::debug_span!("http", id, %method, path, client, key)
    } else {
        tracing::info_span!("http", id, %method, path, client, key)
    };
    #[cfg(feature = "otlp")]
    set_parent(&span, request);
    span
}

/// Makes a span part of the trace in a request's `traceparent` header.
#[cfg(feature = "otlp")]
fn set_parent(span: &Span, request: &Request) {
    use opentelemetry_http::HeaderExtractor;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    let parent = opentelemetry::global::get_text_map_propagator(|propagator| {
        propagator.extract(&HeaderExtractor(request.headers()))
    });
    if let Err(error) = span.set_parent(parent) {
        tracing::trace!(?error, "the span has no parent");
    }
}

/// Writes the line of the access log, at the level of the span.
fn log<B>(response: &axum::http::Response<B>, latency: Duration, span: &Span) {
    let status = response.status().as_u16();
    let ms = latency.as_millis() as u64;
    // Ends with the id of a new job.
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
