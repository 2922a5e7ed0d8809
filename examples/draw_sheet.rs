//! Generates one image of each class and writes them as a sheet.
//!
//!     cargo run --release --example draw_sheet -- [WEIGHTS] [OUTPUT]

use std::path::PathBuf;

use anyhow::Context;
use rdpm::model::{Model, SamplerState, SamplingSettings, open_device};
use rdpm::picture::{encode_png, sheet, sheet_columns};

const SEED: u64 = 7;
/// Width and height of each image on the sheet, in pixels.
const CELL: u32 = 112;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let weights = arguments.next().unwrap_or_else(|| "weights/fashion-mnist".into());
    let output = arguments.next().unwrap_or_else(|| "sheet.png".into());
    let model = Model::load(&weights, &open_device("auto")?)?;

    // The images are sampled in one batch, although their classes differ.
    let start = |class| -> anyhow::Result<SamplerState> {
        let settings = SamplingSettings::new(model.config(), class)?;
        Ok(model.start(&settings, SEED, 0))
    };
    let classes = model.config().classes.len();
    let mut states = (0..classes).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    for _ in 0..model.config().steps() {
        model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
    }
    let images = model.images(&states.iter().collect::<Vec<_>>())?;

    let file = encode_png(&sheet(&images, sheet_columns(classes as u32), CELL), None)?;
    std::fs::write(&output, file).with_context(|| format!("can't write {}", output.display()))?;
    println!("{classes} images: {}", output.display());
    Ok(())
}
