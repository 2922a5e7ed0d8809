//! The whole model, loaded on its device.

use std::path::Path;

use candle_core::{Device, Tensor};
use image::DynamicImage;
use rayon::prelude::*;

use super::config::Config;
use super::denoiser::Denoiser;
use super::device::device_name;
use super::sampler::{Drawing, Step};
use super::tokenizer::{Decoder, Encoder};
use super::trajectory::{self, Codebook, Schedule};
use super::weights::Weights;
use super::{ModelError, Settings, palette, pixels};

/// Two looks at a drawing in the making.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The running latent z_t, decoded.
    pub noisy: DynamicImage,
    /// The image it points at: (z_t − beta_t · eps) / alpha_t, decoded.
    pub clean: DynamicImage,
}

/// An image, tokenized.
#[derive(Debug, Clone)]
pub struct Tokenization {
    /// C_1 … C_T, n codes each, row by row.
    pub tokens: Vec<Vec<u32>>,
    /// z_T, decoded.
    pub reconstruction: DynamicImage,
    /// Width and height of the image before it was cropped to a square and scaled to the model's size, where it was.
    pub resized_from: Option<(u32, u32)>,
}

/// A loaded model. Make and use it on one thread: CUDA's streams are per thread.
pub struct Model {
    config: Config,
    schedule: Schedule,
    codebook: Codebook,
    encoder: Encoder,
    decoder: Decoder,
    denoiser: Denoiser,
    palette: Vec<[u8; 3]>,
    device: Device,
    parameters: usize,
}

impl Model {
    /// Loads a weights folder (`config.json`, `model.safetensors`) onto a device.
    ///
    /// # Errors
    /// [`ModelError::Read`], [`ModelError::Config`], or [`ModelError::Weights`] that names the tensor, the expected and
    /// the found shape.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let schedule = Schedule::new(&config.trajectory.schedule);
        let weights = Weights::read(folder, device)?;
        let vb = weights.var_builder();
        let channels = config.latent.channels;
        let build = || {
            let vectors = vb.get((config.trajectory.codes, channels), "codebook")?;
            Ok((
                Codebook::new(vectors.flatten_all()?.to_vec1()?, channels),
                Encoder::new(&config, vb.clone())?,
                Decoder::new(&config, vb.clone())?,
                Denoiser::new(&config, &schedule, vb.pp("denoiser"))?,
            ))
        };
        let (codebook, encoder, decoder, denoiser) = build().map_err(|error| weights.fault(error))?;
        let parameters = weights.finish()?;
        let (palette, device) = (palette::colors(&codebook), device.clone());
        Ok(Self { config, schedule, codebook, encoder, decoder, denoiser, palette, device, parameters })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The device it runs on: `cpu` or `cuda:N`.
    pub fn device(&self) -> String {
        device_name(&self.device)
    }

    /// Number of learned numbers in the weight file.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// e.
    pub fn codebook(&self) -> &Codebook {
        &self.codebook
    }

    /// s_0 … s_T.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// CSS colours `#rrggbb` of the V codes: near codes, near colours.
    pub fn palette(&self) -> Vec<String> {
        self.palette.iter().map(|&color| palette::hex(color)).collect()
    }

    /// A token grid as a picture, one pixel a position, in the palette's colours.
    pub fn token_picture(&self, tokens: &[u32]) -> DynamicImage {
        let grid = self.config.latent.grid as u32;
        let picture = image::RgbImage::from_fn(grid, grid, |x, y| {
            image::Rgb(self.palette[tokens[(y * grid + x) as usize] as usize])
        });
        DynamicImage::ImageRgb8(picture)
    }

    /// Starts image number `index` of the request with this seed. Every image owns its generator, seeded by
    /// (seed, index), so what else is in a batch changes nothing.
    pub fn start(&self, settings: &Settings, seed: u64, index: u32) -> Drawing {
        let len = self.config.positions() * self.config.latent.channels;
        Drawing::new(settings.clone(), seed, index, len, self.schedule.steps())
    }

    /// Guided logits u + w (l − u) for C_t, n · V numbers for each image: from its running latent z_{t−1} (n · c
    /// numbers), its step t in 1..=T and its settings.
    ///
    /// The class-free pass of guidance is computed only for images that need it.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn logits(&self, images: &[(&[f32], usize, &Settings)]) -> Result<Vec<Vec<f32>>, ModelError> {
        let null = self.denoiser.null_class();
        // Rows of the batch: for each image its class's pass, the class-free pass, or both.
        let (mut z, mut t, mut y) = (Vec::new(), Vec::new(), Vec::new());
        for &(latent, step, settings) in images {
            let class = settings.class() as u32;
            let passes: &[u32] = match settings.guidance() {
                0.0 => &[null],
                1.0 => &[class],
                _ => &[class, null],
            };
            for &label in passes {
                z.extend_from_slice(latent);
                t.push(step);
                y.push(label);
            }
        }
        let shape = (t.len(), self.config.positions(), self.config.latent.channels);
        let z = Tensor::from_vec(z, shape, &self.device)?;
        let logits: Vec<f32> = self.denoiser.forward(&z, &t, &y)?.flatten_all()?.to_vec1()?;

