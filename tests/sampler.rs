//! The sampler on the shipped weights, and its draws against closed forms.

use std::path::Path;

use candle_core::Device;
use image::DynamicImage;
use rdpm::model::code_sampling::sample_code;
use rdpm::model::{Model, Sampler, SamplerState, SamplingSettings, Step};

fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    Model::load(&folder, &Device::Cpu).unwrap()
}

fn settings(model: &Model, class: usize) -> SamplingSettings {
    SamplingSettings::new(model.config(), class).unwrap()
}

/// All token grids of one image drawn alone.
fn alone(model: &Model, settings: &SamplingSettings, seed: u64, index: u32) -> Vec<Vec<u32>> {
    Sampler::new(model, settings, seed, index..index + 1)
        .map(|steps| steps.unwrap().swap_remove(0).tokens)
        .collect()
}

#[test]
fn an_image_is_the_same_alone_in_a_batch_and_joining_a_running_one() {
    let model = model();
    let requests: Vec<(SamplingSettings, u64, u32)> = vec![
        (settings(&model, 7), 7, 0),
        (settings(&model, 7), 7, 1),
        (settings(&model, 0).with_guidance(1.0).unwrap(), 7, 0),
        (settings(&model, 3).with_guidance(0.0).unwrap().with_temperature(1.3).unwrap(), 11, 2),
        (settings(&model, 9).with_temperature(0.0).unwrap(), 12, 0),
        (settings(&model, 5).with_top_k(model.config(), 20).unwrap().with_top_p(0.9).unwrap(), 13, 0),
    ];
    let expected: Vec<_> = requests.iter().map(|(s, seed, index)| alone(&model, s, *seed, *index)).collect();

    // One more image joins before each step: timesteps, guidance and batch size all vary within the run.
    let mut states: Vec<SamplerState> = Vec::new();
    let mut grids: Vec<Vec<Vec<u32>>> = vec![Vec::new(); requests.len()];
    while states.len() < requests.len() || states.iter().any(|state| !state.is_finished()) {
        if let Some((settings, seed, index)) = requests.get(states.len()) {
            states.push(model.start(settings, *seed, *index));
        }
        let (places, mut running): (Vec<usize>, Vec<&mut SamplerState>) =
            states.iter_mut().enumerate().filter(|(_, state)| !state.is_finished()).unzip();
        for (place, step) in places.into_iter().zip(model.step(&mut running).unwrap()) {
            grids[place].push(step.tokens);
        }
    }
    assert_eq!(grids, expected);
}

