//! Compares the networks optimized for a CPU with those that candle computes.

use std::path::Path;

use candle_core::Device;
use image::DynamicImage;
use rdpm::model::{Model, Precision, SamplerState, SamplingSettings, Step};

use crate::pairs::pairs;

/// A shipped model and small ones in colour, each with both kinds of networks: (fast, candle).
fn models() -> Vec<(Model, Model)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let load = |folder: &str| {
        let folder = root.join(folder);
        (
            Model::load(&folder, &Device::Cpu).unwrap(),
            Model::load_with_candle(&folder, &Device::Cpu, Precision::F32).unwrap(),
        )
    };
    ["weights/fashion-mnist", "tests/fixtures/eighth", "tests/fixtures/upsampled", "tests/fixtures/words"]
        .map(load)
        .into()
}

/// The largest difference, relative to the largest value of `b`.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0_f32, |largest, b| largest.max(b.abs()));
    pairs(a, b).fold(0.0_f32, |found, (a, b)| found.max((a - b).abs())) / largest
}

fn bytes(images: &[DynamicImage]) -> Vec<u8> {
    images.iter().flat_map(|image| image.as_bytes().to_vec()).collect()
}

#[test]
fn logits_agree_with_candle_and_do_not_depend_on_the_batch() {
    for (fast, candle) in models() {
        let config = fast.config();
        let classes = config.classes.len();
        let settings: Vec<SamplingSettings> = [0.0, 1.0, 2.0, 7.5]
            .iter()
            .enumerate()
            .map(|(i, &guidance)| {
                SamplingSettings::new(config, i % classes).unwrap().with_guidance(guidance).unwrap()
            })
            .collect();
        let states: Vec<SamplerState> =
            (0..13).map(|seed| fast.start(&settings[seed as usize % 4], seed, 0)).collect();
        let rows: Vec<_> = states
            .iter()
            .enumerate()
            .map(|(i, state)| (state.latent(), 1 + i % config.steps(), state.settings()))
            .collect();
        let batched = fast.logits(&rows).unwrap();
        let expected = candle.logits(&rows).unwrap();
        for (row, (logits, expected)) in pairs(&rows, pairs(&batched, &expected)) {
            assert!(difference(logits, expected) < 1e-4, "{}", config.name);
            // Bit for bit the logits of a batch of this row alone.
            assert_eq!(&fast.logits(&[*row]).unwrap()[0], logits);
        }
    }
}

#[test]
fn decoded_images_and_encoded_latents_agree_with_candle() {
    for (fast, candle) in models() {
        let states: Vec<SamplerState> = (0..5)
            .map(|seed| fast.start(&SamplingSettings::new(fast.config(), 0).unwrap(), seed, 0))
            .collect();
        let latents: Vec<&[f32]> = states.iter().map(SamplerState::latent).collect();
        let (images, expected) = (fast.decode(&latents).unwrap(), candle.decode(&latents).unwrap());
        for (byte, expected) in pairs(bytes(&images), bytes(&expected)) {
            // Rounding to a byte may differ by one level.
            assert!(byte.abs_diff(expected) <= 1, "{}", fast.config().name);
        }
        assert_eq!(bytes(&images[2..3]), bytes(&fast.decode(&latents[2..3]).unwrap()));
        for image in &expected {
            let (v, expected) = (fast.encode(image).unwrap(), candle.encode(image).unwrap());
            assert!(difference(&v, &expected) < 1e-4, "{}", fast.config().name);
        }
    }
}

/// Settings that together cover every option of sampling.
fn all_settings(model: &Model) -> Vec<SamplingSettings> {
    let config = model.config();
    let settings = |class| SamplingSettings::new(config, class % config.classes.len()).unwrap();
    vec![
        settings(0),
        settings(1).with_guidance(0.0).unwrap().with_temperature(0.7).unwrap(),
        settings(2).with_guidance(1.0).unwrap().with_top_k(config, 5).unwrap(),
        settings(3).with_top_p(0.8).unwrap(),
        settings(4).with_top_k(config, 12).unwrap().with_top_p(0.6).unwrap().with_temperature(1.5).unwrap(),
        settings(5).with_temperature(0.0).unwrap().with_top_k(config, 3).unwrap(),
        settings(6).with_guidance(7.5).unwrap(),
    ]
}

