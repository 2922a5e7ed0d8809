//! `rdpm generate`: images of a class, their steps, an animation.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use image::codecs::gif::{GifEncoder, Repeat};
use image::imageops::{FilterType, overlay};
use image::{Delay, DynamicImage, Frame, Rgb, RgbImage};
use indicatif::ProgressBar;
use rand::RngExt;
use rdpm::engine::SEED_MAX;
use rdpm::model::{Config, Model, Sampler, Settings};

use super::{ModelArguments, save};

/// Pixels between two pictures of a sheet.
const GAP: u32 = 2;
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
    /// Picture to write; the name's ending chooses the format (png, jpg, webp, bmp, gif).
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "out.png", value_name = "FILE")]
    output: PathBuf,
    /// Enlarge every pixel to a square of this size, 1 to 64.
    #[arg(long, env = "RDPM_SCALE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
    /// Also write every step there: step-NN-tokens.png, step-NN-noisy.png, step-NN-clean.png.
    #[arg(long, env = "RDPM_STEPS", value_name = "FOLDER")]
    steps: Option<PathBuf>,
    /// Also write the steps as an animated GIF: tokens, noisy and clean preview side by side.
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
        let columns = if settings.len() > 1 {
            self.count
        } else {
            self.count.isqrt() + u32::from(!is_square(self.count))
        };
        let sheet = |pictures: &[DynamicImage]| {
            // A token grid's cells are drawn as large as the pixels that they stand for.
            let cell = model.config().image.size as u32 * self.scale;
            arrange(pictures, columns, cell)
        };
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
                frames.push(beside(&panels.map(|(_, panel)| panel)));
            }
        }
        if let Some(path) = &self.animation {
            write_gif(frames, path).with_context(|| format!("{} can't be written", path.display()))?;
        }
        if let Some(last) = stages.last() {
            // A single image is saved as it is (grey stays grey), a sheet as RGB.
            match &last.images[..] {
                [image] if self.scale == 1 => save(image, &self.output)?,
                images => save(&sheet(images), &self.output)?,
            }
        }
        eprintln!("{}: seed {seed}", self.output.display());
        Ok(())
    }

    /// Whether anything of the steps before the last is asked for.
    fn is_watched(&self) -> bool {
        self.steps.is_some() || self.animation.is_some()
    }

    /// The settings of each class to draw.
    fn settings(&self, config: &Config) -> anyhow::Result<Vec<Settings>> {
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
                let mut settings = Settings::new(config, class)?;
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
    fn draw(&self, model: &Model, settings: &[Settings], seed: u64) -> anyhow::Result<Vec<Stage>> {
        let steps = model.config().steps();
        let mut stages: Vec<Stage> = (0..steps).map(|_| Stage::default()).collect();
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new((settings.len() * self.count as usize * steps) as u64);
        for settings in settings {
            for first in (0..self.count).step_by(BATCH as usize) {
                let count = BATCH.min(self.count - first);
                let mut sampler = Sampler::new(model, settings, seed, first..first + count);
                for stage in &mut stages {
                    let Some(drawn) = sampler.next() else { bail!("the sampler ended early") };
                    let drawn = drawn?;
                    bar.inc(u64::from(count));
                    if self.is_watched() {
                        stage.tokens.extend(drawn.iter().map(|step| model.token_picture(&step.tokens)));
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

fn is_square(number: u32) -> bool {
    number.isqrt().pow(2) == number
}

/// Pictures in rows, each enlarged to a `cell`-pixel square without smoothing, on white.
fn arrange(pictures: &[DynamicImage], columns: u32, cell: u32) -> DynamicImage {
    let count = pictures.len() as u32;
    let columns = columns.min(count).max(1);
    let side = |cells: u32| (cells * (cell + GAP)).saturating_sub(GAP);
    let mut sheet = RgbImage::from_pixel(side(columns), side(count.div_ceil(columns)), Rgb([255; 3]));
    for (index, picture) in (0u32..).zip(pictures) {
        let picture = picture.resize_exact(cell, cell, FilterType::Nearest).into_rgb8();
        let place = |at: u32| i64::from(at * (cell + GAP));
        overlay(&mut sheet, &picture, place(index % columns), place(index / columns));
    }
    DynamicImage::ImageRgb8(sheet)
}

/// Panels of one height, side by side.
fn beside(panels: &[DynamicImage]) -> RgbImage {
    let width = panels.iter().map(|panel| panel.width() + 2 * GAP).sum::<u32>() - 2 * GAP;
    let height = panels.iter().map(DynamicImage::height).max().unwrap_or(0);
    let mut whole = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut left = 0;
    for panel in panels {
        overlay(&mut whole, &panel.to_rgb8(), i64::from(left), 0);
        left += panel.width() + 2 * GAP;
    }
    whole
}

/// One frame a step, the last held longer, for ever.
fn write_gif(frames: Vec<RgbImage>, path: &std::path::Path) -> anyhow::Result<()> {
    let mut encoder = GifEncoder::new(BufWriter::new(File::create(path)?));
    encoder.set_repeat(Repeat::Infinite)?;
    let last = frames.len().saturating_sub(1);
    for (index, frame) in frames.into_iter().enumerate() {
        let delay = Delay::from_numer_denom_ms(if index == last { 1500 } else { 250 }, 1);
        encoder.encode_frame(Frame::from_parts(DynamicImage::ImageRgb8(frame).into_rgba8(), 0, 0, delay))?;
    }
    Ok(())
}
