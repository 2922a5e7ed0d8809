//! The whole model, loaded on its device: networks, codebook and schedule behind one type.

use std::path::Path;
use std::sync::Arc;

use candle_core::Device;
use candle_nn::VarBuilder;
use image::DynamicImage;

use super::captioner::{Caption, Captioner};
use super::computation::Computation;
use super::condition::Condition;
use super::config::Config;
use super::cpu::Bf16Instructions;
use super::device::ComputeDevice;
use super::error::ModelError;
use super::given::Given;
use super::guidance::GuidanceBatch;
use super::image_processor::{denormalize, normalize, preprocess};
use super::networks::Networks;
use super::palette;
use super::pass_count::PassCount;
use super::random::{self, ImageSeed};
use super::sampler_state::SamplerState;
use super::sampling_settings::SamplingSettings;
use super::step::Step;
use super::trajectory::{self, Codebook, Schedule};
use super::weights::{ONE_PASS_FILE, WEIGHTS_FILE, Weights, load_values};

/// Two previews of an image that is being sampled.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The running latent z_t, decoded.
    pub noisy: DynamicImage,
    /// The estimate of the final image: (z_t − beta_t · eps) / alpha_t, decoded.
    pub clean: DynamicImage,
}

/// An image, encoded to token grids.
#[derive(Debug, Clone)]
pub struct Tokenization {
    /// The image after preprocessing.
    pub input: DynamicImage,
    /// C_1 … C_T, n codes each, row by row.
    pub tokens: Vec<Vec<u32>>,
    /// Previews of z_1 … z_T. Both of the last are the reconstruction, as no noise is left then.
    pub previews: Vec<Preview>,
    /// Width and height in pixels before preprocessing, if it changed them.
    pub resized_from: Option<(u32, u32)>,
    /// What the image shows; `None` if the model has no captioner.
    pub caption: Option<Caption>,
}

/// A running latent, from which previews are decoded.
struct RunningLatent<'a> {
    /// z_t, n · c numbers.
    z: &'a [f32],
    /// n · c numbers.
    eps: &'a [f32],
    /// The timestep t, 0..=T.
    t: usize,
}

/// All numbers of passes.
const BOTH: [PassCount; 2] = [PassCount::One, PassCount::Two];

/// The token grids C_1 … C_T of an image, and its running latents z_1 … z_T.
type Trajectory = (Vec<Vec<u32>>, Vec<Vec<f32>>);

/// A loaded model. Create and use it on one thread: CUDA streams are per thread.
pub struct Model {
    config: Config,
    schedule: Schedule,
    codebook: Codebook,
    networks: Networks,
    captioner: Option<Captioner>,
    /// The condition that says nothing, of classifier-free guidance.
    null: Condition,
    palette: Vec<[u8; 3]>,
    device: ComputeDevice,
    computation: Computation,
    /// The largest guidance scale that takes one pass.
    max_one_pass_guidance: Option<f64>,
    weight_count: usize,
}

impl Model {
    /// Loads a weights folder (`config.json`, `model.safetensors`) onto a device, in f32 and two passes.
    ///
    /// # Errors
    /// - [`ModelError::Read`] if a file can't be read.
    /// - [`ModelError::Config`] if `config.json` is invalid.
    /// - [`ModelError::Weights`] if a tensor is missing, has another shape than the configuration says, or isn't used.
    pub fn load(folder: &Path, device: impl Into<ComputeDevice>) -> Result<Self, ModelError> {
        Self::load_with(folder, device, Computation::default())
    }

    /// Loads a weights folder, as a model that computes in this way.
    ///
    /// # Errors
    /// As in [`Model::load`], and [`ModelError::Precision`] if the device can't compute in that precision.
    pub fn load_with(
        folder: &Path,
        device: impl Into<ComputeDevice>,
        computation: impl Into<Computation>,
    ) -> Result<Self, ModelError> {
        let (device, computation) = (device.into(), computation.into());
        let precision = computation.precision;
        match &device {
            ComputeDevice::Candle(Device::Cpu) => {
                let arithmetic = precision.arithmetic(Bf16Instructions::detect())?;
                Self::load_networks(folder, device, &Device::Cpu, computation, |config, schedule, vb| {
                    Networks::cpu(config, schedule, arithmetic, vb)
                })
            }
            ComputeDevice::Candle(device) => Self::load_with_candle(folder, device, computation),
            #[cfg(feature = "gpu")]
            ComputeDevice::Gpu(gpu) => {
                precision.check_gpu()?;
                let gpu = Arc::clone(gpu);
                Self::load_networks(folder, device, &Device::Cpu, computation, |config, schedule, vb| {
                    Networks::gpu(&gpu, config, schedule, &vb)
                })
            }
        }
    }

