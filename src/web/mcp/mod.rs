//! `/mcp`: the Model Context Protocol, with which assistants use tools. Streamable HTTP, without sessions: each message is a POST
//! of one JSON-RPC object, answered with JSON or, where progress is asked for, with server-sent events.
//!
//! | file | contents |
//! |---|---|
//! | `message` | JSON-RPC: requests, results, errors, notifications |
//! | `tools` | the tools, with the schemas of their arguments, and calls that answer at once |
//! | `content` | results of tools |
//! | `draw` | the tool that draws, with progress |
//!
//! `rdpm mcp` passes messages of standard input to the same routes. <https://modelcontextprotocol.io/specification>

mod content;
mod draw;
mod message;
mod tools;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use self::message::{Code, Message, failure, json_answer, success};
use super::access::{Budget, Client};
use super::problem::Problem;
use super::request::{Upload, read_json_object};
use super::state::AppState;

/// The versions of the protocol that are spoken, the newest first.
const VERSIONS: [&str; 4] = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];
const VERSION_HEADER: HeaderName = HeaderName::from_static("mcp-protocol-version");

const INSTRUCTIONS: &str = "Draws small pictures with a Recurrent Diffusion Probabilistic Model. Call list_models first: models \
    know classes, and some know words and drawing styles. The same seed and arguments give the same picture.";

pub(super) fn routes() -> Router<AppState> {
    // Other methods are 405: there are no sessions, and nothing is sent unasked.
    Router::new().route("/mcp", post(handle))
}

/// `POST /mcp`
async fn handle(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    upload: Upload,
) -> Result<Response, Problem> {
    check_version(&upload.headers)?;
    // What is no JSON is an error of HTTP, what is no message one of JSON-RPC.
    let read = upload.read(|headers, body| read_json_object(headers, body));
    let (upload, body) = read.await?;
    drop(upload);
    let (id, method, parameters) = match Message::read(body) {
        Message::Request { id, method, parameters } => (id, method, parameters),
        Message::Notification => return Ok(StatusCode::ACCEPTED.into_response()),
        Message::Invalid(id) => {
            let answer = failure(id, Code::InvalidRequest, "This is no JSON-RPC 2.0 request.");
            return Ok(json_answer(answer));
        }
    };
    let answer = match method.as_str() {
        "initialize" => success(id, initialize(&parameters)),
        "ping" => success(id, json!({})),
        "tools/list" => success(id, json!({"tools": tools::list(&app)})),
        "tools/call" => return tools::call(app, client, budget, id, parameters).await,
        _ => failure(
            id,
            Code::MethodNotFound,
            &format!("There is no method {}.", crate::request::shorten(&method)),
        ),
    };
    Ok(json_answer(answer))
}

fn initialize(parameters: &Value) -> Value {
    let asked = parameters["protocolVersion"].as_str();
    let version = VERSIONS.into_iter().find(|version| asked == Some(version)).unwrap_or(VERSIONS[0]);
    json!({
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "rdpm", "title": "RDPM", "version": env!("CARGO_PKG_VERSION")},
        "instructions": INSTRUCTIONS,
    })
}

/// # Errors
/// 400 where the client speaks a version that was not agreed on.
fn check_version(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(version) = headers.get(VERSION_HEADER) else { return Ok(()) };
    if VERSIONS.iter().any(|known| version.as_bytes() == known.as_bytes()) {
        return Ok(());
    }
    let detail = format!("MCP-Protocol-Version is not supported. Allowed: {}.", VERSIONS.join(", "));
    Err(Problem::new(StatusCode::BAD_REQUEST, detail))
}
