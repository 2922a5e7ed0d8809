//! Where a stream resumes: after the event that `Last-Event-ID` names.

use std::num::{IntErrorKind, ParseIntError};

use axum::http::{HeaderMap, HeaderName};
use serde_json::Value;

use crate::request::FieldError;
use crate::web::problem::Problem;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The number of the last event that the client has seen; 0 without the header.
///
/// # Errors
/// 422 where it is not a number.
pub(in crate::web) fn last_event_id(headers: &HeaderMap) -> Result<u64, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(0) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let number = text.trim().parse().or_else(|error: ParseIntError| match error.kind() {
        // From before a restart of the server: beyond the last event, like any other large number.
        IntErrorKind::PosOverflow => Ok(u64::MAX),
        _ => Err(error),
    });
    number.map_err(|_| {
        let value = Value::String(text.into_owned());
        let allowed = "the id of an event of this stream, or no such header";
        Problem::invalid(FieldError::new(LAST_EVENT_ID.as_str(), value, allowed))
    })
}
