//! The command line. Doc comments of flags are the manual that `--help` prints.

mod generate;
mod info;
mod serve;
mod tokenize;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use image::DynamicImage;
use rdpm::model::{Model, find_model, open_device};

/// Recurrent Diffusion Probabilistic Model (arXiv 2412.18390): a grid of discrete tokens denoises into an image.
///
/// Without a command it serves: `rdpm` is `rdpm serve`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page and the API over HTTP.
    Serve(serve::Serve),
    /// Draw images of a class.
    Generate(generate::Generate),
    /// Encode an image into its token grids and decode them again.
    Tokenize(tokenize::Tokenize),
    /// Say what the model is and where it runs.
    Info(info::Info),
}

/// Runs the command. Every error is the user's to mend: the program exits with 2.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    // A bare `rdpm` takes the server's settings from the environment, as `rdpm serve` would.
    match arguments.command.unwrap_or_else(|| Command::Serve(serve::Serve::parse_from(["rdpm"]))) {
        Command::Serve(command) => command.run(),
        Command::Generate(command) => command.run(),
        Command::Tokenize(command) => command.run(),
        Command::Info(command) => command.run(),
    }
}

/// Which model, and where it runs.
#[derive(Debug, Clone, Args)]
struct ModelArguments {
    /// Folder of a model (config.json, model.safetensors), or of several such folders.
    #[arg(long, env = "RDPM_WEIGHTS", default_value = "weights", value_name = "FOLDER")]
    weights: PathBuf,
    /// Which of several models to use, by its folder's name; the first by name where this is silent.
    #[arg(long, env = "RDPM_MODEL", value_name = "NAME")]
    model: Option<String>,
    /// Where to compute: auto (CUDA where there is a GPU and the program was built for it, else the CPU), cpu, cuda or
    /// cuda:N.
    #[arg(long, env = "RDPM_DEVICE", default_value = "auto")]
    device: String,
}

impl ModelArguments {
    /// The folder of the model.
    fn folder(&self) -> anyhow::Result<PathBuf> {
        Ok(find_model(&self.weights, self.model.as_deref())?)
    }

    /// Loads the model on this thread.
    fn load(&self) -> anyhow::Result<Model> {
        Ok(Model::load(&self.folder()?, &open_device(&self.device)?)?)
    }
}

/// Writes a picture in the format that the file's name ends in.
fn save(picture: &DynamicImage, path: &Path) -> anyhow::Result<()> {
    picture.save(path).with_context(|| format!("{} can't be written", path.display()))
}