        let mut rows = logits.chunks_exact(self.config.positions() * self.codebook.codes());
        let mut guided = Vec::with_capacity(images.len());
        for (_, _, settings) in images {
            let guidance = settings.guidance() as f32;
            let mut row = rows.next().unwrap_or_default().to_vec();
            if guidance != 0.0 && guidance != 1.0 {
                for (l, u) in row.iter_mut().zip(rows.next().unwrap_or_default()) {
                    *l = u + guidance * (*l - u);
                }
            }
            guided.push(row);
        }
        Ok(guided)
    }

    /// One step for each drawing, whatever their timesteps, classes and settings. Finished ones must not be among them.
    ///
    /// # Errors
    /// [`ModelError::Tensor`]; the drawings are then as they were.
    pub fn step(&self, drawings: &mut [&mut Drawing]) -> Result<Vec<Step>, ModelError> {
        debug_assert!(drawings.iter().all(|drawing| !drawing.is_finished()));
        let images: Vec<_> =
            drawings.iter().map(|drawing| (&drawing.z[..], drawing.step + 1, &drawing.settings)).collect();
        let logits = self.logits(&images)?;
        let steps = drawings
            .par_iter_mut()
            .zip(logits)
            .map(|(drawing, mut logits)| {
                let step = drawing.draw(&mut logits, self.codebook.codes());
                self.codebook.advance(&mut drawing.z, &step.tokens);
                drawing.step = step.step;
                step
            })
            .collect();
        Ok(steps)
    }

    /// Decodes both previews of each drawing (at least one step done).
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self, drawings: &[&Drawing]) -> Result<Vec<Preview>, ModelError> {
        let clean: Vec<Vec<f32>> = drawings
            .iter()
            .map(|drawing| {
                let t = drawing.step.max(1); // alpha_0 = 0: there is no clean preview of pure noise
                let (alpha, beta) = (self.schedule.alpha(t), self.schedule.beta(t));
                drawing.z.iter().zip(&drawing.eps).map(|(z, eps)| (z - beta * eps) / alpha).collect()
            })
            .collect();
        let noisy = drawings.iter().map(|drawing| &drawing.z[..]);
        let mut images = self.decode(&noisy.chain(clean.iter().map(Vec::as_slice)).collect::<Vec<_>>())?;
        let clean = images.split_off(drawings.len());
        Ok(images.into_iter().zip(clean).map(|(noisy, clean)| Preview { noisy, clean }).collect())
    }

    /// Decodes the running latent of each drawing: of a finished one, the image.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self, drawings: &[&Drawing]) -> Result<Vec<DynamicImage>, ModelError> {
        self.decode(&drawings.iter().map(|drawing| &drawing.z[..]).collect::<Vec<_>>())
    }

    /// Encodes an image recurrently into T token grids, from the noise that `seed` gives, and decodes them again. An
    /// image of another size is cropped to its central square and scaled; transparency is laid on white.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        let size = self.config.image.size as u32;
        let resized_from =
            ((image.width(), image.height()) != (size, size)).then(|| (image.width(), image.height()));
        let v = self.encode(image)?;
        let eps = trajectory::noise(&mut trajectory::generator(seed, 0), v.len());
        let (tokens, z) = trajectory::tokenize(&self.codebook, &self.schedule, &v, &eps);
        let reconstruction = self.decode(&[&z])?.swap_remove(0);
        Ok(Tokenization { tokens, reconstruction, resized_from })
    }

    /// The standardized latent v of an image, n · c numbers, after cropping and scaling as in [`Self::tokenize`].
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn encode(&self, image: &DynamicImage) -> Result<Vec<f32>, ModelError> {
        let pixels = pixels::to_tensor(image, &self.config.image, &self.device)?;
        Ok(self.encoder.forward(&pixels)?.flatten_all()?.to_vec1()?)
    }

    /// Latents of n · c numbers to images.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn decode(&self, latents: &[&[f32]]) -> Result<Vec<DynamicImage>, ModelError> {
        if latents.is_empty() {
            return Ok(Vec::new());
        }
        let shape = (latents.len(), self.config.positions(), self.config.latent.channels);
        let latents = Tensor::from_vec(latents.concat(), shape, &self.device)?;
        pixels::to_images(&self.decoder.forward(&latents)?)
    }
}
