//! The networks on a GPU compute what those on the CPU compute.

use candle_core::Device;
use image::DynamicImage;
use rdpm::model::{Computation, Model, PassCount, SamplerState, SamplingSettings};

use super::pairs::pairs;
use super::{FIXTURES, SHIPPED, device, folder, models};

/// The largest difference, relative to the largest value of `b`.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0_f32, |largest, b| largest.max(b.abs()));
    pairs(a, b).fold(0.0_f32, |found, (a, b)| found.max((a - b).abs())) / largest
}

fn bytes(images: &[DynamicImage]) -> Vec<u8> {
    images.iter().flat_map(|image| image.as_bytes().to_vec()).collect()
}

/// States with different guidance scales, of which some have words.
fn states(model: &Model) -> Vec<SamplerState> {
    let config = model.config();
    let state = |(seed, guidance): (usize, &f64)| {
        let settings = SamplingSettings::new(config, seed % config.classes.len()).unwrap();
        model.start(&settings.with_guidance(*guidance).unwrap(), seed as u64, 0)
    };
    [0.0, 1.0, 2.0, 7.5].iter().enumerate().map(state).collect()
}

#[test]
fn logits_are_those_of_the_cpu_within_a_ten_thousandth_in_any_batch() {
    for name in [&SHIPPED[..], &FIXTURES].concat() {
        let [cpu, gpu] = models(name);
        let states = states(&cpu);
        let steps = cpu.config().steps();
        let rows: Vec<_> = (0..)
            .zip(&states)
            .map(|(i, state)| (state.latent(), 1 + i * 3 % steps, state.settings()))
            .collect();
        let batched = gpu.logits(&rows).unwrap();
        for (i, (logits, expected)) in pairs(&batched, cpu.logits(&rows).unwrap()).enumerate() {
            let difference = difference(logits, &expected);
            assert!(difference < 1e-4, "{name}, image {i}: {difference}");
        }
        // Bit for bit the logits of an image alone.
        assert_eq!(gpu.logits(&rows[2..3]).unwrap()[0], batched[2], "{name}");
    }
}

#[test]
fn logits_in_one_pass_are_those_of_the_cpu() {
    let computation = Computation { passes: PassCount::One, ..Computation::default() };
    for name in ["weights/fashion-mnist", "tests/fixtures/words"] {
        let folder = folder(name);
        let cpu = Model::load_with(&folder, &Device::Cpu, computation).unwrap();
        let gpu = Model::load_with(&folder, device(), computation).unwrap();
        let states = states(&cpu);
        for guidance in [0.5, 1.0, 2.0, 3.25, 9.0] {
            let settings: Vec<_> = states
                .iter()
                .map(|state| state.settings().clone().with_guidance(guidance).unwrap())
                .collect();
            let rows: Vec<_> = pairs(&states, &settings)
                .map(|(state, settings)| (state.latent(), state.step() + 1, settings))
                .collect();
            for (found, expected) in pairs(gpu.logits(&rows).unwrap(), cpu.logits(&rows).unwrap()) {
                let difference = difference(&found, &expected);
                assert!(difference < 1e-4, "{name}, guidance {guidance}: {difference}");
            }
        }
    }
}

#[test]
fn decoded_images_differ_by_one_level_at_most_and_latents_by_a_ten_thousandth() {
    for name in [&SHIPPED[..], &FIXTURES].concat() {
        let [cpu, gpu] = models(name);
        let states = states(&cpu);
        let latents: Vec<&[f32]> = states.iter().map(SamplerState::latent).collect();
        let (images, expected) = (gpu.decode(&latents).unwrap(), cpu.decode(&latents).unwrap());
        let mut different = 0;
        for (byte, expected) in pairs(bytes(&images), bytes(&expected)) {
            // Rounding to a byte may differ by one level.
            assert!(byte.abs_diff(expected) <= 1, "{name}: {byte} {expected}");
            different += usize::from(byte != expected);
        }
        assert!(different * 1000 <= bytes(&images).len(), "{name}: {different}");
        assert_eq!(bytes(&images[2..3]), bytes(&gpu.decode(&latents[2..3]).unwrap()), "{name}");
        for image in &expected[..2] {
            let difference = difference(&gpu.encode(image).unwrap(), &cpu.encode(image).unwrap());
            assert!(difference < 1e-4, "{name}: {difference}");
        }
    }
}

#[test]
fn captions_are_those_of_the_cpu() {
    let [cpu, gpu] = models("weights/emoji");
    let settings = SamplingSettings::new(cpu.config(), 1).unwrap();
    let state = cpu.start(&settings, 3, 0);
    let image = cpu.decode(&[state.latent()]).unwrap().remove(0);
    let [expected, found] = [&cpu, &gpu].map(|model| model.caption_image(&image, 5).unwrap().unwrap());
    for (found, expected) in
        pairs(found.names.iter().chain(&found.words), expected.names.iter().chain(&expected.words))
    {
        assert_eq!(found.text, expected.text);
        assert!((found.probability - expected.probability).abs() < 1e-3, "{found:?} {expected:?}");
    }
}
