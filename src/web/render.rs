//! A generation's images as one picture file.

use std::sync::Arc;

use axum::body::Bytes;
use image::{DynamicImage, ImageFormat};
use tokio::sync::Semaphore;

use super::App;
use super::problem::{FieldError, Problem};
use crate::engine::Snapshot;
use crate::picture::{self, Format, MAX_SCALE, PictureError, Provenance};

/// JPEG's quality where nobody says otherwise.
pub(super) const QUALITY: u8 = 90;
/// The largest picture, in pixels, all frames of an animation together.
const MAX_PIXELS: u64 = 1 << 24;
/// Pictures made or read at once: bounds memory and leaves the processor to the model.
const AT_ONCE: usize = 2;

/// How images are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub format: Format,
    pub scale: u32,
    /// JPEG's.
    pub quality: u8,
}

/// Makes picture files, few at a time, on threads that may block.
#[derive(Debug)]
pub(super) struct Renderer(Arc<Semaphore>);

impl Default for Renderer {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Renderer {
    /// Runs `work` when its turn comes. Once it has begun it goes on and keeps its turn, even where the client that
    /// wanted it is gone: a blocking thread can't be stopped.
    ///
    /// # Errors
    /// 500 where it fails: what it works on is the server's own.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PictureError> + Send + 'static,
    ) -> Result<T, Problem> {
        // Nobody closes the semaphore.
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let work = move || {
            let _turn = turn;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(Problem::internal("The picture could not be made.", &error)),
            Err(error) => Err(Problem::internal("The picture could not be made.", &error)),
        }
    }
}

/// Refuses a `scale` at which a picture has too many pixels. `pixels` is how many it has at a scale.
pub(super) fn check_size(scale: u32, pixels: impl Fn(u32) -> u64) -> Result<(), Problem> {
    if pixels(scale) <= MAX_PIXELS {
        return Ok(());
    }
    let largest = (1..MAX_SCALE).rev().find(|&scale| pixels(scale) <= MAX_PIXELS).unwrap_or(1);
    let allowed = format!("integers from 1 to {largest} for so many images");
    Err(Problem::invalid(vec![FieldError { field: "scale".into(), value: scale.into(), allowed }]))
}

/// Pixels of a sheet.
pub(super) fn sheet_pixels(count: u32, cell: u32) -> u64 {
    let (width, height) = picture::sheet_size(count, picture::sheet_columns(count), cell);
    u64::from(width) * u64::from(height)
}

/// One image of a generation, which must be finished, as a file.
pub(super) async fn image(app: &App, snapshot: &Snapshot, index: u32, look: Look) -> Result<Bytes, Problem> {
    let image = snapshot.images.iter().find(|image| image.index == index);
    let image = image.ok_or_else(|| Problem::not_found(format!("Image {index} isn't finished.")))?;
    if look.format == Format::Png && look.scale == 1 {
        return Ok(image.png.clone());
    }
    pictures(app, snapshot, vec![image.png.clone()], index, look).await
}

/// All images of a generation that is completed, in rows.
pub(super) async fn sheet(app: &App, snapshot: &Snapshot, look: Look) -> Result<Bytes, Problem> {
    let files = snapshot.images.iter().map(|image| image.png.clone()).collect();
    pictures(app, snapshot, files, 0, look).await
}

async fn pictures(
    app: &App,
    snapshot: &Snapshot,
    files: Vec<Bytes>,
    first: u32,
    look: Look,
) -> Result<Bytes, Problem> {
    let config = &snapshot.model.config;
    let (size, count) = (config.image.size as u32, files.len() as u32);
    check_size(look.scale, |scale| sheet_pixels(count, size * scale))?;
    let one = snapshot.request.parameters(config, first);
    let parameters = Provenance { count, scale: look.scale, ..one };
    let work = move || {
        let images = files.iter().map(decode).collect::<Result<Vec<_>, _>>()?;
        let sheet = picture::sheet(&images, picture::sheet_columns(count), size * look.scale);
        look.format.encode(&sheet, look.quality, Some(&parameters))
    };
    app.renderer.run(work).await.map(Bytes::from)
}

/// A PNG file of the engine's.
pub(super) fn decode(file: &Bytes) -> Result<DynamicImage, PictureError> {
    Ok(image::load_from_memory_with_format(file, ImageFormat::Png)?)
}
