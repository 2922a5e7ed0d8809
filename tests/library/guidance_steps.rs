//! Guidance in some steps only.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rdpm::model::{Config, GuidanceSteps, Model, Precision, SamplerState, SamplingOptions, SamplingSettings};

use crate::pairs::pairs;

fn words() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words")
}

fn model() -> Model {
    Model::load(&words(), &Device::Cpu).unwrap()
}

/// The settings of the fixture, guided in the steps of `range`.
fn settings(config: &Config, guidance: f64, range: Option<&str>) -> SamplingSettings {
    let options = SamplingOptions {
        prompt: Some("red heart".into()),
        style: Some("flat".into()),
        guidance,
        guidance_steps: range.map(|range| range.parse().unwrap()),
        temperature: 0.8,
        ..SamplingOptions::defaults(config)
    };
    SamplingSettings::with_options(config, 1, options).unwrap()
}

#[test]
fn run_with_guidance_in_some_steps_is_pytorchs() {
    let model = model();
    let expected: HashMap<String, Tensor> =
        candle_core::safetensors::load(words().join("guidance_steps.safetensors"), &Device::Cpu).unwrap();
    let rows = |name: &str| -> Vec<Vec<f32>> {
        let tensor = expected[name].to_dtype(DType::F32).unwrap().flatten_from(1).unwrap();
        tensor.to_vec2().unwrap()
    };
    let (logits, tokens) = (rows("logits"), rows("tokens"));
    let mut state = model.start(&settings(model.config(), 2.5, Some("3-7")), 3, 1);
    for (step, (logits, tokens)) in pairs(&logits, &tokens).enumerate() {
        let found = model.logits(&[(state.latent(), step + 1, state.settings())]).unwrap().remove(0);
        let largest = logits.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        for (found, expected) in pairs(&found, logits) {
            assert!((found - expected).abs() < 1e-4 * largest, "step {}", step + 1);
        }
        let drawn = model.step(&mut [&mut state]).unwrap().remove(0);
        let expected: Vec<u32> = tokens.iter().map(|&code| code as u32).collect();
        assert_eq!(drawn.tokens, expected, "step {}", step + 1);
    }
    assert!(state.is_finished());
}

#[test]
fn a_batch_may_mix_images_with_and_without_guidance_in_a_step() {
    for model in [model(), Model::load_with_candle(&words(), &Device::Cpu, Precision::F32).unwrap()] {
        let config = model.config();
        let start = |seed: u64| {
            let range = [None, Some("1-5"), Some("6-10"), Some("4-4")][seed as usize % 4];
            model.start(&settings(config, 2.5, range), seed, 0)
        };
        let run = |mut states: Vec<SamplerState>| {
            let mut latents = Vec::new();
            while !states[0].is_finished() {
                model.step(&mut states.iter_mut().collect::<Vec<_>>()).unwrap();
                latents = states.iter().map(|state| state.latent().to_vec()).collect();
            }
            latents
        };
        let together = run((0..8).map(start).collect());
        for (seed, together) in (0..8).zip(together) {
            assert_eq!(run(vec![start(seed)]), [together]);
        }
    }
}

#[test]
fn steps_outside_of_the_range_have_the_logits_of_guidance_1() {
    let model = model();
    let config = model.config();
    let (partly, unguided, guided) =
        (settings(config, 2.5, Some("3-7")), settings(config, 1.0, None), settings(config, 2.5, None));
    let state = model.start(&guided, 5, 0);
    let logits = |settings: &SamplingSettings, t| model.logits(&[(state.latent(), t, settings)]).unwrap();
    for t in 1..=config.steps() {
        let expected = if (3..=7).contains(&t) { &guided } else { &unguided };
        assert_eq!(logits(&partly, t), logits(expected, t), "step {t}");
        assert_eq!(partly.guidance_at(t), if (3..=7).contains(&t) { 2.5 } else { 1.0 });
    }
    assert_ne!(logits(&guided, 1), logits(&unguided, 1));
    // All steps are the default.
    assert_eq!(logits(&settings(config, 2.5, Some("1-10")), 1), logits(&guided, 1));
}

#[test]
fn ranges_that_a_model_lacks_are_refused() {
    for text in ["", "3", "0-3", "4-3", "1-11", "1-2-3", "-1-3", "a-b", "1–3"] {
        assert_eq!(
            GuidanceSteps::parse(text, 10),
            Err("two steps from 1 to 10 as FIRST-LAST, such as 1-7".into()),
            "{text:?}"
        );
    }
    let range = GuidanceSteps::parse(" 2 - 10 ", 10).unwrap();
    assert_eq!((range.to_string().as_str(), Some(range)), ("2-10", GuidanceSteps::new(2, 10)));
    let model = model();
    let defaults = SamplingSettings::new(model.config(), 0).unwrap();
    let error = defaults.with_guidance_steps(model.config(), GuidanceSteps::new(1, 11)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "guidance_steps is 1-11; allowed: two steps from 1 to 10 as FIRST-LAST, such as 1-7"
    );
}

#[test]
fn a_model_may_have_a_default_range() {
    let folder = tempfile::TempDir::new().unwrap();
    for file in ["model.safetensors", "vocabulary.json"] {
        std::fs::copy(words().join(file), folder.path().join(file)).unwrap();
    }
    let text = std::fs::read_to_string(words().join("config.json")).unwrap();
    let write = |range: &str| {
        let text =
            text.replace("\"guidance\": 2.0,", &format!("\"guidance\": 2.0, \"guidance_steps\": {range},"));
        std::fs::write(folder.path().join("config.json"), text).unwrap();
        Config::read(folder.path()).map_err(|error| error.to_string())
    };
    let config = write("\"1-7\"").unwrap();
    let settings = SamplingSettings::new(&config, 0).unwrap();
    assert_eq!((settings.guidance_at(7), settings.guidance_at(8)), (2.0, 1.0));
    let all = settings.with_guidance_steps(&config, None).unwrap();
    assert_eq!(all.guidance_at(8), 2.0);
    let path = folder.path().join("config.json").display().to_string();
    assert_eq!(
        write("\"1-11\""),
        Err(format!("{path}: sampling.guidance_steps has steps after the last, 10"))
    );
    assert!(write("\"7\"").unwrap_err().contains("\"7\" is no range of steps such as 1-7"));
}
