//! Images that clients send: as base64, as a `data:` URL or as a part of a form.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::problem::{FieldError, Problem};
use super::{App, BODY_LIMIT};

/// The largest body of a request that may have an image, in bytes.
pub(super) const UPLOAD_LIMIT: usize = 12 << 20;
/// Large bodies in memory at once; others wait, though not for long: those may be slow to arrive.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest image: a photo. What it unpacks to is bounded by this, however small the file.
const MAX_PIXELS: u64 = 50_000_000;
const MAX_SIDE: u32 = 16_384;
/// What one image and its decoder may take, in bytes: eight for each pixel, as 16-bit RGBA has, and room to work.
const MAX_ALLOC: u64 = 512 << 20;
/// For people.
pub(super) const IMAGES: &str =
    "a PNG, JPEG, WebP, GIF or BMP file of up to 50 million pixels, as base64 or a data: URL";

/// Room for large bodies.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Room {
    /// 503 where there is none for a while.
    async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = tokio::time::timeout(PATIENCE, Arc::clone(&self.0).acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or_else(Problem::too_many_uploads)
    }
}

/// A body that may be large, and its head. Handlers drop it once the image in it is a small one.
pub(super) struct Upload {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Held as long as a large body is in memory.
    _turn: Option<OwnedSemaphorePermit>,
}

impl FromRequest<App> for Upload {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Small bodies never wait for large ones.
        let is_small = length.is_some_and(|length: usize| length <= BODY_LIMIT);
        let turn = if is_small { None } else { Some(app.uploads.enter().await?) };
        match to_bytes(body, UPLOAD_LIMIT).await {
            Ok(body) => Ok(Self { headers: parts.headers, body, _turn: turn }),
            Err(error) if is_too_long(&error) => {
                let detail = format!("The body is larger than {UPLOAD_LIMIT} bytes.");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
            }
            Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "The body did not arrive whole.")),
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|error| error.is::<http_body_util::LengthLimitError>())
}

/// The file in base64 or in a `data:` URL; `None` where it is neither.
pub(super) fn decode_text(text: &str) -> Option<Vec<u8>> {
    let base64 = match text.strip_prefix("data:") {
        Some(url) => url.split_once(',').filter(|(kind, _)| kind.ends_with(";base64"))?.1,
        None => text,
    };
    STANDARD.decode(base64.trim()).ok()
}

/// What `work` makes of the image in a file, turned as its camera was held. It is done in the same turn, as the image
/// may take a hundred times the file's memory.
///
/// # Errors
/// 422 where it is no image, or one that is too large.
pub(super) async fn open<T: Send + 'static>(
    app: &App,
    file: Vec<u8>,
    work: impl FnOnce(&DynamicImage) -> T + Send + 'static,
) -> Result<T, Problem> {
    let opened = app.renderer.run(move || Ok(decode(file).map(|image| work(&image)))).await?;
    opened.map_err(|reason| refused("image", reason.as_str().into(), IMAGES))
}

/// 422: the field that an image should be in.
pub(super) fn refused(field: &str, value: serde_json::Value, allowed: &str) -> Problem {
    Problem::invalid(vec![FieldError { field: field.into(), value, allowed: allowed.into() }])
}

/// The image, or what is wrong with it in a few words.
fn decode(file: Vec<u8>) -> Result<DynamicImage, String> {
    let size = file.len();
    let mut reader = ImageReader::new(Cursor::new(file));
    reader = reader.with_guessed_format().map_err(|_| format!("{size} bytes that can't be read"))?;
    let Some(format) = reader.format() else { return Err(format!("{size} bytes of no image format")) };
    let name = format.to_mime_type();
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits.clone());
    let broken = |_| format!("{size} bytes of {name} that can't be decoded");
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} × {height} pixels of {name}"));
    }
    // Where the decoder isn't asked for its image by the reader, nobody else counts the image itself.
    limits.reserve(decoder.total_bytes()).map_err(broken)?;
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    Ok(image)
}