/// All steps of a batch with one image for each of [`all_settings`]; every second image records alternatives.
fn sample(model: &Model) -> Vec<Vec<Step>> {
    let start = |(seed, settings): (usize, &SamplingSettings)| {
        model.start(settings, seed as u64, 0).with_alternatives(seed % 2 == 1)
    };
    let mut states: Vec<SamplerState> = all_settings(model).iter().enumerate().map(start).collect();
    let step = |_| model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
    (0..model.config().steps()).map(step).collect()
}

/// A difference in the last bits of a logit can change a code at a near tie, and then all later ones of the image. That is
/// rare.
#[test]
fn at_least_99_percent_of_tokens_agree_with_candle() {
    let (fast, candle) = models().swap_remove(0);
    let tokens = |model: &Model| -> Vec<u32> {
        sample(model).into_iter().flatten().flat_map(|step| step.tokens).collect()
    };
    let (fast, candle) = (tokens(&fast), tokens(&candle));
    let same = pairs(&fast, &candle).filter(|(a, b)| a == b).count();
    assert!(same * 100 >= fast.len() * 99, "{same} of {}", fast.len());
}

/// candle's networks sample on the device, in tensors; those for a CPU sample on the host.
#[test]
fn sampling_on_the_device_agrees_with_sampling_on_the_host() {
    for (fast, candle) in models() {
        let near = |a: &[f32], b: &[f32]| pairs(a, b).all(|(a, b)| (a - b).abs() < 2e-3);
        // The first step only: later steps may start from different tokens.
        let (host, device) = (sample(&fast).swap_remove(0), sample(&candle).swap_remove(0));
        for (image, (host, device)) in pairs(&host, &device).enumerate() {
            assert_eq!(host.step, device.step);
            assert_eq!(host.tokens, device.tokens, "image {image}");
            assert!(
                near(&host.entropy, &device.entropy),
                "image {image}: {:?}",
                (&host.entropy, &device.entropy)
            );
            assert!(near(&host.probability, &device.probability), "image {image}");
            let (Some(host), Some(device)) = (&host.alternatives, &device.alternatives) else {
                assert_eq!(image % 2, 0);
                assert!(host.alternatives.is_none() && device.alternatives.is_none());
                continue;
            };
            // Excluded codes and equally probable codes may be in any order.
            let known = pairs(pairs(&host.codes, &device.codes), &host.probabilities);
            let known: Vec<_> = known.filter(|(_, probability)| **probability > 0.0).collect();
            let same = known.iter().filter(|((a, b), _)| a == b).count();
            assert!(same * 100 >= known.len() * 98, "image {image}: {same} of {}", known.len());
            assert!(near(&host.probabilities, &device.probabilities), "image {image}");
            // Near ties may change places.
            let close = pairs(&host.ranks, &device.ranks).filter(|(a, b)| a.abs_diff(**b) <= 1).count();
            assert!(close * 100 >= host.ranks.len() * 95, "image {image}: {close}");
        }
    }
}

/// Lower precision changes logits slightly, and nearly all codes stay the same. (candle has no bf16 products on a CPU.)
#[test]
fn at_least_98_percent_of_tokens_in_f16_agree_with_f32() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let first = |precision| {
        let model = Model::load_with_candle(&folder, &Device::Cpu, precision).unwrap();
        let steps = sample(&model).swap_remove(0);
        let entropy: Vec<f32> = steps.iter().flat_map(|step| step.entropy.clone()).collect();
        (steps.into_iter().flat_map(|step| step.tokens).collect::<Vec<u32>>(), entropy)
    };
    let ((exact, entropy), (half, half_entropy)) = (first(Precision::F32), first(Precision::F16));
    let same = pairs(&exact, &half).filter(|(a, b)| a == b).count();
    assert!(same * 100 >= exact.len() * 98, "{same} of {}", exact.len());
    assert_ne!(entropy, half_entropy, "f16 was computed in f32");
}
