//! The captioner: names what an image shows, from what the denoiser computes of the image's tokens.
//!
//! It is a second head on the denoiser's trunk, in the file `captioner.safetensors` of a weights folder, if the model has one.
//! The trunk sees z_{T−1} of the tokenized image at t = T and the condition that says nothing. The residual stream after
//! some of its blocks is averaged over all positions and over each quarter of the grid; two linear layers turn these
//! features into logits of the vocabulary's words. `training/rdpm_training/captioner.py` trains it.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{D, Device, Result, Tensor};
use candle_nn::ops::log_softmax;
use candle_nn::{Linear, Module};

use super::config::{CAPTIONER_FILE, Config};
use super::error::ModelError;

/// The lowest log-probability of a word, in the score of a name.
const LEAST_LOG_PROBABILITY: f32 = -12.0;
/// Means over the grid and over its quarters.
const MEANS: usize = 5;
/// The number of names and of words in a caption.
const GUESSES: usize = 5;

/// What an image shows, as far as the model can tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Caption {
    /// Names of the model's subjects, the most probable first. The probabilities of all names add up to 1.
    pub names: Vec<Guess>,
    /// Words of the vocabulary, the most probable first. The probabilities of all words add up to 1.
    pub words: Vec<Guess>,
}

/// A name or a word with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Guess {
    pub text: String,
    /// 0 to 1.
    pub probability: f32,
}

/// The two linear layers, and what they read.
pub(super) struct Captioner {
    /// The numbers of the blocks after which the residual stream is read, from 1.
    pub layers: Vec<usize>,
    /// The factor of names' scores in the softmax over them.
    inverse_temperature: f32,
    up: Linear,
    down: Linear,
}

impl Captioner {
    /// Reads the captioner of a weights folder, if it has one.
    ///
    /// # Errors
    /// [`ModelError::Weights`] if the file isn't a safetensors file, has other tensors than a captioner for this model, or a
    /// value that isn't finite.
    pub fn open(folder: &Path, config: &Config) -> std::result::Result<Option<Self>, ModelError> {
        if !config.captions {
            return Ok(None);
        }
        let path = folder.join(CAPTIONER_FILE);
        let read =
            candle_core::safetensors::load(&path, &Device::Cpu).and_then(|file| Self::new(file, config));
        read.map(Some).map_err(|error| ModelError::Weights { path, reason: error.to_string() })
    }

    fn new(mut tensors: HashMap<String, Tensor>, config: &Config) -> Result<Self> {
        let mut take = |name: &str| {
            tensors.remove(name).ok_or_else(|| candle_core::Error::msg(format!("tensor {name} is missing")))
        };
        let layers: Vec<i64> = take("layers")?.flatten_all()?.to_vec1()?;
        let inverse_temperature = take("inverse_temperature")?.flatten_all()?.to_vec1::<f32>()?;
        let (up, down) = (
            Linear::new(take("up.weight")?, Some(take("up.bias")?)),
            Linear::new(take("down.weight")?, Some(take("down.bias")?)),
        );
        let depth = config.denoiser.layers;
        let layers: Vec<usize> = layers.into_iter().filter_map(|layer| usize::try_from(layer).ok()).collect();
        let are_blocks = layers.iter().all(|layer| (1..=depth).contains(layer)) && layers.is_sorted();
        let inputs = layers.len() * MEANS * config.denoiser.width;
        let (width, words) = (up.weight().dim(0)?, config.vocabulary.words().len());
        let shapes = [
            (up.weight().dims(), vec![width, inputs]),
            (up.bias().map_or(&[], Tensor::dims), vec![width]),
            (down.weight().dims(), vec![words, width]),
            (down.bias().map_or(&[], Tensor::dims), vec![words]),
        ];
        let fits = shapes.iter().all(|(found, expected)| found == expected);
        if !are_blocks
            || layers.is_empty()
            || !fits
            || !tensors.is_empty()
            || !config.latent.grid.is_multiple_of(2)
        {
            candle_core::bail!(
                "this isn't a captioner for a model of {depth} layers, width {} and {words} words",
                config.denoiser.width
            );
        }
        let weights = [up.weight(), down.weight()].into_iter().chain(up.bias()).chain(down.bias());
        for tensor in weights {
            // x · 0 is NaN where x isn't finite.
            if tensor.affine(0.0, 0.0)?.sum_all()?.to_scalar::<f32>()?.is_nan() {
                candle_core::bail!("a weight isn't finite");
            }
        }
        match inverse_temperature[..] {
            [factor] if factor.is_finite() => Ok(Self { layers, inverse_temperature: factor, up, down }),
            _ => candle_core::bail!("inverse_temperature must be one finite number"),
        }
    }

