//! `multipart/form-data`: forms with files.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use futures_util::FutureExt;
use serde_json::{Map, Value};

use crate::request::{Field, FieldError, FieldErrors, Kind, text_value};
use crate::web::problem::Problem;

/// Parts of a form at most. Each takes memory beside its content.
const MAX_PARTS: usize = 1000;

/// A form's parts.
pub(in crate::web) struct Form {
    /// As JSON would have them; images are empty text.
    pub values: Map<String, Value>,
    pub images: HashMap<String, Bytes>,
}

/// Reads a form.
///
/// # Errors
/// 400 for a body that is not a form, 422 for parts that are repeated or not in the table.
pub(in crate::web) fn read_multipart<D>(
    headers: &HeaderMap,
    body: Bytes,
    fields: &[Field<D>],
) -> Result<Form, Problem> {
    // The body is in memory, so nothing is waited for.
    read_parts(headers, body, fields).now_or_never().unwrap_or_else(|| Err(malformed()))
}

/// The names and contents of a form's parts, in their order.
///
/// # Errors
/// 400 for a body that is not a form, 413 for one with more than [`MAX_PARTS`] parts.
pub(in crate::web) fn form_parts(headers: &HeaderMap, body: Bytes) -> Result<Vec<(String, Bytes)>, Problem> {
    let read = async {
        let mut parts = multipart(headers, body).await?;
        let mut read = Vec::new();
        while let Some(part) = parts.next_field().await.map_err(|_| malformed())? {
            if read.len() == MAX_PARTS {
                let detail = format!("The form has more than {MAX_PARTS} parts.");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            let name = part.name().unwrap_or_default().to_owned();
            read.push((name, part.bytes().await.map_err(|_| malformed())?));
        }
        Ok(read)
    };
    // The body is in memory, so nothing is waited for.
    read.now_or_never().unwrap_or_else(|| Err(malformed()))
}

async fn multipart(headers: &HeaderMap, body: Bytes) -> Result<Multipart, Problem> {
    let mut request = Request::new(Body::from(body));
    *request.headers_mut() = headers.clone();
    // The body has been read, within its limit.
    DefaultBodyLimit::disable().apply(&mut request);
    Multipart::from_request(request, &()).await.map_err(|_| malformed())
}

async fn read_parts<D>(headers: &HeaderMap, body: Bytes, fields: &[Field<D>]) -> Result<Form, Problem> {
    let mut parts = multipart(headers, body).await?;
    let (mut values, mut images, mut errors) = (Map::new(), HashMap::new(), FieldErrors::default());
    while let Some(part) = parts.next_field().await.map_err(|_| malformed())? {
        let name = part.name().unwrap_or_default().to_owned();
        let bytes = part.bytes().await.map_err(|_| malformed())?;
        // Only of parts that are texts: of a file it would be up to three times as long.
        let text = || String::from_utf8_lossy(&bytes);
        match fields.iter().find(|field| field.name == name) {
            Some(_) if values.contains_key(&name) => {
                errors.push(|| FieldError::new(&name, text().as_ref().into(), "the part once"));
            }
            Some(Field { kind: Kind::Image { .. }, .. }) => {
                values.insert(name.clone(), "".into());
                images.insert(name, bytes);
            }
            Some(field) => {
                values.insert(name, text_value(field, &text()));
            }
            None => {
                let known: Vec<&str> = fields.iter().map(|field| field.name).collect();
                let allowed = || format!("the parts {}, each once", known.join(", "));
                errors.push(|| FieldError::new(&name, text().as_ref().into(), allowed()));
            }
        }
    }
    errors.into_result()?;
    Ok(Form { values, images })
}

fn malformed() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "The form is not valid multipart/form-data.")
}