#[test]
fn every_step_reports_what_it_drew_and_how_surely() {
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
fn alternatives_are_the_most_probable_codes_of_the_models_own_distribution() {
    let model = model();
    let settings = settings(&model, 4).with_temperature(0.8).unwrap().with_top_k(model.config(), 3).unwrap();
    let mut state = model.start(&settings, 21, 0).with_alternatives(true);
    let eps = model.start(&settings, 21, 0);
    let step = model.step(&mut [&mut state]).unwrap().swap_remove(0);
    let found = step.alternatives.unwrap();
    assert_eq!((found.codes.len(), found.probabilities.len()), (49 * 4, 49 * 4));
    // The softmax over the three most probable codes, by sorting, in f64.
    let logits = model.logits(&[(eps.latent(), 1, &settings)]).unwrap().swap_remove(0);
    for (position, logits) in logits.chunks_exact(256).enumerate() {
        let mut order: Vec<usize> = (0..256).collect();
        order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let weight = |code: usize| (f64::from(logits[code]) / 0.8).exp();
        let total: f64 = order[..3].iter().map(|&code| weight(code)).sum();
        for (place, &code) in order[..4].iter().enumerate() {
            let at = position * 4 + place;
            let expected = if place < 3 { weight(code) / total } else { 0.0 };
            assert!((f64::from(found.probabilities[at]) - expected).abs() < 1e-4, "{position} {place}");
            // A code outside the top k is as excluded as any other.
            assert!(place == 3 || found.codes[at] as usize == code, "{position} {place}");
        }
    }
}

/// Latent mean squared error between an image and what is drawn from z_k of it.
fn distance_from(model: &Model, image: &DynamicImage, k: usize) -> f32 {
    let settings = settings(model, 7);
    let v = model.encode(image).unwrap();
    let error = |index| {
        let mut state = model.start_from_image(&settings, 4, index, image, k).unwrap();
        assert_eq!(state.step(), k);
        while !state.is_finished() {
            model.step(&mut [&mut state]).unwrap();
        }
        let squares = state.latent().iter().zip(&v).map(|(z, v)| (z - v) * (z - v));
        squares.sum::<f32>() / v.len() as f32
    };
    (0..4).map(error).sum::<f32>() / 4.0
}

#[test]
fn a_variation_is_the_nearer_to_its_image_the_later_it_starts() {
    let model = model();
    let image = Sampler::new(&model, &settings(&model, 7), 1, 0..1);
    let image = {
        let mut image = image;
        while image.next().is_some() {}
        image.images().unwrap().swap_remove(0)
    };
    let errors = [1, 4, 7, 9].map(|k| distance_from(&model, &image, k));
    assert!(errors.is_sorted_by(|a, b| a > b), "{errors:?}");
    // One more drawn step puts as much right as the recurrence itself leaves wrong, more or less.
    assert!(errors[3] < 0.1 && errors[0] > 0.2, "{errors:?}");
    // z_k is the tokenization's own: the first image has its noise.
    let tokens = model.tokenize(&image, 4).unwrap().tokens;
    let mut z = model.start(&settings(&model, 7), 4, 0).latent().to_vec();
    tokens[..4].iter().for_each(|codes| model.codebook().advance(&mut z, codes));
    assert_eq!(model.start_from_image(&settings(&model, 7), 4, 0, &image, 4).unwrap().latent(), z);
}

#[test]
fn a_tokenized_image_is_seen_to_emerge() {
    let model = model();
    let mut sampler = Sampler::new(&model, &settings(&model, 5), 2, 0..1);
    while sampler.next().is_some() {}
    let image = sampler.images().unwrap().swap_remove(0);
    let large = image.resize_exact(100, 60, image::imageops::FilterType::Nearest);
    let done = model.tokenize(&image, 9).unwrap();
    assert_eq!((done.tokens.len(), done.previews.len(), done.resized_from), (10, 10, None));
    assert_eq!(done.input, image);
    assert_eq!(model.tokenize(&large, 9).unwrap().resized_from, Some((100, 60)));
    let error = |picture: &DynamicImage| {
        let pairs = picture.as_bytes().iter().zip(image.as_bytes());
        pairs.map(|(&a, &b)| (f32::from(a) - f32::from(b)).powi(2)).sum::<f32>() / (28.0 * 28.0)
    };
    let noisy: Vec<f32> = done.previews.iter().map(|preview| error(&preview.noisy)).collect();
    assert!(noisy[9] < 100.0 && noisy[0] > 10.0 * noisy[9], "{noisy:?}");
    // The last step leaves no noise, so both previews are the reconstruction.
    assert_eq!(done.previews[9].noisy, done.previews[9].clean);
    assert_ne!(done.previews[0].noisy, done.previews[0].clean);
}

#[test]
fn the_last_clean_preview_is_the_image_and_the_first_noisy_one_is_not() {
    let model = model();
    let mut sampler = Sampler::new(&model, &settings(&model, 8), 3, 0..2);
    sampler.next().unwrap().unwrap();
    let first = sampler.previews().unwrap();
    assert_ne!(first[0].noisy, first[0].clean);
    assert!(sampler.by_ref().all(|step| step.is_ok()));
    let (last, images) = (sampler.previews().unwrap(), sampler.images().unwrap());
    for (preview, image) in last.iter().zip(&images) {
        assert_eq!((&preview.clean, &preview.noisy), (image, image));
        assert_eq!((image.width(), image.height()), (28, 28));
    }
    assert_ne!(images[0], images[1]);
}

#[test]
fn seeds_and_indices_give_different_images_and_classes_share_their_noise_only() {
    let model = model();
    let boots = settings(&model, 9);
    let grids: Vec<_> =
        [(1, 0), (1, 1), (2, 0)].map(|(seed, index)| alone(&model, &boots, seed, index)).into();
    assert_ne!(grids[0], grids[1]);
    assert_ne!(grids[0], grids[2]);
    assert_eq!(grids[0], alone(&model, &boots, 1, 0));
    assert_ne!(grids[0], alone(&model, &settings(&model, 1), 1, 0));
}

/// Draws from four codes with probabilities 0.5, 0.25, 0.15, 0.1.
fn four_codes() -> (Vec<f32>, SamplingSettings) {
    (
        vec![0.5f32.ln(), 0.25f32.ln(), 0.15f32.ln(), 0.1f32.ln()],
        settings(&model(), 0).with_temperature(1.0).unwrap(),
    )
}

/// Numbers of (0, 1) that fill it evenly, for as many draws as asked: an independent low-discrepancy sequence for each
/// of the four codes (multiples of irrational numbers, modulo 1).
fn uniforms(draw: usize) -> [f32; 4] {
    [2f64.sqrt(), 3f64.sqrt(), 5f64.sqrt(), 7f64.sqrt()]
        .map(|step| ((draw as f64 * step).fract().clamp(1e-7, 1.0 - 1e-7)) as f32)
}

/// How often each code is drawn, and the entropy and probabilities reported.
fn frequencies(logits: &[f32], settings: &SamplingSettings, draws: usize) -> ([f64; 4], f32, [f32; 4]) {
    let (mut counts, mut reported, mut entropy) = ([0.0; 4], [0.0; 4], 0.0);
    for draw in 1..=draws {
        let drawn = sample_code(&mut logits.to_vec(), settings, &uniforms(draw));
        counts[drawn.code as usize] += 1.0 / draws as f64;
        reported[drawn.code as usize] = drawn.probability;
        entropy = drawn.entropy;
    }
    (counts, entropy, reported)
}

fn assert_near(a: &[f64], b: &[f64], tolerance: f64) {
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < tolerance), "{a:?} is not {b:?}");
}

