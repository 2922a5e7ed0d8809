//! A denoiser that computes guided logits in one pass: `one-pass.safetensors` in `tests/fixtures/words`, with random weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rdpm::model::{
    Computation, Config, Model, ModelError, ModelInfo, ONE_PASS_FILE, PassCount, Precision, SamplerState,
    SamplingOptions, SamplingSettings,
};

use crate::pairs::pairs;

const ONE_PASS: Computation = Computation { precision: Precision::F32, passes: PassCount::One };

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words")
}

/// The networks of the CPU, and those of candle.
fn models() -> [Model; 2] {
    [
        Model::load_with(&folder(), &Device::Cpu, ONE_PASS).unwrap(),
        Model::load_with_candle(&folder(), &Device::Cpu, ONE_PASS).unwrap(),
    ]
}

fn settings(
    config: &Config,
    class: usize,
    prompt: Option<&str>,
    style: Option<&str>,
    guidance: f64,
) -> SamplingSettings {
    let (prompt, style) = (prompt.map(str::to_owned), style.map(str::to_owned));
    let options =
        SamplingOptions { prompt, style, guidance, temperature: 0.8, ..SamplingOptions::defaults(config) };
    SamplingSettings::with_options(config, class, options).unwrap()
}

fn red_heart(config: &Config, guidance: f64) -> SamplingSettings {
    settings(config, 1, Some("red heart"), Some("flat"), guidance)
}

/// The values of `one_pass` in `training/rdpm_training/fixture.py`.
fn expected() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(folder().join("one_pass_expected.safetensors"), &Device::Cpu).unwrap()
}

fn rows(tensor: &Tensor) -> Vec<Vec<f32>> {
    tensor.to_dtype(DType::F32).unwrap().flatten_from(1).unwrap().to_vec2().unwrap()
}

fn assert_near(found: &[f32], expected: &[f32]) {
    let largest = expected.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
    let differs = pairs(found, expected).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(differs < 1e-4 * largest, "{differs} of {largest}");
}

#[test]
fn logits_are_pytorchs_for_whole_scales_and_those_between() {
    let expected = expected();
    for model in models() {
        let config = model.config();
        let settings = [
            settings(config, 0, None, None, 0.5),
            settings(config, 1, None, Some("flat"), 2.0),
            settings(config, 1, Some("red heart"), None, 3.25),
            settings(config, 0, Some("happy cat face with eyes"), Some("round"), 4.0),
        ];
        let z = rows(&expected["z"]);
        let images: Vec<_> = pairs(&z, pairs([1, 4, 7, 10], &settings))
            .map(|(z, (t, settings))| (&z[..], t, settings))
            .collect();
        for (found, expected) in pairs(model.logits(&images).unwrap(), rows(&expected["logits"])) {
            assert_near(&found, &expected);
        }
    }
}

#[test]
fn a_run_is_pytorchs() {
    let tokens = rows(&expected()["tokens"]);
    for model in models() {
        let mut state = model.start(&red_heart(model.config(), 2.5), 3, 1);
        for expected in &tokens {
            let step = model.step(&mut [&mut state]).unwrap().remove(0);
            let expected: Vec<u32> = expected.iter().map(|&code| code as u32).collect();
            assert_eq!(step.tokens, expected, "step {}", step.step);
        }
        assert!(state.is_finished());
    }
}

/// Without guidance and above the largest scale, the other denoiser is exact.
#[test]
fn scales_outside_of_its_range_take_the_other_denoiser() {
    let two_passes = Model::load(&folder(), &Device::Cpu).unwrap();
    for model in models() {
        let config = model.config();
        let z = rows(&expected()["z"]).remove(0);
        let logits = |model: &Model, guidance: f64| {
            model.logits(&[(&z[..], 3, &red_heart(config, guidance))]).unwrap().remove(0)
        };
        for guidance in [0.0, 1.0, 4.01, 20.0] {
            assert_near(&logits(&model, guidance), &logits(&two_passes, guidance));
        }
        for guidance in [0.01, 0.99, 2.0, 4.0] {
            let (one, two) = (logits(&model, guidance), logits(&two_passes, guidance));
            assert!(pairs(one, two).any(|(one, two)| (one - two).abs() > 1e-2), "{guidance}");
        }
    }
}

#[test]
fn a_batch_may_mix_images_of_one_and_of_two_passes() {
    for model in models() {
        let config = model.config();
        let start = |seed: u64| {
            let guidance = [2.5, 0.0, 9.0, 1.0, 3.0][seed as usize];
            model.start(&red_heart(config, guidance), seed, 0)
        };
        let mut together: Vec<SamplerState> = (0..5).map(start).collect();
        for _ in 0..config.steps() {
            let steps = model.step(&mut together.iter_mut().collect::<Vec<_>>()).unwrap();
            assert_eq!(steps.len(), 5);
        }
        for (seed, together) in (0..).zip(&together) {
            let mut alone = start(seed);
            for _ in 0..config.steps() {
                model.step(&mut [&mut alone]).unwrap();
            }
            assert_eq!(alone.tokens(), together.tokens(), "seed {seed}");
        }
    }
}

