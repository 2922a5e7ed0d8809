//! The command line. `--help` prints the doc comments of the flags.

mod bench;
mod caption;
mod config_file;
mod decode;
mod devices;
mod edit;
mod environment;
mod escape;
mod generate;
mod health;
mod info;
mod input;
mod interpolate;
mod mcp;
mod models;
mod output;
mod pull;
mod queue;
mod redraw;
mod sampling_arguments;
mod serve;
mod source;
mod starting;
mod store;
mod tokenize;
mod weights;
mod work;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use image::{DynamicImage, ImageFormat};

use self::config_file::Defaults;
pub use self::escape::Escaped;
use self::models::ModelArguments;
pub use self::output::note;
pub use self::serve::ServerFailed;

/// Recurrent Diffusion Probabilistic Model (arXiv 2412.18390): a grid of discrete tokens denoises into an image.
///
/// Without a command, `rdpm` runs `rdpm serve`.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the page and the API over HTTP.
    Serve(Box<serve::Serve>),
    /// Draw images for the gateways of a queue (`serve --queue`).
    Work(Box<work::Work>),
    /// Describe the queue between gateways and workers.
    Queue(queue::Queue),
    /// Check whether a server on this machine is ready: the exit status is 0 if it is. For container runtimes.
    Health(health::Health),
    /// Generate images of a class.
    Generate(generate::Generate),
    /// Name what an image shows.
    Caption(caption::Caption),
    /// Encode an image into its token grids and decode them again.
    Tokenize(tokenize::Tokenize),
    /// Draw a part of a picture again.
    Edit(edit::Edit),
    /// Draw the last steps of a picture again: a variation of it.
    Vary(edit::Vary),
    /// Draw pictures between two others, as an animation or a sheet.
    Interpolate(interpolate::Interpolate),
    /// Decode a token file to its picture.
    Decode(decode::Decode),
    /// Measure how many images per second this machine draws, in each precision and for several batch sizes, and suggest flags.
    Bench(bench::Bench),
    /// List the processor and the GPUs that models can be computed on.
    Devices(devices::Devices),
    /// Offer the models as tools to an assistant, on standard input and output (Model Context Protocol).
    Mcp(mcp::Mcp),
    /// Download a model from its address on a server, and print the path of its folder.
    Pull(pull::Pull),
    /// Look after the store of a server: back it up.
    Store(store::Store),
    /// Describe the models and their device, or print the parameters of a picture.
    Info(info::Info),
}

impl Arguments {
    /// Reads the command line, the environment and the configuration file that they name, if any. Exits on errors in the
    /// first two, and on `--help`.
    pub fn read() -> anyhow::Result<Self> {
        let mut command = environment::ignore_foreign(Self::command());
        let parse = |line: &[OsString]| {
            let matches = command.clone().try_get_matches_from(line);
            let arguments = matches.and_then(|matches| Self::from_arg_matches(&matches));
            arguments.unwrap_or_else(|error| environment::exit(error, &command))
        };
        let mut line: Vec<OsString> = std::env::args_os().collect();
        if parse(&line).command.is_none() {
            line = vec!["rdpm".into(), "serve".into()];
        }
        let path = match parse(&line).command {
            Some(Command::Serve(serve)) => serve.config,
            Some(Command::Health(health)) => health.config,
            _ => None,
        };
        if let (Some(path), Some(serve)) = (path, command.find_subcommand("serve")) {
            let defaults = Defaults::read(&path, serve)?;
            for name in ["serve", "health"] {
                command = command.mut_subcommand(name, |command| defaults.apply(command));
            }
        }
        Ok(Self::from_arg_matches(&command.get_matches_from(line))?)
    }
}

/// Runs the command. All errors except [`ServerFailed`] are the user's to fix.
pub fn run() -> anyhow::Result<()> {
    match Arguments::read()?.command {
        Some(Command::Serve(command)) => command.run(),
        Some(Command::Work(command)) => command.run(),
        Some(Command::Queue(command)) => command.run(),
        Some(Command::Health(command)) => command.run(),
        Some(Command::Generate(command)) => command.run(),
        Some(Command::Caption(command)) => command.run(),
        Some(Command::Tokenize(command)) => command.run(),
        Some(Command::Edit(command)) => command.run(),
        Some(Command::Vary(command)) => command.run(),
        Some(Command::Interpolate(command)) => command.run(),
        Some(Command::Decode(command)) => command.run(),
        Some(Command::Bench(command)) => command.run(),
        Some(Command::Devices(command)) => command.run(),
        Some(Command::Mcp(command)) => command.run(),
        Some(Command::Pull(command)) => command.run(),
        Some(Command::Store(command)) => command.run(),
        Some(Command::Info(command)) => command.run(),
        None => Ok(()),
    }
}

/// Writes a picture in the format of the file's extension.
fn save(picture: &DynamicImage, path: &Path) -> anyhow::Result<()> {
    let saved = match ImageFormat::from_path(path) {
        // It has no grey pixels.
        Ok(ImageFormat::Gif) => picture.to_rgb8().save(path),
        _ => picture.save(path),
    };
    saved.with_context(|| format!("{} can't be written", path.display()))
}
