//! What is read of a message before the crate reads it: its kind, and what concerns HTTP.

use rmcp::model::RequestId;
use serde_json::{Map, Value};

/// A message of a client.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Request {
        id: RequestId,
        method: String,
        /// Whether there are notifications before the answer.
        has_progress: bool,
    },
    /// Cancels an earlier request.
    Cancellation(RequestId),
    /// Nothing that needs an answer.
    Notification,
    /// With its id, if it has one.
    Invalid(Option<RequestId>),
}

impl Message {
    pub fn read(body: &Map<String, Value>) -> Self {
        let id = body.get("id").map(request_id);
        let is_version_2 = body.get("jsonrpc").and_then(Value::as_str) == Some("2.0");
        if !is_version_2 || id == Some(None) {
            return Self::Invalid(id.flatten());
        }
        let parameter = |name: &str| body.get("params").and_then(|parameters| parameters.get(name));
        match (id.flatten(), body.get("method")) {
            (Some(id), Some(Value::String(method))) => {
                let token = parameter("_meta").and_then(|meta| meta.get("progressToken"));
                let has_progress = token.is_some_and(|token| !token.is_null());
                Self::Request { id, method: method.clone(), has_progress }
            }
            (None, Some(Value::String(method))) => match parameter("requestId").and_then(request_id) {
                Some(canceled) if method == "notifications/cancelled" => Self::Cancellation(canceled),
                _ => Self::Notification,
            },
            // The answer to a request of the server, which makes none.
            (Some(_), None) if body.contains_key("result") || body.contains_key("error") => {
                Self::Notification
            }
            (id, _) => Self::Invalid(id),
        }
    }
}

fn request_id(value: &Value) -> Option<RequestId> {
    match value {
        Value::String(text) => Some(RequestId::String(text.as_str().into())),
        value => value.as_i64().map(RequestId::Number),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Message {
        let Value::Object(body) = body else { panic!("no object") };
        Message::read(&body)
    }

    #[test]
    fn kinds_of_messages_are_told_apart() {
        let request = read(json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}));
        let expected =
            Message::Request { id: RequestId::Number(1), method: "ping".into(), has_progress: false };
        assert_eq!(request, expected);
        let parameters = json!({"_meta": {"progressToken": 0}});
        let request = read(json!({"jsonrpc": "2.0", "id": "x", "method": "ping", "params": parameters}));
        assert!(matches!(request, Message::Request { has_progress: true, .. }));
        let canceled =
            |method: &str| read(json!({"jsonrpc": "2.0", "method": method, "params": {"requestId": 7}}));
        assert_eq!(canceled("notifications/cancelled"), Message::Cancellation(RequestId::Number(7)));
        assert_eq!(canceled("notifications/other"), Message::Notification);
        assert_eq!(read(json!({"jsonrpc": "2.0", "method": "a/b"})), Message::Notification);
        assert_eq!(read(json!({"jsonrpc": "2.0", "id": "x", "result": {}})), Message::Notification);
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
