//! Shows each step of an image as a grid of coloured tokens in a terminal with 24-bit colours.
//!
//!     cargo run --release --example watch_steps -- [CLASS] [SEED]

use std::path::Path;

use anyhow::Context;
use image::Rgb;
use rdpm::model::{Model, Sampler, SamplingSettings, open_device};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let class = arguments.next().unwrap_or_else(|| "Ankle boot".into());
    let seed = arguments.next().map_or(Ok(7), |seed| seed.parse()).context("SEED isn't a number")?;

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = Model::load(&folder, &open_device("auto")?)?;
    let config = model.config();
    let index = config
        .class_index(&class)
        .with_context(|| format!("no class {class:?}; there are: {}", config.classes.join(", ")))?;
    let settings = SamplingSettings::new(config, index)?;

    let mut sampler = Sampler::new(&model, &settings, seed, 0..1);
    for steps in sampler.by_ref() {
        let step = steps?.swap_remove(0);
        let bits = step.entropy.iter().sum::<f32>() / step.entropy.len() as f32;
        println!("step {} of {}, mean entropy {bits:.1} bits", step.step, config.steps());
        print_pixels(&model.token_image(&step.tokens));
    }
    println!("{class}");
    print_pixels(&sampler.images()?[0]);
    Ok(())
}

/// Prints an image with two spaces per pixel.
fn print_pixels(image: &image::DynamicImage) {
    let image = image.to_rgb8();
    for row in image.rows() {
        let cells: String = row.map(|Rgb([r, g, b])| format!("\x1b[48;2;{r};{g};{b}m  ")).collect();
        println!("{cells}\x1b[0m");
    }
    println!();
}
