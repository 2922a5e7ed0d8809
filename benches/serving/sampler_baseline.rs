//! The baseline: the batched sampler without a server.

use std::io::Cursor;
use std::time::{Duration, Instant};

use image::ImageFormat;
use rdpm::model::{Model, SamplerState, SamplingSettings};

/// Generates batches of `batch` images as PNG files, with the model's default settings, until `window` has passed; the
/// last batch is completed. Returns images per second.
pub fn images_per_second(model: &Model, batch: usize, window: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut images = 0;
    while started.elapsed() < window {
        generate_batch(model, batch, images)?;
        images += batch;
    }
    Ok(images as f64 / started.elapsed().as_secs_f64())
}

/// Generates the images whose seeds are `first_seed` and up, together from the first step to the files.
fn generate_batch(model: &Model, batch: usize, first_seed: usize) -> anyhow::Result<()> {
    let classes = model.config().classes.len();
    let start = |seed: usize| -> anyhow::Result<SamplerState> {
        let settings = SamplingSettings::new(model.config(), seed % classes)?;
        Ok(model.start(&settings, seed as u64, 0))
    };
    let mut states = (first_seed..first_seed + batch).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..model.config().steps() {
        model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
    }
    for image in model.images(&states.iter().collect::<Vec<_>>())? {
        image.write_to(&mut Cursor::new(Vec::new()), ImageFormat::Png)?;
    }
    Ok(())
}
