//! What a client accepts as the answer (RFC 9110, section 12.5.1).

use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode, header};
use headers_accept::Accept;
use mediatype::MediaType;
use mediatype::names::{APPLICATION, IMAGE, JPEG, JSON, PNG};

use crate::picture::Format;
use crate::web::problem::Problem;

/// The server's own order: JSON where the client doesn't mind.
static AVAILABLE: [(MediaType<'static>, Answer); 4] = [
    (MediaType::new(APPLICATION, JSON), Answer::Json),
    (MediaType::new(IMAGE, PNG), Answer::Picture(Format::Png)),
    (MediaType::new(IMAGE, mediatype::Name::new_unchecked("webp")), Answer::Picture(Format::WebP)),
    (MediaType::new(IMAGE, JPEG), Answer::Picture(Format::Jpeg)),
];

/// What a creation is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Json,
    /// The picture itself, when it is done.
    Picture(Format),
}

/// What `Accept` asks for; `format` is what the body says about pictures. JSON where there is no such header, or one that
/// asks for neither JSON nor pictures: a client that doesn't know better gets what it can look at.
///
/// # Errors
/// 406 where only pictures are accepted that can't be made.
pub(super) fn answer(headers: &HeaderMap, format: Option<Format>) -> Result<Answer, Problem> {
    let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let text = values.collect::<Vec<_>>().join(", ");
    let Ok(accept) = Accept::from_str(&text) else { return Ok(Answer::Json) };
    let offered = |answer: Answer| match (answer, format) {
        (Answer::Picture(offered), Some(format)) => offered == format,
        _ => true,
    };
    let available = AVAILABLE.iter().filter(|(_, answer)| offered(*answer));
    match accept.negotiate(available.map(|(kind, _)| kind)) {
        Some(chosen) => {
            let found = AVAILABLE.iter().find(|(kind, _)| kind == chosen);
            Ok(found.map_or(Answer::Json, |(_, answer)| *answer))
        }
        None if accept.media_types().any(|kind| kind.ty() == IMAGE) => {
            let kinds = format.map_or("image/png, image/webp or image/jpeg", Format::media_type);
            let detail =
                format!("Accept: {text} leaves nothing to answer with. Allowed: application/json, {kinds}.");
            Err(Problem::new(StatusCode::NOT_ACCEPTABLE, detail))
        }
        None => Ok(Answer::Json),
    }
}
