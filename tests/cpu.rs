//! The networks on a CPU against candle's, which compute the same functions plainly.

use std::path::Path;

use candle_core::Device;
use image::DynamicImage;
use rdpm::model::{Model, Precision, SamplerState, SamplingSettings, Step};

/// The shipped model, and a small one in colour with three levels.
fn models() -> Vec<(Model, Model)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let load = |folder: &str| {
        let folder = root.join(folder);
        (
            Model::load(&folder, &Device::Cpu).unwrap(),
            Model::load_with_candle(&folder, &Device::Cpu, Precision::F32).unwrap(),
        )
    };
    vec![load("weights/fashion-mnist"), load("tests/fixtures/eighth")]
}

/// The largest difference, relative to the largest number.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0_f32, |largest, b| largest.max(b.abs()));
    a.iter().zip(b).fold(0.0_f32, |found, (a, b)| found.max((a - b).abs())) / largest
}

fn bytes(images: &[DynamicImage]) -> Vec<u8> {
    images.iter().flat_map(|image| image.as_bytes().to_vec()).collect()
}

#[test]
fn logits_are_candles() {
    for (fast, plain) in models() {
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
        let together = fast.logits(&rows).unwrap();
        for (row, (fast_logits, plain_logits)) in
            rows.iter().zip(together.iter().zip(plain.logits(&rows).unwrap()))
        {
            assert!(difference(fast_logits, &plain_logits) < 1e-4, "{}", config.name);
            // And bit for bit those of the row alone.
            assert_eq!(&fast.logits(&[*row]).unwrap()[0], fast_logits);
        }
    }
}

#[test]
fn pictures_and_latents_are_candles() {
    for (fast, plain) in models() {
        let states: Vec<SamplerState> = (0..5)
            .map(|seed| fast.start(&SamplingSettings::new(fast.config(), 0).unwrap(), seed, 0))
            .collect();
        let latents: Vec<&[f32]> = states.iter().map(SamplerState::latent).collect();
        let (images, expected) = (fast.decode(&latents).unwrap(), plain.decode(&latents).unwrap());
        for (byte, expected) in bytes(&images).into_iter().zip(bytes(&expected)) {
            // Rounding to a byte may go either way.
            assert!(byte.abs_diff(expected) <= 1, "{}", fast.config().name);
        }
        assert_eq!(bytes(&images[2..3]), bytes(&fast.decode(&latents[2..3]).unwrap()));
        for image in &expected {
            let (v, expected) = (fast.encode(image).unwrap(), plain.encode(image).unwrap());
            assert!(difference(&v, &expected) < 1e-4, "{}", fast.config().name);
        }
    }
}

/// Every way of state, in one batch.
fn every_setting(model: &Model) -> Vec<SamplingSettings> {
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

/// All steps of a drawing for each setting, drawn together; every second one notes alternatives.
fn draw(model: &Model) -> Vec<Vec<Step>> {
    let start = |(seed, settings): (usize, &SamplingSettings)| {
        model.start(settings, seed as u64, 0).with_alternatives(seed % 2 == 1)
    };
    let mut states: Vec<SamplerState> = every_setting(model).iter().enumerate().map(start).collect();
    let step = |_| model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
    (0..model.config().steps()).map(step).collect()
}

/// A difference in the last bits of a logit can change a draw that was a near tie, and all that follows; it is rare.
#[test]
fn tokens_are_candles() {
    let (fast, plain) = models().swap_remove(0);
    let tokens = |model: &Model| -> Vec<u32> {
        draw(model).into_iter().flatten().flat_map(|step| step.tokens).collect()
    };
    let (fast, plain) = (tokens(&fast), tokens(&plain));
    let same = fast.iter().zip(&plain).filter(|(a, b)| a == b).count();
    assert!(same * 100 >= fast.len() * 99, "{same} of {}", fast.len());
}

/// candle draws on its device, with tensors, what the CPU's networks leave to the host.
#[test]
fn what_a_step_tells_is_candles() {
    for (fast, plain) in models() {
        let near =
            |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-3);
        // The first step only: later ones may go on from other tokens.
        for (image, (fast, plain)) in draw(&fast)[0].iter().zip(&draw(&plain)[0]).enumerate() {
            assert_eq!(fast.step, plain.step);
            assert_eq!(fast.tokens, plain.tokens, "image {image}");
            assert!(
                near(&fast.entropy, &plain.entropy),
                "image {image}: {:?}",
                (&fast.entropy, &plain.entropy)
            );
            assert!(near(&fast.probability, &plain.probability), "image {image}");
            let (Some(fast), Some(plain)) = (&fast.alternatives, &plain.alternatives) else {
                assert_eq!(image % 2, 0);
                assert!(fast.alternatives.is_none() && plain.alternatives.is_none());
                continue;
            };
            // Codes that can't be drawn, or are equally likely, have no order of their own.
            let known = fast.codes.iter().zip(&plain.codes).zip(&fast.probabilities);
            let known: Vec<_> = known.filter(|(_, probability)| **probability > 0.0).collect();
            let same = known.iter().filter(|((a, b), _)| a == b).count();
            assert!(same * 100 >= known.len() * 98, "image {image}: {same} of {}", known.len());
            assert!(near(&fast.probabilities, &plain.probabilities), "image {image}");
        }
    }
}

/// Lower precision moves logits a little; nearly all draws fall on the same code. (candle has no bf16 products on a CPU.)
#[test]
fn half_precision_draws_nearly_the_same_codes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let first = |precision| {
        let model = Model::load_with_candle(&folder, &Device::Cpu, precision).unwrap();
        let steps = draw(&model).swap_remove(0);
        let entropy: Vec<f32> = steps.iter().flat_map(|step| step.entropy.clone()).collect();
        (steps.into_iter().flat_map(|step| step.tokens).collect::<Vec<u32>>(), entropy)
    };
    let ((exact, entropy), (half, half_entropy)) = (first(Precision::F32), first(Precision::F16));
    let same = exact.iter().zip(half).filter(|(a, b)| **a == *b).count();
    assert!(same * 100 >= exact.len() * 98, "{same} of {}", exact.len());
    assert_ne!(entropy, half_entropy, "computed in f32");
}
