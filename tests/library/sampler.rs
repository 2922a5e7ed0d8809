//! Tests the sampler on the shipped weights, and the sampling of codes against closed forms.

use std::path::Path;

use candle_core::Device;
use image::DynamicImage;
use rdpm::model::code_sampling::sample_code;
use rdpm::model::{Model, Sampler, SamplerState, SamplingSettings, Step};

use crate::pairs::pairs;

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    Model::load(&folder, &Device::Cpu).unwrap()
}

fn settings(model: &Model, class: usize) -> SamplingSettings {
    SamplingSettings::new(model.config(), class).unwrap()
}

/// The T token grids of one image in a batch of its own.
fn sample_alone(model: &Model, settings: &SamplingSettings, seed: u64, index: u32) -> Vec<Vec<u32>> {
    Sampler::new(model, settings, seed, index..index + 1)
        .map(|steps| steps.unwrap().swap_remove(0).tokens)
        .collect()
}

#[test]
fn tokens_do_not_depend_on_the_batch_or_on_when_an_image_joins_it() {
    let model = model();
    let requests: Vec<(SamplingSettings, u64, u32)> = vec![
        (settings(&model, 7), 7, 0),
        (settings(&model, 7), 7, 1),
        (settings(&model, 0).with_guidance(1.0).unwrap(), 7, 0),
        (settings(&model, 3).with_guidance(0.0).unwrap().with_temperature(1.3).unwrap(), 11, 2),
        (settings(&model, 9).with_temperature(0.0).unwrap(), 12, 0),
        (settings(&model, 5).with_top_k(model.config(), 20).unwrap().with_top_p(0.9).unwrap(), 13, 0),
    ];
    let expected: Vec<_> =
        requests.iter().map(|(s, seed, index)| sample_alone(&model, s, *seed, *index)).collect();

    // One more image joins before each step, so that timesteps, guidance and batch size all vary within the run.
    let mut states: Vec<SamplerState> = Vec::new();
    let mut grids: Vec<Vec<Vec<u32>>> = vec![Vec::new(); requests.len()];
    while states.len() < requests.len() || states.iter().any(|state| !state.is_finished()) {
        if let Some((settings, seed, index)) = requests.get(states.len()) {
            states.push(model.start(settings, *seed, *index));
        }
        let (indices, mut running): (Vec<usize>, Vec<&mut SamplerState>) =
            states.iter_mut().enumerate().filter(|(_, state)| !state.is_finished()).unzip();
        for (index, step) in pairs(indices, model.step(&mut running).unwrap()) {
            grids[index].push(step.tokens);
        }
    }
    assert_eq!(grids, expected);
}