    /// Loads a weights folder into the networks that candle computes, even on a CPU. Tests compare the CPU's own
    /// networks with these.
    ///
    /// # Errors
    /// As in [`Model::load`].
    pub fn load_with_candle(
        folder: &Path,
        device: &Device,
        computation: impl Into<Computation>,
    ) -> Result<Self, ModelError> {
        let computation = computation.into();
        Self::load_networks(folder, device.into(), device, computation, |config, schedule, vb| {
            Networks::candle(config, schedule, vb, computation.precision.dtype())
        })
    }

    fn load_networks(
        folder: &Path,
        device: ComputeDevice,
        weights_device: &Device,
        computation: Computation,
        networks: impl Fn(&Config, &Schedule, VarBuilder) -> candle_core::Result<Networks>,
    ) -> Result<Self, ModelError> {
        let config = Config::read(folder)?;
        let schedule = Schedule::new(&config.trajectory.schedule);
        let weights = Weights::open(folder, WEIGHTS_FILE, weights_device)?;
        let vb = weights.var_builder();
        let channels = config.latent.channels;
        let build = || {
            let vectors = load_values(&vb, (config.trajectory.codes, channels), "codebook")?;
            Ok((Codebook::new(vectors, channels), networks(&config, &schedule, vb.clone())?))
        };
        let (codebook, mut networks) = build().map_err(|error| weights.error(error))?;
        let weight_count = weights.finish()?;
        let max_one_pass_guidance = match computation.passes {
            PassCount::Two => None,
            PassCount::One => {
                let weights = Weights::open(folder, ONE_PASS_FILE, weights_device)?;
                let rows = weights.rows("denoiser.guidance.weight").max(2);
                let added = networks.add_one_pass(&config, &schedule, rows, &weights.var_builder());
                added.map_err(|error| weights.error(error))?;
                weights.finish()?;
                Some((rows - 1) as f64)
            }
        };
        let captioner = Captioner::open(folder, &config)?;
        let palette = palette::colors(&codebook);
        let null = Condition::null(&config);
        Ok(Self {
            config,
            schedule,
            codebook,
            networks,
            captioner,
            null,
            palette,
            device,
            computation,
            max_one_pass_guidance,
            weight_count,
        })
    }

    /// The configuration from `config.json`.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Name of the device: `cpu`, `cuda:N` or `gpu:N`.
    pub fn device(&self) -> String {
        self.device.name()
    }

    /// How the model computes.
    pub fn computation(&self) -> Computation {
        self.computation
    }

    /// Number of weights in `model.safetensors`.
    pub fn weight_count(&self) -> usize {
        self.weight_count
    }

    /// The codebook e.
    pub fn codebook(&self) -> &Codebook {
        &self.codebook
    }

    /// The schedule s_0 … s_T.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// CSS colours `#rrggbb` of the V codes; codes with near vectors have near colours.
    pub fn palette(&self) -> Vec<String> {
        self.palette.iter().map(|&color| palette::hex(color)).collect()
    }

    /// Draws a token grid as an image of h × w pixels, one for each code, in the palette's colours.
    ///
    /// # Panics
    /// If `tokens` has fewer than n codes or a code isn't below V.
    pub fn token_image(&self, tokens: &[u32]) -> DynamicImage {
        let grid = self.config.latent.grid as u32;
        let image = image::RgbImage::from_fn(grid, grid, |x, y| {
            image::Rgb(self.palette[tokens[(y * grid + x) as usize] as usize])
        });
        DynamicImage::ImageRgb8(image)
    }

