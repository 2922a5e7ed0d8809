//! `rdpm interpolate`: pictures between two others, as an animation or a sheet.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use rdpm::model::{ImageSeed, Interpolation, InterpolationEnd, Model, SamplingSettings};
use rdpm::picture::{Animation, AnimationFormat, enlarge};

use super::ModelArguments;
use super::output::note;
use super::redraw::{RedrawArguments, draw, extension, write_sheet};
use super::source::{Source, Tokens};

#[derive(Debug, Args)]
pub struct Interpolate {
    #[command(flatten)]
    model: ModelArguments,
    /// First picture: a seed (as 7, or 7:2 for image 2 of it), an image, or tokens (rdpm, json, or a picture with tokens).
    #[arg(env = "RDPM_FROM", value_name = "A")]
    from: String,
    /// Last picture, likewise.
    #[arg(env = "RDPM_TO", value_name = "B")]
    to: String,
    /// Number of pictures, 2 to 256.
    #[arg(long, env = "RDPM_FRAMES", default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=256))]
    frames: u32,
    /// Step at which the latents are interpolated, from 0 (the noise) to one less than the model's steps. The steps after it are
    /// drawn. Default: half of the steps.
    #[arg(long, env = "RDPM_AT_STEP", value_name = "K")]
    at_step: Option<usize>,
    /// Time of a picture in an animation, in milliseconds.
    #[arg(long, env = "RDPM_DELAY", default_value_t = 100, value_parser = clap::value_parser!(u64).range(20..=5000))]
    delay: u64,
    #[command(flatten)]
    redraw: RedrawArguments,
    /// File to write: gif is an animation; png, jpg, webp and bmp are sheets.
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "film.gif", value_name = "FILE")]
    output: PathBuf,
}

/// A picture at an end.
enum End {
    Seed(ImageSeed),
    File(Source),
}

impl Interpolate {
    pub fn run(self) -> anyhow::Result<()> {
        let (from, to) = (End::read(&self.from)?, End::read(&self.to)?);
        let model = match (&from, &to) {
            (End::File(file), _) | (_, End::File(file)) => file.load_model(&self.model)?,
            _ => self.model.load()?,
        };
        let config = model.config();
        let (step, last) = (self.at_step.unwrap_or(config.steps() / 2), config.steps() - 1);
        if step > last {
            bail!("--at-step is {step}; allowed: integers from 0 to {last}");
        }
        let (settings, seed) = self.redraw.read(config)?;
        let [from, to] = [&from, &to].map(|end| end.tokens(&model, &settings, seed, step));
        let end = |Tokens { noise, grids }| InterpolationEnd { settings: settings.clone(), noise, grids };
        let ends = [end(from?), end(to?)];
        let state = |frame| {
            let weight = f64::from(frame) / f64::from(self.frames - 1);
            model.start_between(&ends, Interpolation::Step(step), weight)
        };
        let states: Vec<_> = (0..self.frames).map(state).collect::<Result<_, _>>()?;
        let images: Vec<_> = draw(&model, states)?.into_iter().map(|drawn| drawn.image).collect();
        if extension(&self.output) == "gif" {
            let frames = images.iter().map(|image| enlarge(image, self.redraw.scale)).collect();
            let animation = Animation::new(frames).with_delay(Duration::from_millis(self.delay));
            let file = animation.encode(AnimationFormat::Gif, None)?;
            let name = self.output.display();
            std::fs::write(&self.output, file).with_context(|| format!("{name} can't be written"))?;
        } else {
            write_sheet(&images, None, self.redraw.scale, &self.output)?;
        }
        note(format!("{}: seed {seed}", self.output.display()));
        Ok(())
    }
}

impl End {
    fn read(text: &str) -> anyhow::Result<Self> {
        let (seed, index) = text.split_once(':').unwrap_or((text, "0"));
        match (seed.parse(), index.parse()) {
            (Ok(seed), Ok(index)) => Ok(Self::Seed(ImageSeed::new(seed, index))),
            _ => Source::read(Path::new(text)).map(Self::File),
        }
    }

    /// At least the first `steps` grids.
    fn tokens(
        &self,
        model: &Model,
        settings: &SamplingSettings,
        seed: u64,
        steps: usize,
    ) -> anyhow::Result<Tokens> {
        match self {
            Self::File(file) => file.tokens(model, ImageSeed::new(seed, 0)),
            Self::Seed(noise) => {
                let mut state = model.start(settings, noise.seed, noise.index);
                while state.step() < steps {
                    model.step(&mut [&mut state])?;
                }
                Ok(Tokens { noise: *noise, grids: state.tokens().unwrap_or_default() })
            }
        }
    }
}