#[test]
fn gumbel_max_draws_each_code_as_often_as_its_probability_says() {
    let (logits, settings) = four_codes();
    let (counts, entropy, reported) = frequencies(&logits, &settings, 20_000);
    assert_near(&counts, &[0.5, 0.25, 0.15, 0.1], 0.01);
    assert_near(&reported.map(f64::from), &[0.5, 0.25, 0.15, 0.1], 1e-6);
    // −Σ p log2 p
    assert!((entropy - 1.742_737_f32).abs() < 1e-5, "{entropy}");
}

#[test]
fn temperature_sharpens_and_zero_takes_the_most_probable() {
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
fn top_k_and_top_p_exclude_the_tail_and_renormalize() {
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
fn settings_out_of_range_are_refused_by_name() {
    let model = model();
    let good = settings(&model, 0);
    let refused = [
        good.clone().with_guidance(f64::NAN),
        good.clone().with_guidance(-0.1),
        good.clone().with_guidance(20.1),
        good.clone().with_temperature(f64::INFINITY),
        good.clone().with_temperature(5.1),
        good.clone().with_top_k(model.config(), 0),
        good.clone().with_top_k(model.config(), 257),
        good.clone().with_top_p(0.0),
        good.with_top_p(f64::NAN),
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
    for (settings, field) in refused.into_iter().zip(fields) {
        let message = settings.unwrap_err().to_string();
        assert!(message.starts_with(field) && message.contains("allowed"), "{message}");
    }
}
