//! `rdpm edit` and `rdpm vary`: draw a part of a picture again, or its last steps.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{anyhow, bail};
use clap::Args;
use rdpm::model::{Given, ImageSeed, Model};
use rdpm::picture::{MaskFile, Provenance};

use super::ModelArguments;
use super::input::{describe, image_size, read_file};
use super::output::note;
use super::redraw::{OutputArguments, RedrawArguments, draw};
use super::source::Source;

#[derive(Debug, Args)]
pub struct Edit {
    #[command(flatten)]
    model: ModelArguments,
    /// Picture to edit: an image (PNG, JPEG, WebP, BMP, GIF), or tokens (rdpm, json, or a picture that contains them), which
    /// need no encoding.
    #[arg(env = "RDPM_IMAGE")]
    image: PathBuf,
    /// What to draw again: an image that is transparent there or, if it is opaque, white. A mask of another size is scaled.
    #[arg(long, env = "RDPM_MASK", value_name = "FILE")]
    mask: PathBuf,
    /// Steps of the picture that are kept under the mask, too, from 0 to one less than the model's steps: the more, the closer
    /// is the result.
    #[arg(long, env = "RDPM_STEPS_KEPT", default_value_t = 0, value_name = "K")]
    steps_kept: usize,
    #[command(flatten)]
    redraw: RedrawArguments,
    #[command(flatten)]
    output: OutputArguments,
}

#[derive(Debug, Args)]
pub struct Vary {
    #[command(flatten)]
    model: ModelArguments,
    /// Picture to vary: an image (PNG, JPEG, WebP, BMP, GIF), or tokens (rdpm, json, or a picture that contains them).
    #[arg(env = "RDPM_IMAGE")]
    image: PathBuf,
    /// Steps of the picture that are kept, from 0 to one less than the model's steps: the more, the closer is the result.
    #[arg(long, env = "RDPM_STEPS_KEPT", default_value_t = 5, value_name = "K")]
    steps_kept: usize,
    #[command(flatten)]
    redraw: RedrawArguments,
    #[command(flatten)]
    output: OutputArguments,
}

impl Edit {
    pub fn run(self) -> anyhow::Result<()> {
        let source = Source::read(&self.image)?;
        let model = source.load_model(&self.model)?;
        let (name, side) = (self.mask.display(), model.config().latent.grid);
        let mask = MaskFile::open(read_file(&self.mask)?);
        let mask = mask.map_err(|error| anyhow!("{name} can't be decoded: {}", describe(&error)))?;
        let own = model.config().image.size as u32;
        let size = match source.token_file() {
            Some(_) => (own, own),
            None => image_size(&self.image)?,
        };
        if mask.size() != size {
            let ((w, h), (width, height)) = (mask.size(), size);
            note(format!("rdpm: {name} is {w} × {h}; scaled to {width} × {height}"));
        }
        let free = mask.cells(size, side);
        let free = free.map_err(|error| anyhow!("{name} can't be decoded: {}", describe(&error)))?;
        if !free.contains(&true) {
            bail!(
                "{name} keeps everything; allowed: a mask that is transparent or, if it is opaque, white somewhere"
            );
        }
        redraw(&model, &source, self.steps_kept, Some(&free), &self.redraw, &self.output)
    }
}

impl Vary {
    pub fn run(self) -> anyhow::Result<()> {
        let source = Source::read(&self.image)?;
        let model = source.load_model(&self.model)?;
        redraw(&model, &source, self.steps_kept, None, &self.redraw, &self.output)
    }
}

/// Draws what is free, all if `None`, after the steps that are kept.
fn redraw(
    model: &Model,
    source: &Source,
    steps_kept: usize,
    free: Option<&[bool]>,
    arguments: &RedrawArguments,
    output: &OutputArguments,
) -> anyhow::Result<()> {
    let config = model.config();
    if steps_kept >= config.steps() {
        bail!("--steps-kept is {steps_kept}; allowed: integers from 0 to {}", config.steps() - 1);
    }
    let (settings, seed) = arguments.read(config)?;
    let (mut states, mut noises) = (Vec::new(), Vec::new());
    for index in 0..output.count {
        let draws = ImageSeed::new(seed, index);
        // An image is encoded with the noise of each picture's own seed.
        let tokens = source.tokens(model, draws)?;
        let given = Arc::new(Given::kept(config, &tokens.grids, steps_kept, free)?);
        states.push(model.start_given(&settings, tokens.noise, draws, &given));
        noises.push(tokens.noise);
    }
    let drawn = draw(model, states)?;
    let provenance = Provenance { is_derived: true, ..Provenance::new(config, &settings, seed, 0) };
    output.write(config, provenance, arguments.scale, drawn, &noises)?;
    note(format!("{}: seed {seed}", output.output.display()));
    Ok(())
}