#[test]
fn steps_without_guidance_are_exact_in_one_pass() {
    let two_passes = Model::load(&folder(), &Device::Cpu).unwrap();
    for model in models() {
        let config = model.config();
        let range = Some("9-10".parse().unwrap());
        let settings = red_heart(config, 2.5).with_guidance_steps(config, range).unwrap();
        let (mut one, mut two) = (model.start(&settings, 5, 0), two_passes.start(&settings, 5, 0));
        for t in 1..=config.steps() {
            let tokens = model.step(&mut [&mut one]).unwrap().remove(0).tokens;
            let expected = two_passes.step(&mut [&mut two]).unwrap().remove(0).tokens;
            assert_eq!(tokens == expected, t < 9, "step {t}");
        }
    }
}

#[test]
fn captions_do_not_change() {
    let two_passes = Model::load(&folder(), &Device::Cpu).unwrap();
    let model = Model::load_with(&folder(), &Device::Cpu, ONE_PASS).unwrap();
    let z = rows(&expected()["z"]).remove(1);
    assert_eq!(model.caption(&z).unwrap(), two_passes.caption(&z).unwrap());
}

#[test]
fn version_and_errors_tell_the_passes_apart() {
    let version = |computation| ModelInfo::read_with(&folder(), computation).unwrap().version;
    assert_ne!(version(ONE_PASS), version(Computation::default()));

    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "model.safetensors", "vocabulary.json"] {
        std::fs::copy(folder().join(name), copy.path().join(name)).unwrap();
    }
    let load = || Model::load_with(copy.path(), &Device::Cpu, ONE_PASS).err().unwrap();
    assert!(matches!(load(), ModelError::Read { path, .. } if path.ends_with(ONE_PASS_FILE)));

    // A tensor of another shape.
    let file = copy.path().join(ONE_PASS_FILE);
    let mut tensors = candle_core::safetensors::load(folder().join(ONE_PASS_FILE), &Device::Cpu).unwrap();
    tensors
        .insert("denoiser.guidance.weight".into(), Tensor::zeros((5, 3), DType::F32, &Device::Cpu).unwrap());
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let text = load().to_string();
    assert!(text.contains(ONE_PASS_FILE) && text.contains("guidance.weight"), "{text}");

    // None at all.
    tensors.remove("denoiser.guidance.weight");
    candle_core::safetensors::save(&tensors, &file).unwrap();
    let text = load().to_string();
    assert!(text.contains(ONE_PASS_FILE) && text.contains("guidance.weight"), "{text}");
}

/// Mean Kullback-Leibler divergence in nats of the codes' probabilities at a temperature from the expected ones.
fn divergence(found: &[f32], expected: &[f32], codes: usize, temperature: f32) -> f64 {
    let log_probabilities = |logits: &[f32]| -> Vec<f64> {
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scaled: Vec<f64> =
            logits.iter().map(|logit| f64::from((logit - largest) / temperature)).collect();
        let total = scaled.iter().map(|x| x.exp()).sum::<f64>().ln();
        scaled.iter().map(|x| x - total).collect()
    };
    let positions = pairs(found.chunks_exact(codes), expected.chunks_exact(codes));
    let count = positions.len() as f64;
    let of_position = |(found, expected)| {
        let (q, p) = (log_probabilities(found), log_probabilities(expected));
        pairs(q, p).map(|(q, p)| p.exp() * (p - q)).sum::<f64>()
    };
    positions.map(of_position).sum::<f64>() / count
}

/// The shipped weights: in one pass, the probabilities are near those of two, and much nearer than those without guidance.
#[test]
fn shipped_weights_for_one_pass_give_nearly_the_guided_probabilities() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let one_pass = Model::load_with(&folder, &Device::Cpu, ONE_PASS).unwrap();
    let two_passes = Model::load(&folder, &Device::Cpu).unwrap();
    let config = two_passes.config();
    let (codes, temperature) = (config.trajectory.codes, config.sampling.temperature as f32);
    let settings: Vec<_> = (0..10).map(|class| SamplingSettings::new(config, class).unwrap()).collect();
    let mut states: Vec<SamplerState> =
        (0..).zip(&settings).map(|(seed, settings)| two_passes.start(settings, seed, 0)).collect();
    let (mut near, mut far) = (0.0, 0.0);
    for t in 1..=config.steps() {
        let logits = |model: &Model, guidance: f64| {
            let settings: Vec<_> =
                settings.iter().map(|settings| settings.clone().with_guidance(guidance).unwrap()).collect();
            let rows: Vec<_> =
                pairs(&states, &settings).map(|(state, settings)| (state.latent(), t, settings)).collect();
            model.logits(&rows).unwrap().concat()
        };
        let guided = logits(&two_passes, config.sampling.guidance);
        near += divergence(&logits(&one_pass, config.sampling.guidance), &guided, codes, temperature);
        far += divergence(&logits(&two_passes, 1.0), &guided, codes, temperature);
        two_passes.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
    }
    let steps = config.steps() as f64;
    let (near, far) = (near / steps, far / steps);
    assert!(near < 0.04 && near < far / 2.0, "{near}, without guidance {far}");
}
