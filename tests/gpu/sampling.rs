//! Drawing on a GPU gives the CPU's codes, but for near ties.

use std::sync::Arc;

use rdpm::model::{Given, Model, SamplerState, SamplingSettings, Step};

use super::pairs::pairs;
use super::{FIXTURES, models};

/// Settings that together cover every option of sampling.
fn all_settings(model: &Model) -> Vec<SamplingSettings> {
    let config = model.config();
    let settings = |class| SamplingSettings::new(config, class % config.classes.len()).unwrap();
    let most = config.trajectory.codes;
    vec![
        settings(0),
        settings(1).with_guidance(0.0).unwrap().with_temperature(0.7).unwrap(),
        settings(2).with_guidance(1.0).unwrap().with_top_k(config, most.min(5)).unwrap(),
        settings(3).with_top_p(0.8).unwrap(),
        settings(4)
            .with_top_k(config, most.min(12))
            .unwrap()
            .with_top_p(0.6)
            .unwrap()
            .with_temperature(1.5)
            .unwrap(),
        settings(5).with_temperature(0.0).unwrap().with_top_k(config, 3).unwrap(),
        settings(6).with_guidance(7.5).unwrap(),
        settings(7).with_guidance(1.0).unwrap(),
    ]
}

/// Images with each of the settings; every second records alternatives, and every third has given codes.
fn states(model: &Model, images: u64) -> Vec<SamplerState> {
    let (config, settings) = (model.config(), all_settings(model));
    let codes = config.trajectory.codes as u32;
    let grids: Vec<Vec<Option<u32>>> = (0..config.steps() as u32)
        .map(|t| {
            let code = |position: u32| (position % 4 != 1).then_some((t * 31 + position * 7) % codes);
            (0..config.positions() as u32).map(code).collect()
        })
        .collect();
    let given = Arc::new(Given::new(config, &grids).unwrap());
    let state = |seed: u64| {
        let settings = &settings[seed as usize % settings.len()];
        let state = model.start(settings, seed, 0).with_alternatives(seed % 2 == 1);
        if seed % 3 == 2 { state.with_given(Arc::clone(&given)) } else { state }
    };
    (0..images).map(state).collect()
}

fn step(model: &Model, states: &mut [SamplerState]) -> Vec<Step> {
    model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap()
}

/// Codes that were compared, and that differ.
#[derive(Default)]
struct Count {
    codes: usize,
    different: usize,
}

/// Takes all steps on the CPU, each also on the GPU from the same states: a code that differs once doesn't change the later
/// ones.
fn compare(name: &str, images: u64) -> Count {
    let [cpu, gpu] = models(name);
    let mut states = states(&cpu, images);
    let mut count = Count::default();
    let near = |a: &f32, b: &f32| (a - b).abs() < 1e-3;
    for _ in 0..cpu.config().steps() {
        let mut same = states.clone();
        let found = step(&gpu, &mut same);
        let expected = step(&cpu, &mut states);
        for (image, (found, expected)) in pairs(&found, &expected).enumerate() {
            let place = format!("{name}, image {image}, step {}", expected.step);
            assert_eq!((found.step, &found.given), (expected.step, &expected.given), "{place}");
            for (i, (code, other)) in pairs(&found.tokens, &expected.tokens).enumerate() {
                count.codes += 1;
                if code != other {
                    count.different += 1;
                    continue;
                }
                let of = |step: &Step| (step.probability[i], step.entropy[i]);
                let (a, b) = (of(found), of(expected));
                assert!(near(&a.0, &b.0) && (a.1 - b.1).abs() < 1e-2, "{place}, position {i}: {a:?} {b:?}");
            }
            compare_alternatives(found, expected, &place);
        }
    }
    count
}