    /// The caption of an image from its residual streams, (n, d) after each of `layers`.
    pub fn caption(&self, streams: &[Vec<f32>], config: &Config) -> Result<Caption> {
        let features: Vec<f32> =
            streams.iter().flat_map(|stream| means(stream, config.latent.grid)).collect();
        let features = Tensor::from_slice(&features, (1, features.len()), &Device::Cpu)?;
        let logits = self.down.forward(&self.up.forward(&features)?.silu()?)?;
        let words: Vec<f32> = log_softmax(&logits, D::Minus1)?.flatten_all()?.to_vec1()?;
        if words.iter().any(|word| word.is_nan()) {
            candle_core::bail!("the captioner's logits aren't finite");
        }
        let vocabulary = &config.vocabulary;
        let subjects = || (0..config.classes.len()).flat_map(|class| vocabulary.subjects(class));
        let score = |indices: &[u32]| {
            let words = indices.iter().map(|&word| words[word as usize].max(LEAST_LOG_PROBABILITY));
            words.sum::<f32>() / indices.len() as f32
        };
        let scores: Vec<f32> =
            subjects().map(|subject| self.inverse_temperature * score(&subject.words)).collect();
        let largest = scores.iter().copied().fold(f32::MIN, f32::max);
        let sum: f32 = scores.iter().map(|score| (score - largest).exp()).sum();
        let name = |(subject, score): (&super::vocabulary::Subject, &f32)| Guess {
            text: subject.name.clone(),
            probability: (score - largest).exp() / sum,
        };
        let word = |(word, log): (&String, &f32)| Guess { text: word.clone(), probability: log.exp() };
        Ok(Caption {
            names: most_probable(subjects().zip(&scores).map(name).collect()),
            words: most_probable(vocabulary.words().iter().zip(&words).map(word).collect()),
        })
    }
}

/// The most probable guesses, each text once.
fn most_probable(mut guesses: Vec<Guess>) -> Vec<Guess> {
    guesses.sort_by(|a, b| b.probability.total_cmp(&a.probability).then_with(|| a.text.cmp(&b.text)));
    guesses.dedup_by(|a, b| a.text == b.text);
    guesses.truncate(GUESSES);
    guesses
}

/// Means of a residual stream (n, d) over the grid and over each quarter of it, row by row: 5 d numbers.
fn means(stream: &[f32], grid: usize) -> Vec<f32> {
    let (width, half) = (stream.len() / (grid * grid), grid / 2);
    let mut quarters = vec![vec![0.0; width]; MEANS - 1];
    for (position, values) in stream.chunks_exact(width).enumerate() {
        let quarter = 2 * usize::from(position / grid >= half) + usize::from(position % grid >= half);
        for (sum, value) in quarters[quarter].iter_mut().zip(values) {
            *sum += value / (half * half) as f32;
        }
    }
    let whole =
        |index: usize| quarters.iter().map(|quarter| quarter[index]).sum::<f32>() / quarters.len() as f32;
    let mut means: Vec<f32> = (0..width).map(whole).collect();
    means.extend(quarters.concat());
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_of_the_grid_and_of_its_quarters() {
        // A grid of 4 × 4 with one number in each position: its quarter and a part that cancels.
        let quarter = [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 3.0, 3.0, 4.0, 4.0];
        let stream: Vec<f32> = quarter
            .iter()
            .enumerate()
            .map(|(index, x)| x + if index % 2 == 0 { 0.5 } else { -0.5 })
            .collect();
        assert_eq!(means(&stream, 4), [2.5, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn the_most_probable_guesses_come_first_and_once() {
        let guess = |text: &str, probability| Guess { text: text.into(), probability };
        let all = vec![guess("b", 0.1), guess("a", 0.4), guess("c", 0.4), guess("a", 0.4)];
        assert_eq!(most_probable(all), [guess("a", 0.4), guess("c", 0.4), guess("b", 0.1)]);
    }
}
