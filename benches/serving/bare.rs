//! The bare batched sampler: what the device can do with nobody to serve.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::ImageFormat;
use rdpm::model::{Model, SamplerState, SamplingSettings};

/// Draws batches of `batch` images, with the model's own settings and finished as PNG files, until `window` has
/// passed; the last batch is finished. Returns images per second.
pub fn images_per_second(model: &Model, batch: usize, window: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut images = 0;
    while started.elapsed() < window {
        draw(model, batch, images)?;
        images += batch;
    }
    Ok(images as f64 / started.elapsed().as_secs_f64())
}

/// One batch, all images together from the first step to the files.
fn draw(model: &Model, batch: usize, seed: usize) -> anyhow::Result<()> {
    let classes = model.config().classes.len();
    let start = |image: usize| -> anyhow::Result<SamplerState> {
        let settings = SamplingSettings::new(model.config(), image % classes)?;
        Ok(model.start(&settings, image as u64, 0))
    };
    let mut states = (seed..seed + batch).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..model.config().steps() {
        model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
    }
    for image in model.images(&states.iter().collect::<Vec<_>>())? {
        image.write_to(&mut Cursor::new(Vec::new()), ImageFormat::Png)?;
    }
    Ok(())
}
