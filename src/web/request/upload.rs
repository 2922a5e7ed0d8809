//! Uploaded images: as base64, as a `data:` URL or as a part of a form.

use std::io::Cursor;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::BODY_LIMIT;
use crate::request::{FieldError, IMAGES};
use crate::web::files::ImagePool;
use crate::web::problem::Problem;

/// The largest body of a request that may have an image, in bytes.
const UPLOAD_LIMIT: usize = 12 << 20;
/// Large bodies in memory at once; others wait.
const MAX_UPLOADS: usize = 8;
/// Not long: an upload may be slow to arrive.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// The largest image: a photo. Bounds the decoded size, however small the file is.
const MAX_PIXELS: u64 = 50_000_000;
const MAX_SIDE: u32 = 16_384;
/// Memory of one image and its decoder, in bytes: eight for each pixel, as 16-bit RGBA has, and working memory.
const MAX_ALLOC: u64 = 512 << 20;
/// Permits for large bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct UploadPermits(Arc<Semaphore>);

impl Default for UploadPermits {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MAX_UPLOADS)))
    }
}

impl UploadPermits {
    /// 503 where none is free for a while.
    async fn acquire(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = tokio::time::timeout(MAX_WAIT, Arc::clone(&self.0).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(Problem::too_many_uploads)
    }
}

/// The headers and the body of a request that may have a large image. Handlers drop it as soon as the image is decoded and
/// scaled.
pub(in crate::web) struct Upload {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Held as long as a large body is in memory.
    _permit: Option<OwnedSemaphorePermit>,
}

impl<S> FromRequest<S> for Upload
where
    S: Send + Sync,
    UploadPermits: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let length =
            parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        // Small bodies don't wait for large ones.
        let is_small = length.is_some_and(|length: usize| length <= BODY_LIMIT);
        let permit = if is_small { None } else { Some(UploadPermits::from_ref(state).acquire().await?) };
        match to_bytes(body, UPLOAD_LIMIT).await {
            Ok(body) => Ok(Self { headers: parts.headers, body, _permit: permit }),
            Err(error) if is_too_long(&error) => {
                let detail = format!("The body is larger than {UPLOAD_LIMIT} bytes.");
                Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
            }
            Err(_) => Err(Problem::new(StatusCode::BAD_REQUEST, "The body was cut off.")),
        }
    }
}

fn is_too_long(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    source.is_some_and(|error| error.is::<http_body_util::LengthLimitError>())
}

/// Decodes an image, rotates it as its EXIF orientation says, and runs `work` on it. Both happen under one permit of the
/// pool, because the image may take a hundred times the memory of the file.
///
/// # Errors
/// 422 where the file is not an image, or one that is too large.
pub(in crate::web) async fn open_image<T: Send + 'static>(
    pool: &ImagePool,
    file: Vec<u8>,
    work: impl FnOnce(&DynamicImage) -> T + Send + 'static,
) -> Result<T, Problem> {
    let opened = pool.run(move || Ok(decode(file).map(|image| work(&image)))).await?;
    opened.map_err(|reason| {
        let error = FieldError { field: "image".into(), value: reason.into(), allowed: IMAGES.into() };
        Problem::invalid(vec![error])
    })
}

/// Decodes an image. The error describes the file in a few words.
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
    // The decoder counts its own memory only, not the image's.
    limits.reserve(decoder.total_bytes()).map_err(broken)?;
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    Ok(image)
}
