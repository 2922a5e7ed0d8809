//! `rdpm generate`: images of a class or a prompt, their steps, an animation.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use image::DynamicImage;
use indicatif::ProgressBar;
use rand::RngExt;
use rdpm::engine::SEED_MAX;
use rdpm::model::{Config, Model, Sampler, SamplingSettings};
use rdpm::picture::{self, Animation, AnimationFormat, Format, Provenance, TokenFile};

use rdpm::request::GenerationDraft;

use super::output::note;
use super::redraw::{extension, write_tokens};
use super::sampling_arguments::SamplingArguments;
use super::{Escaped, ModelArguments, save};

/// Images in a batch at most.
const MAX_BATCH: u32 = 32;
/// Quality of JPEG files, 1 to 100.
const JPEG_QUALITY: u8 = 75;

#[derive(Debug, Args)]
pub struct Generate {
    /// What the images show, in words, as `--prompt`: `rdpm generate "red heart"`. Uses the first model that knows words if
    /// no model is named.
    #[arg(value_name = "PROMPT", conflicts_with = "prompt")]
    words: Option<String>,
    #[command(flatten)]
    model: ModelArguments,
    /// Class to generate: its name, in any case, or its index. `all` generates a row of images for each class. Required
    /// without a prompt.
    #[arg(long, env = "RDPM_CLASS", value_name = "CLASS")]
    class: Option<String>,
    /// Number of images (of each class), 1 to 1024. Several images become a sheet.
    #[arg(long, env = "RDPM_COUNT", allow_negative_numbers = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    count: u32,
    /// Index of the first image, 0 to 1023. Image N of a seed is the same whichever is the first.
    #[arg(long, env = "RDPM_FIRST", allow_negative_numbers = true, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(..1024))]
    first: u32,
    #[command(flatten)]
    options: SamplingArguments,
    /// Picture to write, in the format of its extension (png, jpg, webp, bmp, gif). A PNG, WebP or JPEG file of one class
    /// contains the parameters that made it; `rdpm info` prints them.
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "out.png", value_name = "FILE")]
    output: PathBuf,
    /// Size of the square that every pixel becomes, 1 to 64.
    #[arg(long, env = "RDPM_SCALE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// File for the tokens, in the format of its extension (rdpm, json); `rdpm decode` makes the same picture of it. Of several
    /// images, the files have their indices in their names.
    #[arg(long, env = "RDPM_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Write the tokens into the picture's file, too, if it is a PNG, WebP or JPEG file of one image.
    #[arg(long, env = "RDPM_EMBED_TOKENS")]
    embed_tokens: bool,
    /// Folder for pictures of every step: step-NN-tokens.png, step-NN-noisy.png, step-NN-clean.png.
    #[arg(long, env = "RDPM_STEPS", value_name = "FOLDER")]
    steps: Option<PathBuf>,
    /// File for an animation of the steps (gif, webp, or png: APNG): tokens, noisy and clean preview side by side.
    #[arg(long, env = "RDPM_ANIMATION", value_name = "FILE")]
    animation: Option<PathBuf>,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let options = match &self.words {
            Some(words) => self.options.clone().with("prompt", words),
            None => self.options.clone(),
        };
        let needs_words = options.has("prompt") || options.has("style");
        let model = if needs_words { self.model.load_with_words()? } else { self.model.load()? };
        let draft = options.read(model.config())?;
        let settings = self.settings(model.config(), &draft)?;
        let seed = draft.seed.unwrap_or_else(|| rand::rng().random_range(0..=SEED_MAX));
        if let Some(folder) = &self.steps {
            std::fs::create_dir_all(folder)
                .with_context(|| format!("{} can't be created", folder.display()))?;
        }

        let steps_pictures = self.generate(&model, &settings, seed)?;
        let columns = if settings.len() > 1 { self.count } else { picture::sheet_columns(self.count) };
        // Token grids are as large as the images.
        let cell = model.config().image.size as u32 * self.scale;
        let sheet = |pictures: &[DynamicImage]| picture::sheet(pictures, columns, cell);
        let mut frames = Vec::new();
        for (index, pictures) in steps_pictures.iter().enumerate().filter(|_| self.needs_steps()) {
            let panels =
                [("tokens", &pictures.tokens), ("noisy", &pictures.noisy), ("clean", &pictures.clean)]
                    .map(|(name, pictures)| (name, sheet(pictures)));
            if let Some(folder) = &self.steps {
                for (name, panel) in &panels {
                    save(panel, &folder.join(format!("step-{:02}-{name}.png", index + 1)))?;
                }
            }
            if self.animation.is_some() {
                frames.push(picture::side_by_side(&panels.map(|(_, panel)| panel)).into());
            }
        }
        if let Some(path) = &self.animation {
            write_animation(frames, path).with_context(|| format!("{} can't be written", path.display()))?;
        }
        if let Some(last) = steps_pictures.last() {
            let mut parameters = match &settings[..] {
                [one] => Some(self.parameters(&model, one, seed)),
                _ => None,
            };
            for (number, grids) in last.grids.iter().enumerate() {
                let (one, index) = (last.grids.len() == 1, self.first + number as u32 % self.count);
                let file = TokenFile::new(&model.config().name, None, seed, index, grids)?;
                if let Some(path) = &self.tokens {
                    write_tokens(&file, path, (!one).then_some(number))?;
                }
                if let Some(parameters) = parameters.as_mut().filter(|_| one && self.embed_tokens) {
                    parameters.tokens = Some(file.to_base64());
                }
            }
            self.write(&sheet(&last.images), parameters.as_ref())?;
        }
        if let Some(prompt) = &draft.options.prompt {
            let unknown = model.config().vocabulary.encode(prompt).unknown;
            if !unknown.is_empty() {
                note(format!("unknown words: {}", Escaped(unknown.join(", "))));
            }
        }
        note(format!("{}: seed {seed}", self.output.display()));
        Ok(())
    }

    /// The parameters of a sheet of one class.
    fn parameters(&self, model: &Model, settings: &SamplingSettings, seed: u64) -> Provenance {
        let one = Provenance::new(model.config(), settings, seed, self.first);
        one.with_computation(model.computation()).of_sheet(self.count, self.scale)
    }

    fn write(&self, sheet: &DynamicImage, parameters: Option<&Provenance>) -> anyhow::Result<()> {
        let Some(format) = Format::from_name(&extension(&self.output)) else {
            return save(sheet, &self.output);
        };
        let file = format.encode(sheet, JPEG_QUALITY, parameters)?;
        std::fs::write(&self.output, file)
            .with_context(|| format!("{} can't be written", self.output.display()))
    }

    /// Whether pictures of the steps are needed.
    fn needs_steps(&self) -> bool {
        self.steps.is_some() || self.animation.is_some()
    }

    /// The settings of each class.
    fn settings(&self, config: &Config, draft: &GenerationDraft) -> anyhow::Result<Vec<SamplingSettings>> {
        let classes = match self.class.as_deref().map(str::trim) {
            Some(name) if name.eq_ignore_ascii_case("all") => (0..config.classes.len()).map(Some).collect(),
            Some(name) => match config.class_index(name).or_else(|| name.parse().ok()) {
                Some(index) => vec![Some(index)],
                None => bail!("class is {name:?}; allowed: all, {}", config.classes.join(", ")),
            },
            None if draft.options.prompt.is_some() => vec![None],
            None => bail!("--class is missing; allowed: all, {}", config.classes.join(", ")),
        };
        let settings = |class| Ok(SamplingSettings::resolve(config, class, draft.options.clone())?);
        classes.into_iter().map(settings).collect()
    }

    /// Generates the images of every class, and the pictures of steps that the flags need.
    fn generate(
        &self,
        model: &Model,
        settings: &[SamplingSettings],
        seed: u64,
    ) -> anyhow::Result<Vec<StepPictures>> {
        let steps = model.config().steps();
        let mut steps_pictures: Vec<StepPictures> = (0..steps).map(|_| StepPictures::default()).collect();
        // Hides itself where standard error is not a terminal.
        let bar = ProgressBar::new((settings.len() * self.count as usize * steps) as u64);
        for settings in settings {
            for first in (0..self.count).step_by(MAX_BATCH as usize) {
                let count = MAX_BATCH.min(self.count - first);
                let indices = self.first + first..self.first + first + count;
                let mut sampler = Sampler::new(model, settings, seed, indices);
                for pictures in &mut steps_pictures {
                    let Some(step) = sampler.next() else { bail!("the sampler ended early") };
                    let images = step?;
                    bar.inc(u64::from(count));
                    if self.needs_steps() {
                        pictures.tokens.extend(images.iter().map(|step| model.token_image(&step.tokens)));
                        for preview in sampler.previews()? {
                            pictures.noisy.push(preview.noisy);
                            pictures.clean.push(preview.clean);
                        }
                    }
                }
                if let Some(last) = steps_pictures.last_mut() {
                    last.images.extend(sampler.images()?);
                    if self.tokens.is_some() || self.embed_tokens {
                        last.grids.extend(sampler.tokens());
                    }
                }
            }
        }
        bar.finish_and_clear();
        Ok(steps_pictures)
    }
}

/// The pictures after one step, for all images.
#[derive(Default)]
struct StepPictures {
    tokens: Vec<DynamicImage>,
    noisy: Vec<DynamicImage>,
    clean: Vec<DynamicImage>,
    images: Vec<DynamicImage>,
    /// The token grids of each image.
    grids: Vec<Vec<Vec<u32>>>,
}

/// One frame a step.
fn write_animation(frames: Vec<DynamicImage>, path: &Path) -> anyhow::Result<()> {
    let extension = extension(path);
    let Some(format) = AnimationFormat::from_name(&extension) else {
        bail!("the extension is {extension:?}; allowed: gif, png, webp");
    };
    std::fs::write(path, Animation::new(frames).encode(format, None)?)?;
    Ok(())
}
