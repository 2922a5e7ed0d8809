//! `rdpm decode`: the picture of a token file.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use rdpm::model::{ImageSeed, SamplingSettings};
use rdpm::picture::Provenance;

use super::ModelArguments;
use super::redraw::write_sheet;
use super::source::Source;

#[derive(Debug, Args)]
pub struct Decode {
    #[command(flatten)]
    model: ModelArguments,
    /// Token file (rdpm, json), or a picture that contains its tokens.
    #[arg(env = "RDPM_FILE")]
    file: PathBuf,
    /// Picture to write, in the format of its extension (png, jpg, webp, bmp, gif).
    #[arg(long, short, env = "RDPM_OUTPUT", default_value = "out.png", value_name = "FILE")]
    output: PathBuf,
    /// Size of the square that every pixel becomes, 1 to 64.
    #[arg(long, env = "RDPM_SCALE", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    scale: u32,
}

impl Decode {
    pub fn run(self) -> anyhow::Result<()> {
        let source = Source::read(&self.file)?;
        let Some(file) = source.token_file() else {
            bail!("{} is no token file, and no picture that contains tokens", self.file.display());
        };
        let model = source.load_model(&self.model)?;
        let noise = ImageSeed::new(file.seed, file.index);
        let tokens = source.tokens(&model, noise)?;
        let images = model.decode_tokens(&[(noise, &tokens.grids)])?;
        let settings = SamplingSettings::new(model.config(), 0)?;
        let provenance = Provenance::new(model.config(), &settings, noise.seed, noise.index);
        let provenance = provenance.of_tokens(file).of_sheet(1, self.scale);
        write_sheet(&images, Some(&provenance), self.scale, &self.output)
    }
}
