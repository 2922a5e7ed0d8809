//! The transformer in the precisions of this processor, beside f32.

use std::path::{Path, PathBuf};

use candle_core::Device;
use rdpm::model::{Model, Precision, PrecisionSetting, Sampler, SamplerState, SamplingSettings};

use crate::pairs::pairs;

fn shipped() -> [PathBuf; 2] {
    ["weights/fashion-mnist", "weights/emoji"]
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
}

/// The shipped models, each with every precision of this processor other than f32.
fn shipped_in_each_precision() -> Vec<(PathBuf, Precision)> {
    let precisions = Precision::available(&Device::Cpu);
    let others: Vec<Precision> = precisions.into_iter().filter(|&other| other != Precision::F32).collect();
    if others.is_empty() {
        eprintln!("skipped: this processor computes in f32 only");
    }
    let with_each =
        |folder: PathBuf| others.iter().map(|&precision| (folder.clone(), precision)).collect::<Vec<_>>();
    shipped().into_iter().flat_map(with_each).collect()
}

fn load(folder: &Path, precision: Precision) -> Model {
    let model = Model::load_with(folder, &Device::Cpu, precision).unwrap();
    assert_eq!(model.computation().precision, precision);
    model
}

/// States of `count` images with different classes and guidance.
fn start(model: &Model, count: u64) -> Vec<SamplerState> {
    let config = model.config();
    let guidance = [config.sampling.guidance, 0.0, 1.0, 5.0];
    let state = |seed: u64| {
        let settings = SamplingSettings::new(config, seed as usize % config.classes.len()).unwrap();
        model.start(&settings.with_guidance(guidance[seed as usize % 4]).unwrap(), seed, 0)
    };
    (0..count).map(state).collect()
}

/// The tokens of all steps of each image, drawn together.
fn tokens(model: &Model, mut states: Vec<SamplerState>) -> Vec<Vec<u32>> {
    let mut tokens = vec![Vec::new(); states.len()];
    for _ in 0..model.config().steps() {
        let steps = model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
        for (tokens, step) in pairs(&mut tokens, steps) {
            tokens.extend(step.tokens);
        }
    }
    tokens
}

/// Threads divide the images, and the positions of an image if there are fewer images than threads.
#[test]
fn logits_and_pictures_do_not_depend_on_the_number_of_threads() {
    let exact = shipped().map(|folder| (folder, Precision::F32));
    for (folder, precision) in exact.into_iter().chain(shipped_in_each_precision()) {
        let model = load(&folder, precision);
        let states = start(&model, 5);
        let compute = |threads: usize, images: usize| {
            let rows: Vec<_> =
                states[..images].iter().map(|state| (state.latent(), 1 + images, state.settings())).collect();
            let latents: Vec<_> = states[..images].iter().map(SamplerState::latent).collect();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (model.logits(&rows).unwrap(), model.decode(&latents).unwrap()))
        };
        for images in [1, 3, 5] {
            let (expected, expected_pictures) = compute(1, images);
            for threads in [2, 3, 4, 7, 16, 64] {
                let (found, pictures) = compute(threads, images);
                for (found, expected) in pairs(found, &expected) {
                    let differs = pairs(found, expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
                    assert_eq!(differs, 0, "{precision:?}, {threads} threads, {images} images");
                }
                assert!(pictures == expected_pictures, "{precision:?}, {threads} threads, {images} images");
            }
        }
    }
}

/// The root of the mean square of a's difference from b, relative to b's standard deviation.
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let mean = b.iter().map(|&b| f64::from(b)).sum::<f64>() / b.len() as f64;
    let variance: f64 = b.iter().map(|&b| (f64::from(b) - mean).powi(2)).sum();
    let error: f64 = pairs(a, b).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    (error / variance).sqrt()
}

#[test]
fn logits_are_nearly_those_of_f32_and_do_not_depend_on_the_batch() {
    for (folder, precision) in shipped_in_each_precision() {
        let (exact, model) = (load(&folder, Precision::F32), load(&folder, precision));
        let mut states = start(&exact, 13);
        for t in 1..=exact.config().steps() {
            let rows: Vec<_> = states.iter().map(|state| (state.latent(), t, state.settings())).collect();
            let (logits, expected) = (model.logits(&rows).unwrap(), exact.logits(&rows).unwrap());
            for (row, (logits, expected)) in pairs(&rows, pairs(&logits, &expected)) {
                let error = relative_error(logits, expected);
                assert!(error < 0.03, "{}, {precision:?}, step {t}: {error}", folder.display());
                // Bit for bit the logits of a batch of this row alone.
                assert_eq!(&model.logits(&[*row]).unwrap()[0], logits);
            }
            exact.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
        }
    }
}

