//! `POST /mcp`: streamable HTTP. Each message is a request; the answer is JSON or, where progress is asked for, a stream of
//! events.
//!
//! There are no sessions to keep, so any server behind a balancer can answer. A client gets an id of a session, but only so that
//! it can cancel its calls (see `running_calls`).

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use rmcp::ErrorData;
use rmcp::model::{JsonRpcError, RequestId};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use uuid::Uuid;

use super::assistant_tools::AssistantTools;
use super::caller::Caller;
use super::message::Message;
use super::running_calls::RunningCalls;
use crate::web::access::{Budget, Client};
use crate::web::events::StreamPermit;
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::request::{UPLOAD_LIMIT, Upload, read_json_object};
use crate::web::state::AppState;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// What the headers of the protocol begin with.
const HEADERS: &str = "mcp-";

/// What answers the messages.
struct Endpoint {
    app: AppState,
    service: StreamableHttpService<AssistantTools, NeverSessionManager>,
    running: RunningCalls,
}

pub(in crate::web) fn routes(app: &AppState) -> Router<AppState> {
    let endpoint = Arc::new(Endpoint::new(app.clone()));
    let answer = move |client: Client, budget: Budget, upload: Upload| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.answer(client, budget, upload).await }
    };
    // Other methods are 405: there are no sessions, and nothing is sent unasked.
    Router::new().route("/mcp", post(answer))
}

impl Endpoint {
    fn new(app: AppState) -> Self {
        let running = RunningCalls::default();
        let tools = AssistantTools::remote(app.clone(), running.clone());
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            // The middleware of all routes checks hosts and origins.
            .disable_allowed_hosts()
            .with_max_request_body_bytes(UPLOAD_LIMIT);
        let service = StreamableHttpService::new(
            move || Ok(tools.clone()),
            Arc::new(NeverSessionManager::default()),
            config,
        );
        Self { app, service, running }
    }

    async fn answer(&self, client: Client, budget: Budget, upload: Upload) -> Result<Response, Problem> {
        // What is no JSON is an error of HTTP, what is no message one of the protocol.
        let read = upload.read(|headers, body| Ok(Message::read(&read_json_object(headers, body)?)));
        let (mut upload, message) = read.await?;
        let session = session(&upload.headers);
        let (id, method, has_progress) = match message {
            Message::Request { id, method, has_progress } => (id, method, has_progress),
            Message::Cancellation(id) => {
                if let Some(session) = session {
                    self.running.cancel(client, session, id);
                }
                return Ok(StatusCode::ACCEPTED.into_response());
            }
            Message::Notification => return Ok(StatusCode::ACCEPTED.into_response()),
            Message::Invalid(id) => {
                let error = ErrorData::invalid_request("This is no JSON-RPC 2.0 request.", None);
                return Ok(error_answer(id, error));
            }
        };
        let permit = if has_progress { Some(self.app.event_streams.acquire(budget.client())?) } else { None };
        let body = std::mem::take(&mut upload.body);
        let mut request = forwarded(&upload.headers, body);
        request.extensions_mut().insert(Caller::remote(client, budget, session, upload));
        let response = self.service.handle(request).await.map(Body::new);
        let mut response = checked(response, id, permit).await?;
        if method == "initialize" && response.status().is_success() {
            let session = HeaderValue::try_from(Uuid::new_v4().to_string());
            session.map(|session| response.headers_mut().insert(SESSION, session)).ok();
        }
        Ok(response)
    }
}

/// The session's id, if it may be one that this server has made.
fn session(headers: &HeaderMap) -> Option<Arc<str>> {
    let id = headers.get(SESSION)?.to_str().ok()?;
    (id.len() == 36).then(|| id.into())
}

/// The request for the crate. Of the headers it gets those of the protocol, and what it demands of the others, which have been
/// checked: a client may leave them out.
fn forwarded(headers: &HeaderMap, body: Bytes) -> Request {
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = axum::http::Method::POST;
    let own = request.headers_mut();
    for (name, value) in headers.iter().filter(|(name, _)| name.as_str().starts_with(HEADERS)) {
        own.append(name, value.clone());
    }
    own.insert(header::HOST, HeaderValue::from_static("localhost"));
    own.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    own.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    request
}

/// The crate's answer, with its errors in the shape of this server, and a stream with its permit.
async fn checked(
    mut response: Response,
    id: RequestId,
    permit: Option<StreamPermit>,
) -> Result<Response, Problem> {
    if is_type(&response, b"text/event-stream") {
        // Others must not compress events, which would delay them.
        let uncached = HeaderValue::from_static("no-store, no-transform");
        response.headers_mut().insert(header::CACHE_CONTROL, uncached);
        return Ok(response.map(|body| {
            Body::from_stream(body.into_data_stream().map(move |piece| {
                let _permit = &permit;
                piece
            }))
        }));
    }
    let status = response.status();
    if status.is_success() || is_type(&response, b"application/json") {
        response.headers_mut().insert(NO_STORE.0, NO_STORE.1);
        return Ok(response);
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // JSON-RPC, but none of the protocol's messages.
        let message = "The parameters are not those of the protocol.";
        return Ok(error_answer(Some(id), ErrorData::invalid_params(message, None)));
    }
    let text = response.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    Err(Problem::new(status, String::from_utf8_lossy(&text)))
}

fn is_type(response: &Response, kind: &[u8]) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(kind))
}

fn error_answer(id: Option<RequestId>, error: ErrorData) -> Response {
    ([NO_STORE], Json(JsonRpcError::new(id, error))).into_response()
}
