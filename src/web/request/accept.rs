//! Content negotiation: the representation that a client accepts (RFC 9110, section 12.5.1).

use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};
use headers_accept::Accept;
use mediatype::MediaType;
use mediatype::names::{APPLICATION, IMAGE, JPEG, JSON, PNG};

use crate::picture::Format;
use crate::request::shorten;
use crate::web::problem::Problem;

/// In the server's order of preference.
static AVAILABLE: [(MediaType<'static>, Representation); 4] = [
    (MediaType::new(APPLICATION, JSON), Representation::Json),
    (MediaType::new(IMAGE, PNG), Representation::Picture(Format::Png)),
    (MediaType::new(IMAGE, mediatype::Name::new_unchecked("webp")), Representation::Picture(Format::WebP)),
    (MediaType::new(IMAGE, JPEG), Representation::Picture(Format::Jpeg)),
];

/// How a finished generation is represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::web) enum Representation {
    Json,
    /// The picture itself.
    Picture(Format),
}

/// The representation that `Accept` prefers. `format` is the picture format in the request's body, if any. JSON where the
/// header is absent, or accepts neither JSON nor pictures.
///
/// # Errors
/// 406 where only picture formats are accepted that are not available.
pub(in crate::web) fn negotiate(
    headers: &HeaderMap,
    format: Option<Format>,
) -> Result<Representation, Problem> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let text = values.collect::<Vec<_>>().join(", ");
    let Ok(accept) = Accept::from_str(&text) else { return Ok(Representation::Json) };
    let offered = |representation: Representation| match (representation, format) {
        (Representation::Picture(offered), Some(format)) => offered == format,
        _ => true,
    };
    let available = AVAILABLE.iter().filter(|(_, representation)| offered(*representation));
    match accept.negotiate(available.map(|(kind, _)| kind)) {
        Some(chosen) => {
            let found = AVAILABLE.iter().find(|(kind, _)| kind == chosen);
            Ok(found.map_or(Representation::Json, |(_, representation)| *representation))
        }
        None if accept.media_types().any(|kind| kind.ty() == IMAGE) => {
            let kinds = format.map_or("image/png, image/webp or image/jpeg", Format::media_type);
            let detail = format!(
                "Accept: {} matches no available representation. Allowed: application/json, {kinds}.",
                shorten(&text)
            );
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
        }
        None => Ok(Representation::Json),
    }
}
