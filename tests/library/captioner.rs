//! The captioner of `tests/fixtures/words`, with random weights, and of folders whose captioner doesn't fit.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use rdpm::model::{Caption, Config, Model, ModelError, Precision};

use crate::pairs::pairs;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/words")
}

/// What PyTorch computes: `captions` in `training/rdpm_training/fixture.py`. By image: z_{T−1}, and the probabilities of all
/// words and of all names.
fn expected() -> Vec<[Vec<f32>; 3]> {
    let file = candle_core::safetensors::load(folder().join("captions.safetensors"), &Device::Cpu).unwrap();
    let values = |name: &str, row| file[name].get(row).unwrap().flatten_all().unwrap().to_vec1().unwrap();
    (0..2).map(|row| ["z", "words", "names"].map(|name| values(name, row))).collect()
}

fn top(texts: &[&str], probabilities: &[f32]) -> Vec<(String, f32)> {
    let mut guesses: Vec<(String, f32)> =
        pairs(texts, probabilities).map(|(text, probability)| ((*text).into(), *probability)).collect();
    guesses.sort_by(|a, b| b.1.total_cmp(&a.1));
    guesses.truncate(5);
    guesses
}

#[test]
fn captions_are_pytorchs_on_the_cpu_and_on_any_device() {
    let config = Config::read(&folder()).unwrap();
    let vocabulary = &config.vocabulary;
    let words: Vec<&str> = vocabulary.words().iter().map(String::as_str).collect();
    let subjects = (0..config.classes.len()).flat_map(|class| vocabulary.subjects(class));
    let names: Vec<&str> = subjects.map(|subject| subject.name.as_str()).collect();
    let models = [
        Model::load(&folder(), &Device::Cpu).unwrap(),
        Model::load_with_candle(&folder(), &Device::Cpu, Precision::F32).unwrap(),
    ];
    for model in &models {
        for [z, word_probabilities, name_probabilities] in expected() {
            let Caption { names: found_names, words: found_words } = model.caption(&z).unwrap().unwrap();
            for (found, expected) in [
                (found_names, top(&names, &name_probabilities)),
                (found_words, top(&words, &word_probabilities)),
            ] {
                for (found, (text, probability)) in pairs(found, expected) {
                    assert_eq!(found.text, text);
                    assert!((found.probability - probability).abs() < 1e-4, "{found:?} {probability}");
                }
            }
        }
    }
}

#[test]
fn a_tokenization_has_the_caption_of_its_latent_before_the_last_step() {
    let model = Model::load(&folder(), &Device::Cpu).unwrap();
    let image = image::RgbImage::from_fn(16, 16, |x, y| image::Rgb([16 * x as u8, 16 * y as u8, 90])).into();
    let tokenized = model.tokenize(&image, 7).unwrap();
    let settings = rdpm::model::SamplingSettings::new(model.config(), 0).unwrap();
    let mut z = model.start(&settings, 7, 0).latent().to_vec(); // eps of seed 7
    for tokens in &tokenized.tokens[..model.config().steps() - 1] {
        model.codebook().advance(&mut z, tokens);
    }
    assert_eq!(tokenized.caption, model.caption(&z).unwrap());
    assert_ne!(tokenized.caption, model.tokenize(&image, 8).unwrap().caption, "another noise");
}

#[test]
fn a_model_without_a_captioner_says_nothing() {
    let fashion = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/fashion-mnist");
    let model = Model::load(&fashion, &Device::Cpu).unwrap();
    assert!(!model.config().captions);
    let image = image::GrayImage::new(28, 28).into();
    assert_eq!(model.tokenize(&image, 1).unwrap().caption, None);
}

/// Why the fixture's model can't be loaded with a changed captioner.
fn refusal(change: impl FnOnce(&mut HashMap<String, Tensor>)) -> String {
    let copy = tempfile::tempdir().unwrap();
    for name in ["config.json", "vocabulary.json", "model.safetensors"] {
        fs::copy(folder().join(name), copy.path().join(name)).unwrap();
    }
    let file = copy.path().join("captioner.safetensors");
    let mut tensors =
        candle_core::safetensors::load(folder().join("captioner.safetensors"), &Device::Cpu).unwrap();
    change(&mut tensors);
    candle_core::safetensors::save(&tensors, &file).unwrap();
    match Model::load(copy.path(), &Device::Cpu) {
        Err(ModelError::Weights { path, reason }) => {
            assert_eq!(path, file);
            reason
        }
        other => panic!("{:?}", other.map(|model| model.weight_count())),
    }
}

#[test]
fn a_captioner_that_does_not_fit_its_model_is_refused() {
    let zeros = |shape: (usize, usize)| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
    let numbers = |values: &[i64]| Tensor::new(values, &Device::Cpu).unwrap();
    let misfit = "isn't a captioner for a model of 2 layers, width 8 and 8 words";
    let with = |name: &str, tensor: Tensor| refusal(|tensors| drop(tensors.insert(name.into(), tensor)));
    assert!(with("down.weight", zeros((9, 12))).contains(misfit));
    assert!(with("up.weight", zeros((12, 7))).contains(misfit));
    for layers in [&[1, 3][..], &[0, 2], &[2, 1], &[-1, 2], &[]] {
        assert!(with("layers", numbers(layers)).contains(misfit), "{layers:?}");
    }
    assert!(with("more", zeros((1, 1))).contains(misfit));
    let missing = refusal(|tensors| drop(tensors.remove("down.bias")));
    assert!(missing.contains("tensor down.bias is missing"), "{missing}");
    let nan = Tensor::new(&[f32::NAN; 12], &Device::Cpu).unwrap();
    assert!(with("up.bias", nan).contains("isn't finite"));
    let infinite = Tensor::new(&[f32::INFINITY], &Device::Cpu).unwrap();
    assert!(with("inverse_temperature", infinite).contains("one finite number"));
}