#[test]
fn every_step_reports_tokens_entropy_and_probability_of_all_positions() {
    let model = model();
    let settings = settings(&model, 1);
    let steps: Vec<Step> =
        Sampler::new(&model, &settings, 5, 0..1).map(|steps| steps.unwrap().swap_remove(0)).collect();
    assert_eq!(steps.iter().map(|step| step.step).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    for step in &steps {
        assert_eq!((step.tokens.len(), step.entropy.len(), step.probability.len()), (49, 49, 49));
        assert!(step.tokens.iter().all(|&code| code < 256));
        assert!(step.entropy.iter().all(|bits| (0.0..=8.0).contains(bits)));
        assert!(step.probability.iter().all(|p| *p > 0.0 && *p <= 1.0));
    }
}

#[test]
fn alternatives_are_the_most_probable_codes_after_temperature_and_top_k() {
    let model = model();
    let settings = settings(&model, 4).with_temperature(0.8).unwrap().with_top_k(model.config(), 3).unwrap();
    let mut state = model.start(&settings, 21, 0).with_alternatives(true);
    let initial = model.start(&settings, 21, 0);
    let step = model.step(&mut [&mut state]).unwrap().swap_remove(0);
    let found = step.alternatives.unwrap();
    assert_eq!((found.codes.len(), found.probabilities.len()), (49 * 4, 49 * 4));
    // Expected: the softmax over the three most probable codes, by sorting, in f64.
    let logits = model.logits(&[(initial.latent(), 1, &settings)]).unwrap().swap_remove(0);
    for (position, logits) in logits.chunks_exact(256).enumerate() {
        let mut order: Vec<usize> = (0..256).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let weight = |code: usize| (f64::from(logits[code]) / 0.8).exp();
        // The rank of the drawn code, which top_k allows.
        let drawn = order.iter().position(|&code| code as u32 == step.tokens[position]).unwrap();
        assert_eq!(found.ranks[position] as usize, drawn + 1, "{position}");
        let total: f64 = order[..3].iter().map(|&code| weight(code)).sum();
        for (rank, &code) in order[..4].iter().enumerate() {
            let index = position * 4 + rank;
            let expected = if rank < 3 { weight(code) / total } else { 0.0 };
            assert!((f64::from(found.probabilities[index]) - expected).abs() < 1e-4, "{position} {rank}");
            // The fourth code is excluded by top_k and may be any of the excluded ones.
            assert!(rank == 3 || found.codes[index] as usize == code, "{position} {rank}");
        }
    }
}

/// Mean squared error in the latent between an image and its variations from z_k.
fn variation_error(model: &Model, image: &DynamicImage, k: usize) -> f32 {
    let settings = settings(model, 7);
    let v = model.encode(image).unwrap();
    let error = |index| {
        let mut state = model.start_from_image(&settings, 4, index, image, k).unwrap();
        assert_eq!(state.step(), k);
        while !state.is_finished() {
            model.step(&mut [&mut state]).unwrap();
        }
        let squares = pairs(state.latent(), &v).map(|(z, v)| (z - v) * (z - v));
        squares.sum::<f32>() / v.len() as f32
    };
    (0..4).map(error).sum::<f32>() / 4.0
}

#[test]
fn variations_from_later_steps_are_nearer_to_their_image() {
    let model = model();
    let mut sampler = Sampler::new(&model, &settings(&model, 7), 1, 0..1);
    while sampler.next().is_some() {}
    let image = sampler.images().unwrap().swap_remove(0);
    let errors = [1, 4, 7, 9].map(|k| variation_error(&model, &image, k));
    assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    // One sampled step restores the image up to about the quantization error.
    assert!(errors[3] < 0.1 && errors[0] > 0.2, "{errors:?}");
    // Image 0 has the noise of the tokenization with the same seed, so its z_k is the tokenization's.
    let tokens = model.tokenize(&image, 4).unwrap().tokens;
    let mut z = model.start(&settings(&model, 7), 4, 0).latent().to_vec();
    tokens[..4].iter().for_each(|codes| model.codebook().advance(&mut z, codes));
    assert_eq!(model.start_from_image(&settings(&model, 7), 4, 0, &image, 4).unwrap().latent(), z);
}

#[test]
fn tokenize_previews_approach_the_image() {
    let model = model();
    let mut sampler = Sampler::new(&model, &settings(&model, 5), 2, 0..1);
    while sampler.next().is_some() {}
    let image = sampler.images().unwrap().swap_remove(0);
    let large = image.resize_exact(100, 60, image::imageops::FilterType::Nearest);
    let tokenization = model.tokenize(&image, 9).unwrap();
    assert_eq!(
        (tokenization.tokens.len(), tokenization.previews.len(), tokenization.resized_from),
        (10, 10, None)
    );
    assert_eq!(tokenization.input, image);
    assert_eq!(model.tokenize(&large, 9).unwrap().resized_from, Some((100, 60)));
    let error = |picture: &DynamicImage| {
        let levels = pairs(picture.as_bytes(), image.as_bytes());
        levels.map(|(&a, &b)| (f32::from(a) - f32::from(b)).powi(2)).sum::<f32>() / (28.0 * 28.0)
    };
    let noisy: Vec<f32> = tokenization.previews.iter().map(|preview| error(&preview.noisy)).collect();
    assert!(noisy[9] < 100.0 && noisy[0] > 10.0 * noisy[9], "{noisy:?}");
    // No noise is left after the last step, so both previews are the reconstruction.
    assert_eq!(tokenization.previews[9].noisy, tokenization.previews[9].clean);
    assert_ne!(tokenization.previews[0].noisy, tokenization.previews[0].clean);
}

#[test]
fn both_last_previews_are_the_image() {
    let model = model();
    let mut sampler = Sampler::new(&model, &settings(&model, 8), 3, 0..2);
    sampler.next().unwrap().unwrap();
    let first = sampler.previews().unwrap();
    assert_ne!(first[0].noisy, first[0].clean);
    assert!(sampler.by_ref().all(|step| step.is_ok()));
    let (last, images) = (sampler.previews().unwrap(), sampler.images().unwrap());
    for (preview, image) in pairs(&last, &images) {
        assert_eq!((&preview.clean, &preview.noisy), (image, image));
        assert_eq!((image.width(), image.height()), (28, 28));
    }
    assert_ne!(images[0], images[1]);
}

#[test]
fn tokens_depend_on_seed_index_and_class() {
    let model = model();
    let boots = settings(&model, 9);
    let grids: Vec<_> =
        [(1, 0), (1, 1), (2, 0)].map(|(seed, index)| sample_alone(&model, &boots, seed, index)).into();
    assert_ne!(grids[0], grids[1]);
    assert_ne!(grids[0], grids[2]);
    assert_eq!(grids[0], sample_alone(&model, &boots, 1, 0));
    assert_ne!(grids[0], sample_alone(&model, &settings(&model, 1), 1, 0));
}

/// Logits of four codes with probabilities 0.5, 0.25, 0.15, 0.1, and settings with temperature 1.
fn four_codes() -> (Vec<f32>, SamplingSettings) {
    (
        vec![0.5f32.ln(), 0.25f32.ln(), 0.15f32.ln(), 0.1f32.ln()],
        settings(&model(), 0).with_temperature(1.0).unwrap(),
    )
}

/// Element number `sample` of four independent low-discrepancy sequences in (0, 1), one for each code: multiples of
/// irrational numbers, modulo 1.
fn uniforms(sample: usize) -> [f32; 4] {
    [2f64.sqrt(), 3f64.sqrt(), 5f64.sqrt(), 7f64.sqrt()]
        .map(|step| ((sample as f64 * step).fract().clamp(1e-7, 1.0 - 1e-7)) as f32)
}

/// The relative frequency of each code, and the reported entropy and probabilities.
fn frequencies(logits: &[f32], settings: &SamplingSettings, samples: usize) -> ([f64; 4], f32, [f32; 4]) {
    let (mut counts, mut reported, mut entropy) = ([0.0; 4], [0.0; 4], 0.0);
    for sample in 1..=samples {
        let sampled = sample_code(&mut logits.to_vec(), settings, &uniforms(sample), &mut Vec::new());
        counts[sampled.code as usize] += 1.0 / samples as f64;
        reported[sampled.code as usize] = sampled.probability;
        entropy = sampled.entropy;
    }
    (counts, entropy, reported)
}

fn assert_near(a: &[f64], b: &[f64], tolerance: f64) {
    assert!(pairs(a, b).all(|(a, b)| (a - b).abs() < tolerance), "{a:?} is not {b:?}");
}

#[test]
fn gumbel_max_samples_codes_with_their_probabilities() {
    let (logits, settings) = four_codes();
    let (counts, entropy, reported) = frequencies(&logits, &settings, 20_000);
    assert_near(&counts, &[0.5, 0.25, 0.15, 0.1], 0.01);
    assert_near(&reported.map(f64::from), &[0.5, 0.25, 0.15, 0.1], 1e-6);
    // −Σ p log2 p
    assert!((entropy - 1.742_737_f32).abs() < 1e-5, "{entropy}");
}

#[test]
fn low_temperature_sharpens_and_zero_takes_the_most_probable_code() {
    let (logits, settings) = four_codes();
    let sharp = settings.clone().with_temperature(0.5).unwrap();
    // Squared and normalized: 0.25, 0.0625, 0.0225, 0.01 over 0.345.
    let (counts, _, _) = frequencies(&logits, &sharp, 20_000);
    assert_near(&counts, &[0.724_638, 0.181_159, 0.065_217, 0.028_986], 0.01);
    let coldest = settings.with_temperature(0.0).unwrap();
    let (counts, entropy, reported) = frequencies(&logits, &coldest, 100);
    assert_near(&counts, &[1.0, 0.0, 0.0, 0.0], 1e-9);
    assert_eq!((entropy, reported), (0.0, [1.0, 0.0, 0.0, 0.0]));
}

#[test]
fn temperatures_near_zero_take_the_most_probable_code() {
    let (logits, settings) = four_codes();
    let sample = |temperature: f64| {
        let settings = settings.clone().with_temperature(temperature).unwrap();
        sample_code(&mut logits.clone(), &settings, &uniforms(0), &mut Vec::new())
    };
    let greedy = sample(0.0);
    for temperature in [f64::MIN_POSITIVE, 1e-175, 1e-46, 1e-40, 1e-31, 1e-29, 1e-20] {
        let sampled = sample(temperature);
        let found = (sampled.code, sampled.entropy, sampled.probability);
        assert_eq!(found, (greedy.code, 0.0, 1.0), "{temperature}");
    }
}

#[test]
fn top_k_and_top_p_exclude_improbable_codes_and_renormalize() {
    let model = model();
    let (logits, settings) = four_codes();
    let two = settings.clone().with_top_k(model.config(), 2).unwrap();
    assert_near(&frequencies(&logits, &two, 20_000).0, &[2.0 / 3.0, 1.0 / 3.0, 0.0, 0.0], 0.01);
    // 0.5 + 0.25 < 0.8 <= 0.5 + 0.25 + 0.15: three remain.
    let most = settings.clone().with_top_p(0.8).unwrap();
    assert_near(&frequencies(&logits, &most, 20_000).0, &[0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0.0], 0.01);
    let one = settings.with_top_p(0.3).unwrap();
    assert_near(&frequencies(&logits, &one, 100).0, &[1.0, 0.0, 0.0, 0.0], 1e-9);
}

#[test]
fn settings_out_of_range_are_errors_that_name_the_field() {
    let model = model();
    let valid = settings(&model, 0);
    let refused = [
        valid.clone().with_guidance(f64::NAN),
        valid.clone().with_guidance(-0.1),
        valid.clone().with_guidance(20.1),
        valid.clone().with_temperature(f64::INFINITY),
        valid.clone().with_temperature(5.1),
        valid.clone().with_top_k(model.config(), 0),
        valid.clone().with_top_k(model.config(), 257),
        valid.clone().with_top_p(0.0),
        valid.with_top_p(f64::NAN),
        SamplingSettings::new(model.config(), 10),
    ];
    let fields = [
        "guidance",
        "guidance",
        "guidance",
        "temperature",
        "temperature",
        "top_k",
        "top_k",
        "top_p",
        "top_p",
        "class",
    ];
    for (settings, field) in pairs(refused, fields) {
        let message = settings.unwrap_err().to_string();
        assert!(message.starts_with(field) && message.contains("allowed"), "{message}");
    }
}
