//! Compares the Rust implementation with PyTorch's, on the shipped weights.
//!
//! `python -m rdpm_training fixture` writes `tests/fixtures/parity.safetensors`. It computes everything in PyTorch from
//! the checkpoint that the weights were exported from.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use image::{DynamicImage, GrayImage, Rgb, RgbImage};
use rdpm::model::code_sampling::sample_code;
use rdpm::model::{Model, SamplingSettings, trajectory};

use crate::pairs::pairs;

/// A model, and what PyTorch computes with the same weights.
struct Parity {
    model: Model,
    fixture: HashMap<String, Tensor>,
}

impl Parity {
    fn load() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let fixture = root.join("tests/fixtures/parity.safetensors");
        Self {
            model: Model::load(&root.join("weights/fashion-mnist"), &Device::Cpu).unwrap(),
            fixture: candle_core::safetensors::load(fixture, &Device::Cpu).unwrap(),
        }
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        self.fixture[name].to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn codes(&self, name: &str) -> Vec<u32> {
        self.fixture[name].to_dtype(DType::U32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    fn settings(&self) -> Vec<SamplingSettings> {
        let values = self.floats("guidance_temperature");
        let rounded = |x: f32| (f64::from(x) * 1e4).round() / 1e4; // f32 can't represent 0.8 exactly
        self.codes("labels")
            .into_iter()
            .map(|class| {
                let settings = SamplingSettings::new(self.model.config(), class as usize).unwrap();
                settings
                    .with_guidance(rounded(values[0]))
                    .unwrap()
                    .with_temperature(rounded(values[1]))
                    .unwrap()
            })
            .collect()
    }
}

/// ‖a − b‖ / ‖b‖
fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    let norm =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    norm(&mut pairs(a, b).map(|(a, b)| a - b)) / norm(&mut b.iter().copied())
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    pairs(a, b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn sampling_gives_pytorchs_tokens_and_pixels() {
    let parity = Parity::load();
    let (model, settings) = (&parity.model, parity.settings());
    let (steps, n, codes) = (model.config().steps(), model.config().positions(), model.codebook().codes());
    let c = model.codebook().channels();
    let eps = parity.floats("eps");
    let bytes = parity.floats("uniform_ticks");
    let uniforms: Vec<f32> =
        bytes.chunks_exact(2).map(|bytes| (bytes[0] * 256.0 + bytes[1] + 0.5) / 65536.0).collect();
    let expected = parity.codes("sampled_tokens"); // (2, T, n)

    let mut z: Vec<Vec<f32>> = eps.chunks_exact(n * c).map(<[f32]>::to_vec).collect();
    for t in 1..=steps {
        let images: Vec<_> = pairs(&z, &settings).map(|(z, settings)| (&z[..], t, settings)).collect();
        let mut logits = model.logits(&images).unwrap();
        for (name, step) in [("logits_first", 1), ("logits_last", steps)] {
            if t == step {
                let error = relative_error(&logits.concat(), &parity.floats(name));
                assert!(error < 1e-3, "{name}: relative error {error}");
            }
        }
        for (i, logits) in logits.iter_mut().enumerate() {
            let start = ((t - 1) * settings.len() + i) * n * codes;
            let uniforms = uniforms[start..start + n * codes].chunks_exact(codes);
            let tokens: Vec<u32> = pairs(logits.chunks_exact_mut(codes), uniforms)
                .map(|(logits, uniforms)| sample_code(logits, &settings[i], uniforms, &mut Vec::new()).code)
                .collect();
            let start = (i * steps + t - 1) * n;
            assert_eq!(tokens, expected[start..start + n], "image {i}, step {t}");
            model.codebook().advance(&mut z[i], &tokens);
        }
    }
    assert!(largest_difference(&z.concat(), &parity.floats("sampled_z")) < 1e-4);

    let images = model.decode(&z.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    let pixels: Vec<f32> =
        images.iter().flat_map(|image| image.as_bytes().iter().map(|&byte| f32::from(byte))).collect();
    let expected: Vec<f32> =
        parity.floats("sampled_pixels").iter().map(|x| (x.clamp(-1.0, 1.0) + 1.0) * 127.5).collect();
    // Rounding to a byte accounts for half a level; the remaining difference must be far below one level.
    assert!(largest_difference(&pixels, &expected) < 0.6);
}

#[test]
fn encoding_gives_pytorchs_latent_and_tokens() {
    let parity = Parity::load();
    let model = &parity.model;
    let (size, n) = (model.config().image.size as u32, model.config().positions());
    let len = n * model.codebook().channels();
    let bytes: Vec<u8> = parity.fixture["images"].flatten_all().unwrap().to_vec1().unwrap();
    let (v, eps) = (parity.floats("encoded_v"), parity.floats("eps"));
    let expected = parity.codes("tokenized_tokens");
    let images = bytes.chunks_exact((size * size) as usize);
    for (i, (bytes, (v, eps))) in pairs(images, pairs(v.chunks_exact(len), eps.chunks_exact(len))).enumerate()
    {
        let image = DynamicImage::ImageLuma8(GrayImage::from_raw(size, size, bytes.to_vec()).unwrap());
        let encoded = model.encode(&image).unwrap();
        assert!(relative_error(&encoded, v) < 1e-3);
        let (grids, _) = trajectory::tokenize(model.codebook(), model.schedule(), v, eps);
        let start = i * model.config().steps() * n;
        assert_eq!(grids.concat(), expected[start..start + model.config().steps() * n], "image {i}");
    }
}

#[test]
fn encoder_and_decoder_with_three_levels_in_colour_agree_with_pytorch() {
    check_tokenizer("eighth");
}

#[test]
fn encoder_and_decoder_with_levels_of_the_decoder_alone_agree_with_pytorch() {
    check_tokenizer("upsampled");
}

/// Compares the latents and decoded images of a small model's two images.
fn check_tokenizer(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
    let model = Model::load(&folder, &Device::Cpu).unwrap();
    let fixture = candle_core::safetensors::load(folder.join("expected.safetensors"), &Device::Cpu).unwrap();
    let parity = Parity { model, fixture };
    let (size, channels) = (parity.model.config().image.size, parity.model.codebook().channels());
    assert_eq!((size, parity.model.config().positions()), (24, 9));

    let bytes = parity.codes("images");
    let (v, pixels) = (parity.floats("v"), parity.floats("pixels"));
    let images = pixels.chunks_exact(3 * size * size);
    for (i, (v, pixels)) in pairs(v.chunks_exact(9 * channels), images).enumerate() {
        let input = |x: usize, y: usize, c: usize| ((i * 3 + c) * size + y) * size + x;
        let output = |x: usize, y: usize, c: usize| (c * size + y) * size + x;
        let color = |x: u32, y: u32| Rgb([0, 1, 2].map(|c| bytes[input(x as usize, y as usize, c)] as u8));
        let image = DynamicImage::ImageRgb8(RgbImage::from_fn(size as u32, size as u32, color));
        assert!(relative_error(&parity.model.encode(&image).unwrap(), v) < 1e-4);

        let decoded = parity.model.decode(&[v]).unwrap()[0].to_rgb8();
        for (x, y, color) in decoded.enumerate_pixels() {
            for c in 0..3 {
                let expected = (pixels[output(x as usize, y as usize, c)].clamp(-1.0, 1.0) + 1.0) * 127.5;
                assert!((f32::from(color.0[c]) - expected).abs() < 0.6, "image {i}, ({x}, {y}), channel {c}");
            }
        }
    }
}
