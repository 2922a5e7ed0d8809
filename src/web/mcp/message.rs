//! JSON-RPC 2.0.

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

/// A message of a client.
pub(super) enum Message {
    Request {
        id: Value,
        method: String,
        parameters: Value,
    },
    /// Or the answer to a request of the server, which makes none.
    Notification,
    /// With its id, if it has one.
    Invalid(Value),
}

/// The codes of errors.
#[derive(Clone, Copy)]
pub(super) enum Code {
    InvalidRequest = -32600,
    MethodNotFound = -32601,
    InvalidParameters = -32602,
}

impl Message {
    pub fn read(mut body: Map<String, Value>) -> Self {
        let id = body.remove("id");
        let is_valid_id = id.as_ref().is_none_or(|id| id.is_string() || id.is_i64() || id.is_u64());
        if body.get("jsonrpc").and_then(Value::as_str) != Some("2.0") || !is_valid_id {
            return Self::Invalid(id.filter(|_| is_valid_id).unwrap_or_default());
        }
        let parameters = body.remove("params").unwrap_or_default();
        match (id, body.remove("method")) {
            (Some(id), Some(Value::String(method))) => Self::Request { id, method, parameters },
            (None, Some(Value::String(_))) => Self::Notification,
            (Some(_), None) if body.contains_key("result") || body.contains_key("error") => {
                Self::Notification
            }
            (id, _) => Self::Invalid(id.unwrap_or_default()),
        }
    }
}

/// The answer to a request that succeeded.
pub(super) fn success(id: Value, result: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "result": result})
}

/// The answer to a request that failed.
pub(super) fn failure(id: Value, code: Code, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "error": {"code": code as i32, "message": message}})
}

/// Says how far a request is.
pub(super) fn progress(token: &Value, done: usize, total: usize, message: String) -> Value {
    let parameters = json!({"progressToken": token, "progress": done, "total": total, "message": message});
    json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": parameters})
}

/// A message as the whole answer.
pub(super) fn json_answer(message: Value) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(message)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Message {
        let Value::Object(body) = body else { panic!("no object") };
        Message::read(body)
    }

    #[test]
    fn kinds_of_messages_are_told_apart() {
        let request = read(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
        assert!(matches!(request, Message::Request { id, .. } if id == 1));
        assert!(matches!(read(json!({"jsonrpc": "2.0", "method": "a/b"})), Message::Notification));
        assert!(matches!(read(json!({"jsonrpc": "2.0", "id": "x", "result": {}})), Message::Notification));
        for invalid in [
            json!({"id": 1, "method": "ping"}),
            json!({"jsonrpc": "2.0", "id": {}, "method": "ping"}),
            json!({"jsonrpc": "2.0", "id": null, "method": "ping"}),
            json!({"jsonrpc": "2.0", "id": 1, "method": 3}),
            json!({"jsonrpc": "2.0"}),
        ] {
            assert!(matches!(read(invalid.clone()), Message::Invalid(_)), "{invalid}");
        }
    }
}
