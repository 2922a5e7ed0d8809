//! `multipart/form-data`: forms with files.

use std::collections::HashMap;

use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::{HeaderMap, StatusCode};
use futures_util::FutureExt;
use serde_json::{Map, Value};

use crate::request::{Field, FieldError, FieldErrors, Kind, text_value};
use crate::web::problem::Problem;

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

async fn read_parts<D>(headers: &HeaderMap, body: Bytes, fields: &[Field<D>]) -> Result<Form, Problem> {
    let mut request = Request::new(Body::from(body));
    *request.headers_mut() = headers.clone();
    // The body has been read, within its limit.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| malformed())?;
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