    /// Starts image number `index` of a request with this seed.
    ///
    /// Every image has its own generator, seeded by (seed, index), so the other images of a batch don't affect it.
    pub fn start(&self, settings: &SamplingSettings, seed: u64, index: u32) -> SamplerState {
        self.start_with(settings, ImageSeed::new(seed, index), ImageSeed::new(seed, index))
    }

    /// Starts an image from the noise of one seed whose codes are drawn with the generator of another. Subject and style
    /// are those of `noise`, where the settings name none.
    pub fn start_with(
        &self,
        settings: &SamplingSettings,
        noise: ImageSeed,
        draws: ImageSeed,
    ) -> SamplerState {
        let settings = settings.for_image(&self.config, noise.seed, noise.index);
        SamplerState::new(settings, noise, draws, &self.config)
    }

    /// Starts image number `index` of a request from z_k of another image: a variation of it.
    ///
    /// The other image is tokenized with the noise of (seed, index), and the state is the one after its first `k` codes.
    /// `k` is 1 to T − 1; the smaller it is, the more the variation may differ.
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
        let mut grids = self.grids(image, &state.eps)?;
        grids.truncate(k);
        grids.iter().for_each(|grid| state.take(grid, &self.codebook));
        Ok(state)
    }

    /// Starts image number `index` of a request that draws a part of another image again.
    ///
    /// The other image is tokenized with the noise of (seed, index). Its codes are given at all positions for the first `k`
    /// steps, and at the positions that are not `free` (n entries) for all steps. `k` is 0 to T − 1.
    ///
    /// # Errors
    /// [`ModelError::Tensor`], or that of [`Given::new`].
    pub fn start_edit(
        &self,
        settings: &SamplingSettings,
        seed: ImageSeed,
        image: &DynamicImage,
        k: usize,
        free: &[bool],
    ) -> Result<SamplerState, ModelError> {
        let given = Given::kept(&self.config, &self.tokenize_from(image, seed)?, k, Some(free))?;
        Ok(self.start_given(settings, seed, seed, &Arc::new(given)))
    }

    /// Starts an image with given codes: from the noise of one seed, with codes that are drawn with the generator of another
    /// where none is given. Steps whose codes are all given are done already, up to T − 1 of them.
    pub fn start_given(
        &self,
        settings: &SamplingSettings,
        noise: ImageSeed,
        draws: ImageSeed,
        given: &Arc<Given>,
    ) -> SamplerState {
        let mut state = self.start_with(settings, noise, draws);
        let leading = given.leading_steps().min(self.config.steps() - 1);
        let grid = |t| given.step(t).iter().flatten().copied().collect();
        state.take_given(&(1..=leading).map(grid).collect::<Vec<_>>(), &self.codebook);
        state.with_given(Arc::clone(given))
    }

    /// Encodes an image to T token grids from the noise of a seed. The image may have any size: it is
    /// [preprocessed](preprocess).
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn tokenize_from(&self, image: &DynamicImage, noise: ImageSeed) -> Result<Vec<Vec<u32>>, ModelError> {
        self.grids(image, &self.noise(noise))
    }

    /// The token grids of an image from the noise eps.
    fn grids(&self, image: &DynamicImage, eps: &[f32]) -> Result<Vec<Vec<u32>>, ModelError> {
        Ok(self.trajectory(image, eps)?.0)
    }

    /// Tokenizes an image from the noise eps.
    fn trajectory(&self, image: &DynamicImage, eps: &[f32]) -> Result<Trajectory, ModelError> {
        let v = self.encode(image)?;
        Ok(trajectory::tokenize(&self.codebook, &self.schedule, &v, eps))
    }

    /// The noise of a seed, n · c numbers.
    pub(super) fn noise(&self, seed: ImageSeed) -> Vec<f32> {
        let len = self.config.positions() * self.config.latent.channels;
        random::standard_normal(&mut seed.generator(), len)
    }

    /// Computes guided logits u + w (l − u) for C_t, (n, V) for each image, from its running latent z_{t−1} (n · c
    /// numbers), its timestep t in 1..=T and its settings.
    ///
    /// Both l and u are computed only for images that need both, and neither for images that take one pass.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn logits(&self, images: &[(&[f32], usize, &SamplingSettings)]) -> Result<Vec<Vec<f32>>, ModelError> {
        let passes = |&(_, t, settings): &(&[f32], usize, &SamplingSettings)| self.passes(settings, t);
        let computed = BOTH.map(|number| {
            let of_number: Vec<_> = images.iter().filter(|image| passes(image) == number).copied().collect();
            match of_number.is_empty() {
                true => Ok(Vec::new()),
                false => self.networks.logits(&GuidanceBatch::new(&of_number, number, &self.null)),
            }
        });
        let [one, two] = computed;
        let (mut one, mut two) = (one?.into_iter(), two?.into_iter());
        let logits = images.iter().filter_map(|image| match passes(image) {
            PassCount::One => one.next(),
            PassCount::Two => two.next(),
        });
        Ok(logits.collect())
    }

    /// The passes that an image with these settings takes in step t.
    fn passes(&self, settings: &SamplingSettings, t: usize) -> PassCount {
        let w = settings.guidance_at(t);
        // Without guidance, one pass through the denoiser that isn't told it is exact.
        let is_guided = w != 0.0 && w != 1.0;
        match self.max_one_pass_guidance {
            Some(most) if is_guided && w <= most => PassCount::One,
            _ => PassCount::Two,
        }
    }

    /// Advances each image by one step, whatever their timesteps, classes, settings and given codes. None may be finished.
    /// Images whose next codes are all given aren't computed by the denoiser.
    ///
    /// Returns one [`Step`] for each, in the same order.
    ///
    /// # Errors
    /// [`ModelError::Tensor`]; the latents and step numbers are then unchanged.
    pub fn step(&self, states: &mut [&mut SamplerState]) -> Result<Vec<Step>, ModelError> {
        debug_assert!(states.iter().all(|state| !state.is_finished()));
        let passes = |state: &SamplerState| self.passes(&state.settings, state.step + 1);
        let (one, two): (Vec<&mut SamplerState>, Vec<_>) = states
            .iter_mut()
            .map(|state| &mut **state)
            .filter(|state| !state.is_next_step_given())
            .partition(|state| passes(state) == PassCount::One);
        let mut one = self.sample(one, PassCount::One)?.into_iter();
        let mut two = self.sample(two, PassCount::Two)?.into_iter();
        let codes = self.codebook.codes();
        let mut steps = Vec::with_capacity(states.len());
        for state in states {
            // The networks have sampled a step for each of the others.
            let sampled = match passes(state) {
                PassCount::One => &mut one,
                PassCount::Two => &mut two,
            };
            let Some(step) = state.given_step(codes).or_else(|| sampled.next()) else { break };
            let step = state.correct(step);
            state.take(&step.tokens, &self.codebook);
            steps.push(step);
        }
        Ok(steps)
    }

    /// Samples C_t for each image.
    fn sample(&self, mut states: Vec<&mut SamplerState>, passes: PassCount) -> Result<Vec<Step>, ModelError> {
        if states.is_empty() {
            return Ok(Vec::new());
        }
        let inputs: Vec<_> = states.iter().map(|state| state.input(&self.codebook)).collect();
        let rows = states.iter().zip(&inputs);
        let images: Vec<_> = rows.map(|(state, z)| (&z[..], state.step + 1, &state.settings)).collect();
        let batch = GuidanceBatch::new(&images, passes, &self.null);
        drop(inputs);
        Ok(self.networks.sample(&batch, &mut states)?)
    }

    /// Decodes token grids to images: T grids of n codes each, from the noise of their seeds.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn decode_tokens(
        &self,
        images: &[(ImageSeed, &[Vec<u32>])],
    ) -> Result<Vec<DynamicImage>, ModelError> {
        let latent = |(seed, grids): &(ImageSeed, &[Vec<u32>])| {
            let mut z = self.noise(*seed);
            grids.iter().for_each(|grid| self.codebook.advance(&mut z, grid));
            z
        };
        let latents: Vec<Vec<f32>> = images.iter().map(latent).collect();
        self.decode(&latents.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    /// Decodes both previews of each image. Each must have done at least one step.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn previews(&self, states: &[&SamplerState]) -> Result<Vec<Preview>, ModelError> {
        let latents: Vec<_> = states
            .iter()
            .map(|state| RunningLatent { z: &state.z, eps: &state.eps, t: state.step })
            .collect();
        self.decode_previews(&latents)
    }

    fn decode_previews(&self, latents: &[RunningLatent]) -> Result<Vec<Preview>, ModelError> {
        let without_noise = |latent: &RunningLatent| -> Vec<f32> {
            let t = latent.t.max(1); // alpha_0 = 0: pure noise has no clean preview
            let (alpha, beta) = (self.schedule.alpha(t), self.schedule.beta(t));
            latent.z.iter().zip(latent.eps).map(|(z, eps)| (z - beta * eps) / alpha).collect()
        };
        let clean: Vec<Vec<f32>> = latents.iter().map(without_noise).collect();
        let noisy = latents.iter().map(|latent| latent.z);
        let mut images = self.decode(&noisy.chain(clean.iter().map(Vec::as_slice)).collect::<Vec<_>>())?;
        let clean = images.split_off(latents.len());
        Ok(images.into_iter().zip(clean).map(|(noisy, clean)| Preview { noisy, clean }).collect())
    }

    /// Decodes the running latent of each image: after the last step, the final image.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn images(&self, states: &[&SamplerState]) -> Result<Vec<DynamicImage>, ModelError> {
        self.decode(&states.iter().map(|state| &state.z[..]).collect::<Vec<_>>())
    }

    /// Encodes an image recurrently into T token grids, from the noise of `seed`, and decodes its previews.
    ///
    /// The image may have any size: it is [preprocessed](preprocess).
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn tokenize(&self, image: &DynamicImage, seed: u64) -> Result<Tokenization, ModelError> {
        let size = self.config.image.size as u32;
        let resized_from =
            ((image.width(), image.height()) != (size, size)).then(|| (image.width(), image.height()));
        let input = preprocess(image, &self.config.image);
        let eps = self.noise(ImageSeed::new(seed, 0));
        let (tokens, latents) = self.trajectory(&input, &eps)?;
        let caption = self.caption(before_last(&latents, &eps))?;
        let latents: Vec<_> = (1..).zip(&latents).map(|(t, z)| RunningLatent { z, eps: &eps, t }).collect();
        Ok(Tokenization { input, tokens, previews: self.decode_previews(&latents)?, resized_from, caption })
    }

    /// Names what an image shows whose running latent before the last step, z_{T−1}, is `z` (n · c numbers). `None` if the
    /// model has no captioner.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn caption(&self, z: &[f32]) -> Result<Option<Caption>, ModelError> {
        let Some(captioner) = &self.captioner else { return Ok(None) };
        let streams =
            self.networks.residual_streams(z, self.config.steps(), &self.null, &captioner.layers)?;
        Ok(Some(captioner.caption(&streams, &self.config)?))
    }

    /// Names what an image shows, from the noise of a seed. `None` if the model has no captioner.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn caption_image(&self, image: &DynamicImage, seed: u64) -> Result<Option<Caption>, ModelError> {
        if self.captioner.is_none() {
            return Ok(None);
        }
        let eps = self.noise(ImageSeed::new(seed, 0));
        self.caption(before_last(&self.trajectory(image, &eps)?.1, &eps))
    }

    /// Encodes an image, which is [preprocessed](preprocess), to its standardized latent v: n · c numbers.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn encode(&self, image: &DynamicImage) -> Result<Vec<f32>, ModelError> {
        let input = preprocess(image, &self.config.image);
        Ok(self.networks.encode(normalize(input, &self.config.image))?)
    }

    /// Decodes latents of n · c numbers each to images of size × size pixels.
    ///
    /// # Errors
    /// [`ModelError::Tensor`].
    pub fn decode(&self, latents: &[&[f32]]) -> Result<Vec<DynamicImage>, ModelError> {
        if latents.is_empty() {
            return Ok(Vec::new());
        }
        denormalize(&self.networks.decode(latents.concat())?, &self.config.image)
    }
}

/// z_{T−1} of the running latents z_1 … z_T from the noise eps.
fn before_last<'a>(latents: &'a [Vec<f32>], eps: &'a [f32]) -> &'a [f32] {
    latents.iter().rev().nth(1).map_or(eps, Vec::as_slice)
}