#[test]
fn an_image_has_the_same_tokens_alone_and_in_a_batch_in_each_precision() {
    for folder in shipped() {
        for precision in Precision::available(&Device::Cpu) {
            let model = load(&folder, precision);
            let together = tokens(&model, start(&model, 5));
            assert_eq!(together, tokens(&load(&folder, precision), start(&model, 5)), "{precision:?}");
            for (state, together) in pairs(start(&model, 5), &together) {
                assert_eq!(&tokens(&model, vec![state])[0], together, "{precision:?}");
            }
        }
    }
}

#[test]
fn most_tokens_are_those_that_f32_draws_from_the_same_latents() {
    for (folder, precision) in shipped_in_each_precision() {
        let (exact, model) = (load(&folder, Precision::F32), load(&folder, precision));
        let settings = |seed: u64| {
            SamplingSettings::new(exact.config(), seed as usize % exact.config().classes.len()).unwrap()
        };
        let mut states: Vec<_> = (0..8).map(|seed| exact.start(&settings(seed), seed, 0)).collect();
        let (mut equal, mut count) = (0, 0);
        for _ in 0..exact.config().steps() {
            let mut copies = states.clone();
            let drawn = model.step(&mut copies.iter_mut().collect::<Vec<_>>()).unwrap();
            let expected = exact.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
            for (drawn, expected) in pairs(drawn, expected) {
                for (a, b) in pairs(drawn.tokens, expected.tokens) {
                    equal += usize::from(a == b);
                    count += 1;
                }
            }
        }
        let share = equal as f64 / count as f64;
        println!("{} {}: {share:.4} of the tokens are equal", exact.config().name, precision.name());
        assert!(share > 0.95, "{}, {precision:?}: {share}", folder.display());
    }
}

#[test]
fn pictures_of_the_same_tokens_are_nearly_those_of_f32() {
    for (folder, precision) in shipped_in_each_precision() {
        let (exact, model) = (load(&folder, Precision::F32), load(&folder, precision));
        let mut states = start(&exact, 6);
        for _ in 0..exact.config().steps() {
            exact.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
        }
        let states: Vec<&SamplerState> = states.iter().collect();
        for (image, expected) in pairs(model.images(&states).unwrap(), exact.images(&states).unwrap()) {
            let (image, expected) = (image.into_bytes(), expected.into_bytes());
            let difference = |(a, b): (&u8, &u8)| f64::from(a.abs_diff(*b));
            let errors: Vec<f64> = pairs(&image, &expected).map(difference).collect();
            let mean = errors.iter().sum::<f64>() / errors.len() as f64;
            let largest = errors.iter().copied().fold(0.0, f64::max);
            println!("{} {}: mean {mean:.3}, at most {largest} levels", folder.display(), precision.name());
            assert!(mean < 0.5 && largest < 32.0, "{}, {precision:?}: {mean}, {largest}", folder.display());
        }
    }
}

#[test]
fn auto_is_the_fastest_precision_of_the_processor_for_the_shipped_models() {
    for folder in shipped() {
        let resolved = PrecisionSetting::Auto.resolve(&folder, &Device::Cpu).unwrap();
        println!("{}: auto is {resolved:?}", folder.display());
        assert_eq!(Some(&resolved), Precision::available(&Device::Cpu).last(), "{}", folder.display());
    }
}

#[test]
fn the_sampler_runs_in_each_precision() {
    for precision in Precision::available(&Device::Cpu) {
        let model = load(&shipped()[0], precision);
        let settings = SamplingSettings::new(model.config(), 3).unwrap();
        let mut sampler = Sampler::new(&model, &settings, 1, 0..2);
        assert_eq!(sampler.by_ref().map(Result::unwrap).count(), model.config().steps());
        assert_eq!(sampler.images().unwrap().len(), 2);
    }
}

#[test]
fn f16_on_a_cpu_is_refused() {
    let error = Model::load_with(&shipped()[0], &Device::Cpu, Precision::F16).err().unwrap();
    assert_eq!(error.to_string(), "precision f16: it is available on a GPU only; use f32 or auto");
}
