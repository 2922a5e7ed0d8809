//! `rdpm generate`: images of a class, their steps, an animation.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use image::DynamicImage;
use indicatif::ProgressBar;
use rand::RngExt;
use rdpm::engine::SEED_MAX;
use rdpm::model::{Config, Model, Sampler, SamplingSettings};
use rdpm::picture::{self, Animation, AnimationFormat, Provenance};

use super::{ModelArguments, save};

/// Images that one pass draws together.
const BATCH: u32 = 32;

#[derive(Debug, Args)]
pub struct Generate {
    #[command(flatten)]
    model: ModelArguments,
    /// Class to draw, by name (any case) or index; `all` draws a row of images for each class.
    #[arg(long, env = "RDPM_CLASS", value_name = "CLASS")]
    class: String,
    /// Seed of the noise, below 2^53; drawn at random and reported where this is silent.
    #[arg(long, env = "RDPM_SEED", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(..=SEED_MAX))]
    seed: Option<u64>,
    /// Number of images (of each class), 1 to 1024; more than one become a sheet.
    #[arg(long, env = "RDPM_COUNT", allow_negative_numbers = true, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    count: u32,
    /// Number of the first image, 0 to 1023: image N of a seed is the same whichever comes first.
    #[arg(long, env = "RDPM_FIRST", allow_negative_numbers = true, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(..1024))]
    first: u32,
    /// Guidance scale, 0 to 20: how strongly the class is followed. 1 is no guidance. Default: the model's.
    #[arg(long, env = "RDPM_GUIDANCE", allow_negative_numbers = true)]
    guidance: Option<f64>,
    /// Temperature, 0 to 5: how freely codes are drawn; 0 takes the most probable. Default: the model's.
    #[arg(long, env = "RDPM_TEMPERATURE", allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Draw from the K most probable codes only.
    #[arg(long, env = "RDPM_TOP_K", value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the most probable codes that together hold this share of the probability, above 0 to 1.
    #[arg(long, env = "RDPM_TOP_P", value_name = "SHARE", allow_negative_numbers = true)]
    top_p: Option<f64>,
    /// Picture to write; the name's ending chooses the format (png, jpg, webp, bmp, gif). A PNG file of one class tells
    /// what made it: see `rdpm info`.
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "out.png", value_name = "FILE")]
    output: PathBuf,
    /// Enlarge every pixel to a square of this size, 1 to 64.
    #[arg(long, env = "RDPM_SCALE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Also write every step there: step-NN-tokens.png, step-NN-noisy.png, step-NN-clean.png.
    #[arg(long, env = "RDPM_STEPS", value_name = "FOLDER")]
    steps: Option<PathBuf>,
    /// Also write the steps as an animation (gif, webp, or png: APNG): tokens, noisy and clean preview side by side.
    #[arg(long, env = "RDPM_ANIMATION", value_name = "FILE")]
    animation: Option<PathBuf>,
}

