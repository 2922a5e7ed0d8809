//! The networks by each kind of bf16 instructions that this processor has, beside those in f32.

use std::path::Path;

use candle_core::Device;
use rayon::prelude::*;

use super::{Arithmetic, Bf16Instructions, Decoder, Denoiser};
use crate::model::condition::Condition;
use crate::model::config::Config;
use crate::model::trajectory::Schedule;
use crate::model::weights::{WEIGHTS_FILE, Weights};

const MODELS: [&str; 4] =
    ["weights/fashion-mnist", "weights/emoji", "tests/fixtures/eighth", "tests/fixtures/words"];
/// Largest root of the mean squared error, relative to the standard deviation.
const MAX_LOGITS_ERROR: f64 = 0.03;
/// Largest root of the mean squared error of images in −1..1: about one of 256 levels.
const MAX_IMAGE_ERROR: f64 = 0.01;

struct Networks {
    denoiser: Denoiser,
    decoder: Decoder,
}

impl Networks {
    fn load(name: &str, arithmetic: Arithmetic) -> (Config, Self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
        let config = Config::read(&folder).unwrap();
        let schedule = Schedule::new(&config.trajectory.schedule);
        let weights = Weights::open(&folder, WEIGHTS_FILE, &Device::Cpu).unwrap();
        let vb = weights.var_builder();
        let denoiser = Denoiser::new(&config, &schedule, arithmetic, None, vb.pp("denoiser")).unwrap();
        let decoder = Decoder::new(&config, arithmetic, vb).unwrap();
        (config, Self { denoiser, decoder })
    }
}

/// Numbers of about a standard normal distribution's size without a pattern.
fn latents(count: usize) -> Vec<f32> {
    let number = |i: usize| ((i * i % 1009) as f32 / 1009.0 - 0.5) * 3.4;
    (0..count).into_par_iter().map(number).collect()
}

fn root_mean_square(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    (values.map(|value| value * value).sum::<f64>() / count).sqrt()
}

fn error(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    root_mean_square(a.iter().zip(b).map(|(a, b)| f64::from(a - b)))
}

#[test]
fn each_kind_of_instructions_gives_nearly_the_results_of_f32() {
    for name in MODELS {
        let (config, exact) = Networks::load(name, Arithmetic::F32);
        let rows = 3;
        let z = latents(rows * config.positions() * config.latent.channels);
        let t = [1, config.steps() / 2 + 1, config.steps()];
        let y: Vec<Condition> = [0, 1, config.classes.len() as u32 - 1]
            .into_iter()
            .map(|class| Condition { class, ..Condition::null(&config) })
            .collect();
        let forward = |networks: &Networks, rows: std::ops::Range<usize>| {
            let latent = z.len() / 3;
            let z = &z[rows.start * latent..rows.end * latent];
            networks.denoiser.forward(z, &t[rows.clone()], &y[rows], &mut Vec::new()).unwrap().to_vec()
        };
        let expected = forward(&exact, 0..rows);
        let deviation = root_mean_square(expected.iter().map(|&logit| f64::from(logit)));
        let expected_images = exact.decoder.forward(&z).unwrap();
        for instructions in Bf16Instructions::available() {
            let (_, networks) = Networks::load(name, Arithmetic::Bf16(instructions));
            let logits = forward(&networks, 0..rows);
            let logits_error = error(&logits, &expected) / deviation;
            let images = networks.decoder.forward(&z).unwrap();
            let image_error = error(&images, &expected_images);
            println!("{name}, {instructions:?}: logits {logits_error:.4}, images {image_error:.4}");
            assert!(logits_error > 0.0 && logits_error < MAX_LOGITS_ERROR, "{name}, {instructions:?}");
            assert!(image_error > 0.0 && image_error < MAX_IMAGE_ERROR, "{name}, {instructions:?}");
            // The same bits without the other rows.
            let of_row = logits.len() / rows;
            for row in 0..rows {
                assert_eq!(forward(&networks, row..row + 1), logits[row * of_row..][..of_row]);
            }
        }
    }
}
