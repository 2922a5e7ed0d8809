//! The whole model, loaded on its device.

use std::path::Path;

use candle_core::Device;
use candle_nn::VarBuilder;
use image::DynamicImage;

use super::config::Config;
use super::device::{Precision, device_name};
use super::guidance::Passes;
use super::networks::Networks;
use super::sampler::{SamplerState, Step};
use super::trajectory::{self, Codebook, Schedule};
use super::weights::Weights;
use super::{ModelError, SamplingSettings, palette, pixels};

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
    /// The image as the model saw it.
    pub input: DynamicImage,
    /// C_1 … C_T, n codes each, row by row.
    pub tokens: Vec<Vec<u32>>,
    /// Both looks at z_1 … z_T. The last ones are the reconstruction: no noise is left then.
    pub previews: Vec<Preview>,
    /// Width and height of the image before it was cropped to a square and scaled to the model's size, where it was.
    pub resized_from: Option<(u32, u32)>,
}

/// A loaded model. Make and use it on one thread: CUDA's streams are per thread.
pub struct Model {
    config: Config,
    schedule: Schedule,
    codebook: Codebook,
    networks: Networks,
    palette: Vec<[u8; 3]>,
    device: Device,
    weight_count: usize,
}

impl Model {
    /// Loads a weights folder (`config.json`, `model.safetensors`) onto a device, in f32.
    ///
    /// # Errors
    /// [`ModelError::Read`], [`ModelError::Config`], or [`ModelError::Weights`] that names the tensor, the expected and
    /// the found shape.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, ModelError> {
        Self::load_with_precision(folder, device, Precision::F32)
    }

    /// The same with the transformer in a GPU's other numbers. A CPU has but f32.
    ///
    /// # Errors
    /// As in [`Model::load`].
    pub fn load_with_precision(
        folder: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        match device {
            Device::Cpu => Self::load_with(folder, device, Networks::cpu),
            _ => Self::load_with_candle(folder, device, precision),
        }
    }

    /// The same by candle, on a CPU too: the plain implementation, which a CPU's own is held to.
    ///
    /// # Errors
    /// As in [`Model::load`].
    pub fn load_with_candle(
        folder: &Path,
        device: &Device,
        precision: Precision,
    ) -> Result<Self, ModelError> {
        Self::load_with(folder, device, |config, schedule, vb| {
            Networks::candle(config, schedule, vb, precision)
        })
    }

    fn load_with(
        folder: &Path,
        device: &Device,
        networks: impl Fn(&Config, &Schedule, VarBuilder) -> candle_core::Result<Networks>,
    ) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let schedule = Schedule::new(&config.trajectory.schedule);
        let weights = Weights::open(folder, device)?;
        let vb = weights.var_builder();
        let channels = config.latent.channels;
        let build = || {
            let vectors = vb.get((config.trajectory.codes, channels), "codebook")?;
            let codebook = Codebook::new(vectors.flatten_all()?.to_vec1()?, channels);
            Ok((codebook, networks(&config, &schedule, vb.clone())?))
        };
        let (codebook, networks) = build().map_err(|error| weights.fault(error))?;
        let weight_count = weights.finish()?;
        let (palette, device) = (palette::colors(&codebook), device.clone());
        Ok(Self { config, schedule, codebook, networks, palette, device, weight_count })
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
    pub fn weight_count(&self) -> usize {
        self.weight_count
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
    pub fn token_image(&self, tokens: &[u32]) -> DynamicImage {
        let grid = self.config.latent.grid as u32;
        let picture = image::RgbImage::from_fn(grid, grid, |x, y| {
            image::Rgb(self.palette[tokens[(y * grid + x) as usize] as usize])
        });
        DynamicImage::ImageRgb8(picture)
    }

    /// Starts image number `index` of the request with this seed. Every image owns its generator, seeded by
    /// (seed, index), so what else is in a batch changes nothing.
    pub fn start(&self, settings: &SamplingSettings, seed: u64, index: u32) -> SamplerState {
        let len = self.config.positions() * self.config.latent.channels;
        SamplerState::new(settings.clone(), seed, index, len, self.schedule.steps())
    }

    /// Guided logits u + w (l − u) for C_t, n · V numbers for each image: from its running latent z_{t−1} (n · c
    /// numbers), its step t in 1..=T and its settings.
    ///
    /// The class-free pass of guidance is computed only for images that need it.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn logits(&self, images: &[(&[f32], usize, &SamplingSettings)]) -> Result<Vec<Vec<f32>>, ModelError> {
        Ok(self.networks.logits(&Passes::new(images, self.networks.null_class()))?)
    }

    /// One step for each state, whatever their timesteps, classes and settings. Finished ones must not be among them.
    ///
    /// # Errors
    /// [`ModelError::Tensor`]; the states are then as they were.
    pub fn step(&self, states: &mut [&mut SamplerState]) -> Result<Vec<Step>, ModelError> {
        debug_assert!(states.iter().all(|state| !state.is_finished()));
        let images: Vec<_> =
            states.iter().map(|state| (&state.z[..], state.step + 1, &state.settings)).collect();
        let passes = Passes::new(&images, self.networks.null_class());
        let steps = self.networks.draw(&passes, states)?;
        for (state, step) in states.iter_mut().zip(&steps) {
            self.codebook.advance(&mut state.z, &step.tokens);
            state.step = step.step;
        }
        Ok(steps)
    }

    /// Decodes both previews of each drawing (at least one step done).
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self, states: &[&SamplerState]) -> Result<Vec<Preview>, ModelError> {
        let looks: Vec<_> = states.iter().map(|state| (&state.z[..], &state.eps[..], state.step)).collect();
        self.look_at(&looks)
    }

    /// Decodes both previews of running latents: z_t, eps and t of each.
    fn look_at(&self, latents: &[(&[f32], &[f32], usize)]) -> Result<Vec<Preview>, ModelError> {
        let without_noise = |&(z, eps, t): &(&[f32], &[f32], usize)| -> Vec<f32> {
            let t = t.max(1); // alpha_0 = 0: there is no clean preview of pure noise
            let (alpha, beta) = (self.schedule.alpha(t), self.schedule.beta(t));
            z.iter().zip(eps).map(|(z, eps)| (z - beta * eps) / alpha).collect()
        };
        let clean: Vec<Vec<f32>> = latents.iter().map(without_noise).collect();
        let noisy = latents.iter().map(|(z, ..)| *z);
        let mut images = self.decode(&noisy.chain(clean.iter().map(Vec::as_slice)).collect::<Vec<_>>())?;
        let clean = images.split_off(latents.len());
        Ok(images.into_iter().zip(clean).map(|(noisy, clean)| Preview { noisy, clean }).collect())
    }

    /// Decodes the running latent of each state: of a finished one, the image.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self, states: &[&SamplerState]) -> Result<Vec<DynamicImage>, ModelError> {
        self.decode(&states.iter().map(|state| &state.z[..]).collect::<Vec<_>>())
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
        let input = pixels::preprocess(image, &self.config.image);
        let v = self.encode(&input)?;
        let eps = trajectory::noise(&mut trajectory::generator(seed, 0), v.len());
        let (tokens, latents) = trajectory::tokenize(&self.codebook, &self.schedule, &v, &eps);
        let looks: Vec<_> = (1..).zip(&latents).map(|(t, z)| (z.as_slice(), eps.as_slice(), t)).collect();
        Ok(Tokenization { input, tokens, previews: self.look_at(&looks)?, resized_from })
    }

    /// Starts image number `index` of the request with this seed from z_k of an image that is tokenized with the noise
    /// of (seed, index), as if the sampler had drawn its first k codes, 1 to T − 1: a variation of the image, the freer
    /// the smaller k is.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn start_from_image(
        &self,
        settings: &SamplingSettings,
        seed: u64,
        index: u32,
        image: &DynamicImage,
        k: usize,
    ) -> Result<SamplerState, ModelError> {
        let mut state = self.start(settings, seed, index);
        let v = self.encode(&pixels::preprocess(image, &self.config.image))?;
        let (_, mut latents) = trajectory::tokenize(&self.codebook, &self.schedule, &v, &state.eps);
        state.z = latents.swap_remove(k - 1);
        state.step = k;
        Ok(state)
    }

    /// The standardized latent v of an image, n · c numbers, after cropping and scaling as in [`Self::tokenize`].
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn encode(&self, image: &DynamicImage) -> Result<Vec<f32>, ModelError> {
        let fitting = pixels::preprocess(image, &self.config.image);
        Ok(self.networks.encode(pixels::to_numbers(fitting, &self.config.image))?)
    }

    /// Latents of n · c numbers to images.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn decode(&self, latents: &[&[f32]]) -> Result<Vec<DynamicImage>, ModelError> {
        if latents.is_empty() {
            return Ok(Vec::new());
        }
        pixels::to_images(&self.networks.decode(latents.concat())?, &self.config.image)
    }
}