impl Generate {
    pub fn run(self) -> anyhow::Result<()> {
        let model = self.model.load()?;
        let settings = self.settings(model.config())?;
        let seed = self.seed.unwrap_or_else(|| rand::rng().random_range(0..=SEED_MAX));
        if let Some(folder) = &self.steps {
            std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
        }

        let stages = self.draw(&model, &settings, seed)?;
        let columns = if settings.len() > 1 { self.count } else { picture::sheet_columns(self.count) };
        // A token grid's cells are drawn as large as the pixels that they stand for.
        let cell = model.config().image.size as u32 * self.scale;
        let sheet = |pictures: &[DynamicImage]| picture::sheet(pictures, columns, cell);
        let mut frames = Vec::new();
        for (index, stage) in stages.iter().enumerate().filter(|_| self.is_watched()) {
            let panels = [("tokens", &stage.tokens), ("noisy", &stage.noisy), ("clean", &stage.clean)]
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
        if let Some(last) = stages.last() {
            let parameters = match &settings[..] {
                [one] => Some(self.parameters(model.config(), one, seed)),
                _ => None,
            };
            self.write(&sheet(&last.images), parameters.as_ref())?;
        }
        eprintln!("{}: seed {seed}", self.output.display());
        Ok(())
    }

    /// What makes the sheet of one class.
    fn parameters(&self, config: &Config, settings: &SamplingSettings, seed: u64) -> Provenance {
        let one = Provenance::new(config, settings, seed, self.first);
        Provenance { count: self.count, scale: self.scale, ..one }
    }

    fn write(&self, sheet: &DynamicImage, parameters: Option<&Provenance>) -> anyhow::Result<()> {
        if !has_ending(&self.output, "png") {
            return save(sheet, &self.output);
        }
        let file = picture::encode_png(sheet, parameters)?;
        std::fs::write(&self.output, file)
            .with_context(|| format!("{} can't be written", self.output.display()))
    }

    /// Whether anything of the steps before the last is asked for.
    fn is_watched(&self) -> bool {
        self.steps.is_some() || self.animation.is_some()
    }

    /// The settings of each class to draw.
    fn settings(&self, config: &Config) -> anyhow::Result<Vec<SamplingSettings>> {
        let classes = match self.class.trim() {
            name if name.eq_ignore_ascii_case("all") => (0..config.classes.len()).collect(),
            name => match config.class_index(name).or_else(|| name.parse().ok()) {
                Some(index) => vec![index],
                None => bail!("class is {name:?}; allowed: all, {}", config.classes.join(", ")),
            },
        };
        classes
            .into_iter()
            .map(|class| {
                let mut settings = SamplingSettings::new(config, class)?;
                if let Some(guidance) = self.guidance {
                    settings = settings.with_guidance(guidance)?;
                }
                if let Some(temperature) = self.temperature {
                    settings = settings.with_temperature(temperature)?;
                }
                if let Some(top_k) = self.top_k {
                    settings = settings.with_top_k(config, top_k)?;
                }
                if let Some(top_p) = self.top_p {
                    settings = settings.with_top_p(top_p)?;
                }
                Ok(settings)
            })
            .collect()
    }

    /// Draws every class's images; of the steps before the last only what the flags ask for.
    fn draw(&self, model: &Model, settings: &[SamplingSettings], seed: u64) -> anyhow::Result<Vec<Stage>> {
        let steps = model.config().steps();
        let mut stages: Vec<Stage> = (0..steps).map(|_| Stage::default()).collect();
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new((settings.len() * self.count as usize * steps) as u64);
        for settings in settings {
            for first in (0..self.count).step_by(BATCH as usize) {
                let count = BATCH.min(self.count - first);
                let indices = self.first + first..self.first + first + count;
                let mut sampler = Sampler::new(model, settings, seed, indices);
                for stage in &mut stages {
                    let Some(drawn) = sampler.next() else { bail!("the sampler ended early") };
                    let drawn = drawn?;
                    bar.inc(u64::from(count));
                    if self.is_watched() {
                        stage.tokens.extend(drawn.iter().map(|step| model.token_image(&step.tokens)));
                        for preview in sampler.previews()? {
                            stage.noisy.push(preview.noisy);
                            stage.clean.push(preview.clean);
                        }
                    }
                }
                if let Some(last) = stages.last_mut() {
                    last.images.extend(sampler.images()?);
                }
            }
        }
        bar.finish_and_clear();
        Ok(stages)
    }
}

/// What there is to see after one step, for all images.
#[derive(Default)]
struct Stage {
    tokens: Vec<DynamicImage>,
    noisy: Vec<DynamicImage>,
    clean: Vec<DynamicImage>,
    images: Vec<DynamicImage>,
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(ending))
}

/// One frame a step.
fn write_animation(frames: Vec<DynamicImage>, path: &Path) -> anyhow::Result<()> {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default().to_ascii_lowercase();
    let Some(format) = AnimationFormat::from_name(&ending) else {
        bail!("the file's ending is {ending:?}; allowed: gif, png, webp");
    };
    std::fs::write(path, Animation::new(frames).encode(format, None)?)?;
    Ok(())
}