fn compare_alternatives(found: &Step, expected: &Step, place: &str) {
    let (Some(found_all), Some(expected_all)) = (&found.alternatives, &expected.alternatives) else {
        assert!(found.alternatives.is_none() && expected.alternatives.is_none(), "{place}");
        return;
    };
    // Equally probable codes may be in any order.
    let known = pairs(&found_all.codes, &expected_all.codes).zip(&expected_all.probabilities);
    let known: Vec<bool> =
        known.filter(|(_, probability)| **probability > 0.0).map(|((a, b), _)| a == b).collect();
    let same = known.iter().filter(|same| **same).count();
    assert!(same * 100 >= known.len() * 97, "{place}: {same} of {}", known.len());
    for (a, b) in pairs(&found_all.probabilities, &expected_all.probabilities) {
        assert!((a - b).abs() < 1e-3, "{place}: {a} {b}");
    }
    let ranks = pairs(&found_all.ranks, &expected_all.ranks).zip(pairs(&found.tokens, &expected.tokens));
    for ((a, b), (code, other)) in ranks {
        // Among improbable codes, rounding moves ranks a little; top-k and top-p give excluded codes others on the CPU.
        assert!(
            code != other || a.abs_diff(*b) <= 2 || found.given.iter().any(|given| *given),
            "{place}: {a} {b}"
        );
    }
}

/// The number of images of a shipped model: few, because a device that runs on the CPU needs two seconds for each.
/// `RDPM_GPU_IMAGES` sets another one.
fn images(default: u64) -> u64 {
    std::env::var("RDPM_GPU_IMAGES").map_or(default, |number| number.parse().unwrap())
}

#[test]
fn codes_of_the_clothing_model_are_the_cpus_but_for_near_ties() {
    let images = images(8);
    let Count { codes, different } = compare("weights/fashion-mnist", images);
    println!("{different} of {codes} codes differ");
    assert!(codes as u64 == images * 10 * 49 && different * 1000 <= codes, "{different} of {codes}");
}

#[test]
fn codes_of_the_emoji_model_are_the_cpus_but_for_near_ties() {
    let images = images(3);
    let Count { codes, different } = compare("weights/emoji", images);
    println!("{different} of {codes} codes differ");
    assert!(codes as u64 == images * 10 * 64 && different * 1000 <= codes, "{different} of {codes}");
}

#[test]
fn codes_of_small_models_are_the_cpus_but_for_near_ties() {
    for name in FIXTURES {
        let Count { codes, different } = compare(name, 40);
        assert!(codes > 3000 && different <= 2, "{name}: {different} of {codes}");
    }
}

/// An image that joins a batch, and one that is drawn alone.
#[test]
fn the_other_images_of_a_batch_change_no_bit() {
    let [_, gpu] = models("tests/fixtures/words");
    let mut all = states(&gpu, 23);
    let mut alone = vec![all[7].clone()];
    for _ in 0..gpu.config().steps() {
        let steps = step(&gpu, &mut all);
        assert_eq!(step(&gpu, &mut alone)[0], steps[7]);
    }
    assert_eq!(all[7].latent(), alone[0].latent());
    let images = gpu.images(&all.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(gpu.images(&[&alone[0]]).unwrap()[0], images[7]);
}

/// More images than one submission takes.
#[test]
fn large_batches_are_divided() {
    let [cpu, gpu] = models("tests/fixtures/eighth");
    let mut all = states(&cpu, 600);
    let mut same = all.clone();
    let found = step(&gpu, &mut same);
    let expected = step(&cpu, &mut all);
    let tokens = |steps: &[Step]| -> Vec<u32> { steps.iter().flat_map(|step| step.tokens.clone()).collect() };
    let different = pairs(tokens(&found), tokens(&expected)).filter(|(a, b)| a != b).count();
    assert!(different <= 2, "{different}");
    let images = gpu.images(&same.iter().collect::<Vec<_>>()).unwrap();
    assert_eq!(images.len(), 600);
    assert_eq!(gpu.images(&[&same[599]]).unwrap()[0], images[599]);
}
