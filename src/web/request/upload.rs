//! Uploaded images: as base64, as a `data:` URL or as a part of a form.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::{HeaderMap, header};
use image::DynamicImage;

use super::body::{BODY_LIMIT, append, next_piece};
use crate::engine::ModelHandle;
use crate::picture::{InputError, InputImage, MaskFile, MaskRules};
use crate::request::{FieldError, IMAGES};
use crate::web::access::{Budget, ClientPermit, ClientPermits, Cost, LimitKey};
use crate::web::background;
use crate::web::files::ImagePool;
use crate::web::problem::Problem;

/// The largest body of a request that may have an image, in bytes.
pub(in crate::web) const UPLOAD_LIMIT: usize = 12 << 20;
/// Large bodies in memory at once; others wait.
pub(in crate::web) const MAX_UPLOADS: usize = 8;
/// Those of one client: a few clients whose bodies don't arrive must not stop all others.
const MAX_UPLOADS_PER_CLIENT: usize = 2;
/// Not long: an upload may be slow to arrive.
const MAX_WAIT: Duration = Duration::from_secs(3);

/// Permits for large bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub(in crate::web) struct UploadPermits(Arc<ClientPermits<LimitKey>>);

impl Default for UploadPermits {
    fn default() -> Self {
        Self(Arc::new(ClientPermits::new(MAX_UPLOADS, MAX_UPLOADS_PER_CLIENT)))
    }
}

impl UploadPermits {
    /// 503 where none is free for a while.
    async fn acquire(&self, client: LimitKey) -> Result<ClientPermit, Problem> {
        tokio::time::timeout(MAX_WAIT, self.0.acquire(client))
            .await
            .ok()
            .flatten()
            .ok_or_else(Problem::too_many_uploads)
    }
}

/// The headers and the body of a request that may have a large image. Handlers drop it as soon as the image is decoded and
/// scaled.
pub(in crate::web) struct Upload {
    pub headers: HeaderMap,
    pub body: Bytes,
    /// Held as long as a large body is in memory.
    _permit: Option<ClientPermit>,
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
        let (permits, client) = (UploadPermits::from_ref(state), LimitKey::of(&parts.extensions));
        // Small bodies don't wait for large ones.
        let is_large = length.is_some_and(|length: usize| length > BODY_LIMIT);
        let permit = if is_large { Some(permits.acquire(client.clone()).await?) } else { None };
        let (body, permit) = collect(body, length, permit, &permits, client).await?;
        Ok(Self { headers: parts.headers, body, _permit: permit })
    }
}

impl Upload {
    /// Returns what `work` makes of the headers and the body. A large body is read on a [background] thread, and keeps its
    /// permit until `work` ends, even where the client has disconnected.
    ///
    /// # Errors
    /// Those of `work`; 500 where it panics.
    pub async fn read<T: Send + 'static>(
        self,
        work: impl FnOnce(&HeaderMap, &Bytes) -> Result<T, Problem> + Send + 'static,
    ) -> Result<(Self, T), Problem> {
        let is_large = self.body.len() > BODY_LIMIT;
        let work = move || {
            let result = work(&self.headers, &self.body)?;
            Ok((self, result))
        };
        if !is_large {
            return work();
        }
        match background::run(work).await {
            Ok(result) => result,
            Err(error) => Err(Problem::internal("The body could not be read.", &error)),
        }
    }
}

/// A body in one buffer: kept as pieces, as they arrive, small chunks would take many times their size.
///
/// Where nobody knows the length, a permit is acquired as soon as the body is large.
///
/// # Errors
/// 413 where it is longer than [`UPLOAD_LIMIT`], 400 where it is cut off, 503 where no permit is free for a while.
async fn collect(
    mut body: Body,
    length: Option<usize>,
    mut permit: Option<ClientPermit>,
    permits: &UploadPermits,
    client: LimitKey,
) -> Result<(Bytes, Option<ClientPermit>), Problem> {
    let limit = UPLOAD_LIMIT;
    let mut whole = Vec::with_capacity(length.unwrap_or(0).min(limit));
    while let Some(piece) = next_piece(&mut body, limit).await? {
        append(&mut whole, &piece, limit)?;
        if permit.is_none() && whole.len() > BODY_LIMIT {
            permit = Some(permits.acquire(client.clone()).await?);
        }
    }
    Ok((whole.into(), permit))
}

