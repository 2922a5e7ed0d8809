//! `POST /sdapi/v1/png-info`: the settings in a picture's file.

use std::io::Cursor;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::infotext::{self, SAMPLER};
use crate::picture::{InputImage, Provenance, read_png_texts, read_provenance};
use crate::queue::AnyEngine;
use crate::request::{FieldError, IMAGES, image_from_base64};
use crate::web::access::Budget;
use crate::web::problem::Problem;
use crate::web::request::{Upload, read_json_object};
use crate::web::state::AppState;

/// A file.
#[derive(ToSchema)]
#[schema(as = A1111PngInfoRequest)]
#[allow(dead_code)] // Documentation of the body.
pub(super) struct Body {
    /// A PNG, JPEG or WebP file, as base64 or as a `data:` URL.
    image: String,
}

/// The settings in a file.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111PngInfo)]
pub(super) struct PngInfo {
    /// The text `parameters` of the file; empty if it has none.
    info: String,
    /// The other texts of the file, by name.
    #[schema(value_type = Object)]
    items: Value,
    /// The same as `info`, by name.
    #[schema(value_type = Object)]
    parameters: Value,
}

/// Read the settings in a picture
///
/// Of a PNG file those that AUTOMATIC1111 or this API have written, and of any picture of this server those that made it.
#[utoipa::path(
    post, path = "/sdapi/v1/png-info", operation_id = "a1111ReadPngInfo", tag = "AUTOMATIC1111",
    request_body = Body,
    responses((status = 200, description = "The settings", body = PngInfo)),
)]
pub(super) async fn read(
    State(app): State<AppState>,
    budget: Budget,
    upload: Upload,
) -> Result<Json<PngInfo>, Problem> {
    let read = upload.read(|headers, body| {
        let mut values = read_json_object(headers, body)?;
        let value = values.remove("image").unwrap_or_default();
        let file = value.as_str().and_then(image_from_base64);
        file.ok_or_else(|| Problem::invalid(FieldError::new("image", value, IMAGES)))
    });
    let (upload, file) = read.await?;
    let engine = app.engine.clone();
    let work = move || Ok(InputImage::open(file.clone()).map(|_| settings(&engine, &file)));
    let settings = app.image_decoders.run(budget.client(), 0, work).await?;
    drop(upload);
    let settings = settings
        .map_err(|error| Problem::invalid(FieldError::new("image", error.to_string().into(), IMAGES)))?;
    Ok(Json(settings))
}

fn settings(engine: &AnyEngine, file: &[u8]) -> PngInfo {
    let mut items: Map<String, Value> = Map::new();
    for (name, text) in read_png_texts(Cursor::new(file)).unwrap_or_default() {
        items.insert(name, text.into());
    }
    let info = match items.remove("parameters") {
        Some(Value::String(info)) => info,
        _ => {
            let provenance = read_provenance(Cursor::new(file)).ok();
            provenance.map(|provenance| infotext_of(engine, &provenance)).unwrap_or_default()
        }
    };
    let parameters = infotext::parse(&info).into();
    PngInfo { info, items: items.into(), parameters }
}

/// The settings of a picture that this server wrote for another of its APIs.
fn infotext_of(engine: &AnyEngine, provenance: &Provenance) -> String {
    let model = engine.model(&provenance.model);
    let mut pairs = vec![
        ("Sampler", SAMPLER.to_owned()),
        ("CFG scale", provenance.options.guidance.to_string()),
        ("Seed", provenance.seed.to_string()),
        ("Model", provenance.model.clone()),
        ("Version", format!("rdpm {}", provenance.version)),
    ];
    if let Some(model) = model {
        pairs.insert(0, ("Steps", model.steps().to_string()));
    }
    if let Some(style) = &provenance.options.style {
        pairs.push(("Style", style.clone()));
    }
    infotext::write(provenance.options.prompt.as_deref().unwrap_or(&provenance.class), &pairs)
}
