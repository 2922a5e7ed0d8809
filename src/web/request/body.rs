//! Request bodies: their size, their media type, JSON.

use std::fmt;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError};
use mediatype::names::{APPLICATION, BOUNDARY, FORM_DATA, JSON, MULTIPART};
use mediatype::{MediaType, MediaTypeBuf, ReadParams};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::request::shorten;
use crate::web::access::SmallPieces;
use crate::web::problem::Problem;

/// The largest request body, in bytes, of routes that don't take images. A full request has about 300.
pub(super) const BODY_LIMIT: usize = 64 * 1024;
/// Values of a JSON body at most, those in lists and objects included. Read, each takes many times its length.
const MAX_VALUES: usize = 100_000;

/// Some programs write it before UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The body of a route that doesn't take images.
pub(in crate::web) struct SmallBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for SmallBody {
    type Rejection = Problem;

    /// 413 where it is larger than [`BODY_LIMIT`], 400 where it was cut off.
    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (mut body, mut whole) = (request.into_body(), Vec::new());
        while let Some(piece) = next_piece(&mut body, BODY_LIMIT).await? {
            append(&mut whole, &piece, BODY_LIMIT)?;
        }
        Ok(Self(whole.into()))
    }
}

/// The next piece of a body; `None` at its end.
///
/// Copy it at once: kept as pieces, as they arrive, small chunks would take many times their size.
///
/// # Errors
/// 413 where the limit for all routes was reached, 400 where the body was cut off or comes in too many small pieces.
pub(super) async fn next_piece(body: &mut Body, limit: usize) -> Result<Option<Bytes>, Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if has_cause::<LengthLimitError>(&error) {
                return too_long(limit);
            }
            let detail = match has_cause::<SmallPieces>(&error) {
                true => "The body comes in too many small pieces: send larger chunks.",
                false => "The body was cut off, or can't be decompressed.",
            };
            Problem::new(StatusCode::BAD_REQUEST, detail)
        })?;
        if let Ok(piece) = frame.into_data() {
            return Ok(Some(piece));
        }
    }
    Ok(None)
}

/// Appends a piece.
///
/// # Errors
/// 413 where the body is longer than `limit` then.
pub(super) fn append(whole: &mut Vec<u8>, piece: &[u8], limit: usize) -> Result<(), Problem> {
    if whole.len() + piece.len() > limit {
        return Err(too_long(limit));
    }
    whole.extend_from_slice(piece);
    Ok(())
}

fn too_long(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("The body is larger than {limit} bytes."))
}

/// Whether an error follows from one of this type.
fn has_cause<E: std::error::Error + 'static>(error: &axum::Error) -> bool {
    let mut causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    causes.any(|cause| cause.is::<E>())
}

/// Reads a JSON body with an object.
///
/// # Errors
/// 415 for a content type other than JSON, 413 for a body with too many values, 400 for a body that isn't JSON, 422 for one that isn't an object or has a field
/// twice.
pub(in crate::web) fn read_json_object(
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Map<String, Value>, Problem> {
    if !is_json(headers) {
        let detail = "Send JSON with the header Content-Type: application/json.";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
    }
    let body = body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body);
    if has_too_many_values(body) {
        let detail = format!("The body has more than {MAX_VALUES} values.");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let object: Result<JsonObject, _> = serde_json::from_slice(body);
    object.map(|object| object.0).map_err(|error| {
        // Messages of serde_json name the fault and its line and column, but they may also quote a whole text.
        let (is_data, error) = (error.is_data(), shorten(&error.to_string()));
        if is_data {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("The body is invalid: {error}."))
        } else {
            Problem::new(StatusCode::BAD_REQUEST, format!("The body is not JSON: {error}."))
        }
    })
}

/// Whether a JSON text may have more than [`MAX_VALUES`] values, by its commas and brackets: each value follows one of them,
/// except the first.
fn has_too_many_values(body: &[u8]) -> bool {
    if body.len() <= MAX_VALUES {
        return false;
    }
    let (mut values, mut in_string, mut is_escaped) = (1, false, false);
    for &byte in body {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values > MAX_VALUES
}

/// An object without repeated names, of which serde_json keeps the last.
struct JsonObject(Map<String, Value>);

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<JsonObject, A::Error> {
                let mut object = Map::new();
                while let Some((name, value)) = entries.next_entry::<String, Value>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("duplicate field `{name}`")));
                    }
                    object.insert(name, value);
                }
                Ok(JsonObject(object))
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// `application/json` with any parameters, `application/…+json`, or no media type.
fn is_json(headers: &HeaderMap) -> bool {
    !headers.contains_key(header::CONTENT_TYPE)
        || content_type(headers).is_some_and(|kind| {
            kind.ty() == APPLICATION && (kind.subty() == JSON || kind.suffix() == Some(JSON))
        })
}

/// Whether a body is a form, which has a boundary.
pub(in crate::web) fn is_form(headers: &HeaderMap) -> bool {
    let form = MediaType::new(MULTIPART, FORM_DATA);
    let has_boundary = |kind: MediaTypeBuf| kind.essence() == form && kind.get_param(BOUNDARY).is_some();
    content_type(headers).is_some_and(has_boundary)
}

/// Whether a body has this media type, with any parameters.
pub(in crate::web) fn has_media_type(headers: &HeaderMap, expected: &MediaType<'_>) -> bool {
    content_type(headers).is_some_and(|kind| kind.essence() == *expected)
}

fn content_type(headers: &HeaderMap) -> Option<MediaTypeBuf> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()?.parse().ok()
}
