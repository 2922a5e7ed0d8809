//! `rdpm tokenize`: the recurrent tokenization of one image.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::input::read_image;
use super::output::{note, print};
use super::{ModelArguments, save};

#[derive(Debug, Args)]
pub struct Tokenize {
    #[command(flatten)]
    model: ModelArguments,
    /// Image to encode (PNG, JPEG, WebP, BMP, GIF). It is cropped to its central square and scaled to the model's size.
    #[arg(env = "RDPM_IMAGE")]
    image: PathBuf,
    /// Seed of the noise that the recurrence starts from.
    #[arg(long, env = "RDPM_SEED", default_value_t = 0)]
    seed: u64,
    /// File for the image decoded from its tokens.
    #[arg(long, short, env = "RDPM_OUTPUT", value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Tokenize {
    /// Prints the token grids as JSON: `tokens[t − 1][row][column]` is a code of C_t.
    pub fn run(self) -> anyhow::Result<()> {
        let model = self.model.load()?;
        let path = self.image.display();
        let config = model.config();
        let ((width, height), image) = read_image(&self.image, config)?;
        let tokenized = model.tokenize(&image, self.seed)?;
        let size = config.image.size;
        if [width, height] != [size as u32; 2] {
            note(format!("rdpm: {path} is {width} × {height}; cropped and scaled to {size} × {size}"));
        }
        let grids: Vec<Vec<&[u32]>> =
            tokenized.tokens.iter().map(|grid| grid.chunks(config.latent.grid).collect()).collect();
        let printed =
            json!({ "model": config.name, "seed": self.seed, "steps": config.steps(), "tokens": grids });
        print(format!("{printed}\n"))?;
        match (&self.output, tokenized.previews.last()) {
            (Some(output), Some(reconstruction)) => save(&reconstruction.clean, output),
            _ => Ok(()),
        }
    }
}
