//! This crate as a benchmark engine, and the inputs of all engines.

use std::collections::HashMap;
use std::io::BufRead;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use candle_core::{Device, Tensor};
use image::DynamicImage;
use rdpm::model::{Condition, Model, Precision, SamplerState, SamplingSettings, random};
use serde::Deserialize;

use crate::engine_process::{MatmulRate, Measurement};
use crate::{BenchmarkEngine, memory};

/// A request to a benchmark engine.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Request {
    Measure {
        batch: usize,
        seconds: f64,
    },
    Matmul {
        gemm: usize,
    },
    Settings {
        #[serde(rename = "settings")]
        _settings: bool,
    },
}

/// Reads requests from standard input and writes responses to standard output until the input ends.
pub fn serve(engine: BenchmarkEngine, weights: &Path) -> anyhow::Result<()> {
    let model = match engine {
        BenchmarkEngine::Rdpm => Model::load(weights, &Device::Cpu)?,
        BenchmarkEngine::RdpmBf16 => Model::load_with(weights, &Device::Cpu, Precision::Bf16)?,
        BenchmarkEngine::Candle => Model::load_with_candle(weights, &Device::Cpu, Precision::F32)?,
        _ => bail!("{} runs in Python", engine.name()),
    };
    for line in std::io::stdin().lock().lines() {
        let response = match serde_json::from_str(&line?)? {
            Request::Measure { batch, seconds } => serde_json::to_string(&measure(&model, batch, seconds)?)?,
            Request::Settings { .. } => {
                let (version, precision) = (env!("CARGO_PKG_VERSION"), model.computation().precision.name());
                serde_json::to_string(&format!("rdpm {version}, {precision}"))?
            }
            Request::Matmul { gemm } => serde_json::to_string(&matmul_rate(gemm)?)?,
        };
        println!("{response}");
    }
    Ok(())
}

/// The class of an image.
fn class(model: &Model, image: usize) -> usize {
    image % model.config().classes.len()
}

fn start(model: &Model, image: usize) -> anyhow::Result<SamplerState> {
    let settings = SamplingSettings::new(model.config(), class(model, image))?;
    Ok(model.start(&settings, image as u64, 0))
}

/// Measures batches for `seconds`, at least one, and returns the means.
fn measure(model: &Model, batch: usize, seconds: f64) -> anyhow::Result<Measurement> {
    memory::reset_peak()?;
    let started = Instant::now();
    let mut sum: Option<Measurement> = None;
    let mut runs = 0.0;
    while runs == 0.0 || started.elapsed().as_secs_f64() < seconds {
        let run = measure_batch(model, batch)?;
        runs += 1.0;
        sum = Some(match sum {
            None => run,
            Some(sum) => Measurement {
                steps: sum.steps + run.steps,
                decode: sum.decode + run.decode,
                encode: sum.encode + run.encode,
                ..run
            },
        });
    }
    let sum = sum.context("no batch was sampled")?;
    Ok(Measurement {
        steps: sum.steps / runs,
        decode: sum.decode / runs,
        encode: sum.encode / runs,
        peak_bytes: memory::peak_since_reset()?,
        ..sum
    })
}

/// Samples and decodes a batch, then encodes its images.
fn measure_batch(model: &Model, batch: usize) -> anyhow::Result<Measurement> {
    let started = Instant::now();
    let mut states = (0..batch).map(|image| start(model, image)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut tokens = vec![Vec::new(); batch];
    for _ in 0..model.config().steps() {
        let steps = model.step(&mut states.iter_mut().collect::<Vec<_>>())?;
        for (tokens, step) in tokens.iter_mut().zip(steps) {
            tokens.extend(step.tokens);
        }
    }
    let steps = started.elapsed().as_secs_f64();
    let images = model.images(&states.iter().collect::<Vec<_>>())?;
    let decode = started.elapsed().as_secs_f64() - steps;
    for image in &images {
        model.encode(image)?;
    }
    let encode = started.elapsed().as_secs_f64() - steps - decode;
    Ok(Measurement { steps, decode, encode, peak_bytes: 0, compilations: 0, tokens: tokens.concat() })
}

/// The best rate of 20 products of two square matrices.
fn matmul_rate(size: usize) -> anyhow::Result<MatmulRate> {
    let random = || Tensor::randn(0f32, 1.0, (size, size), &Device::Cpu);
    let (a, b) = (random()?, random()?);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let started = Instant::now();
        a.matmul(&b)?;
        best = best.min(started.elapsed().as_secs_f64());
    }
    Ok(MatmulRate { operations_per_second: 2.0 * (size as f64).powi(3) / best })
}

/// Writes the inputs of the Python engines: eps (b, n, c), uniforms (T, b, n, V), labels (b), for a model that knows words also
/// styles (b) and words (b, most words; padded by their number in the vocabulary), and pictures (b, channels, size, size) in
/// −1..1. The Rust engines generate the same.
pub fn write_inputs(model: &Model, batch: usize, path: &Path) -> anyhow::Result<()> {
    let config = model.config();
    let (n, c, codes) = (config.positions(), config.latent.channels, config.trajectory.codes);
    let (size, channels) = (config.image.size, config.image.channels);
    let (mut eps, mut uniforms) = (Vec::new(), Vec::new());
    for image in 0..batch {
        let mut generator = random::generator(image as u64, 0);
        eps.extend(random::standard_normal(&mut generator, n * c));
        let mut image_uniforms = vec![0.0; config.steps() * n * codes];
        for position in image_uniforms.chunks_exact_mut(codes) {
            random::fill_uniform(&mut generator, position);
        }
        uniforms.push(Tensor::from_vec(image_uniforms, (config.steps(), n, codes), &Device::Cpu)?);
    }
    let states = (0..batch).map(|image| start(model, image)).collect::<anyhow::Result<Vec<_>>>()?;
    let pictures = model.images(&states.iter().collect::<Vec<_>>())?;
    let bytes: Vec<f32> = pictures.iter().flat_map(DynamicImage::as_bytes).map(|&b| f32::from(b)).collect();
    let pictures = Tensor::from_vec(bytes, (batch, size, size, channels), &Device::Cpu)?;
    let conditions: Vec<&Condition> = states.iter().map(|state| state.settings().condition()).collect();
    let indices = |index: &dyn Fn(&Condition) -> u32| -> Vec<i64> {
        conditions.iter().map(|condition| i64::from(index(condition))).collect()
    };
    let labels = indices(&|condition| condition.class);
    let mut tensors = HashMap::from([
        ("eps", Tensor::from_vec(eps, (batch, n, c), &Device::Cpu)?),
        ("uniforms", Tensor::stack(&uniforms, 1)?),
        ("labels", Tensor::from_vec(labels, batch, &Device::Cpu)?),
        ("pictures", (pictures.permute((0, 3, 1, 2))?.contiguous()? / 127.5)?.affine(1.0, -1.0)?),
    ]);
    if config.has_words() {
        let styles = indices(&|condition| condition.style);
        let (most, padding) =
            (conditions.iter().map(|condition| condition.words.len()).max(), config.vocabulary.words().len());
        let most = most.unwrap_or(0).max(1);
        let word =
            |at: usize| indices(&|condition| condition.words.get(at).copied().unwrap_or(padding as u32));
        let words: Vec<i64> = (0..most).flat_map(word).collect();
        tensors.insert("styles", Tensor::from_vec(styles, batch, &Device::Cpu)?);
        let words = Tensor::from_vec(words, (most, batch), &Device::Cpu)?;
        tensors.insert("words", words.t()?.contiguous()?);
    }
    candle_core::safetensors::save(&tensors, path)?;
    Ok(())
}