/// Decodes an image to what a model takes (see [`InputImage::decode`]). Returns the size that was sent, too.
///
/// `field` is its name in the request. Charges `cost`, which is that of all other work of the request, and the image's pixels: at once, since a request that costs
/// more than the client may have at once needs all of that.
///
/// # Errors
/// 422 where the file is not an image, or one that is too large; 429 where it costs too much; 503 where too many images wait.
pub(in crate::web) async fn open_image(
    decoders: &ImagePool,
    budget: &Budget,
    cost: Cost,
    file: Vec<u8>,
    field: &str,
    model: &ModelHandle,
) -> Result<((u32, u32), DynamicImage), Problem> {
    let image = inspect_image(decoders, budget, file, field).await?;
    let size = image.size();
    budget.charge(cost.and(pixel_cost(&image)))?;
    Ok((size, decode_image(decoders, budget, image, field, model).await?))
}

/// The size of an image, before it is charged and decoded.
///
/// # Errors
/// As in [`open_image`].
pub(in crate::web) async fn inspect_image(
    decoders: &ImagePool,
    budget: &Budget,
    file: Vec<u8>,
    field: &str,
) -> Result<InputImage, Problem> {
    decoders
        .run(budget.client(), 0, move || Ok(InputImage::open(file)))
        .await?
        .map_err(|error| invalid_image(field, &error))
}

/// What reading an image costs.
pub(in crate::web) fn pixel_cost(image: &InputImage) -> Cost {
    let (width, height) = image.size();
    Cost::pixels(u64::from(width) * u64::from(height))
}

/// Decodes an image that has been charged.
///
/// # Errors
/// As in [`open_image`].
pub(in crate::web) async fn decode_image(
    decoders: &ImagePool,
    budget: &Budget,
    image: InputImage,
    field: &str,
    model: &ModelHandle,
) -> Result<DynamicImage, Problem> {
    let (memory, model) = (image.memory(), model.clone());
    let decoded = decoders.run(budget.client(), memory, move || Ok(image.decode(&model.config))).await?;
    decoded.map_err(|error| invalid_image(field, &error))
}

fn invalid_image(field: &str, error: &InputError) -> Problem {
    Problem::invalid(FieldError::new(field, error.to_string().into(), IMAGES))
}

/// Reads a mask for an image of this size: the cells of the model's grid that it marks, and a warning if it was scaled.
///
/// # Errors
/// As in [`open_image`].
pub(in crate::web) async fn open_mask(
    decoders: &ImagePool,
    budget: &Budget,
    file: Vec<u8>,
    rules: MaskRules,
    image_size: (u32, u32),
    model: &ModelHandle,
) -> Result<(Vec<bool>, Option<String>), Problem> {
    let invalid = |error: InputError| invalid_image("mask", &error);
    let client = budget.client();
    let mask = decoders.run(client, 0, move || Ok(MaskFile::open(file))).await?.map_err(invalid)?;
    let (mask, side) = (mask.with_rules(rules), model.config.latent.grid);
    let size = mask.size();
    budget.charge(Cost::pixels(u64::from(size.0) * u64::from(size.1)))?;
    let cells = decoders.run(client, mask.memory(), move || Ok(mask.cells(image_size, side))).await?;
    let warning = (size != image_size).then(|| {
        let ((w, h), (width, height)) = (size, image_size);
        format!("The mask of {w} x {h} pixels was scaled to the image's {width} x {height}.")
    });
    Ok((cells.map_err(invalid)?, warning))
}
