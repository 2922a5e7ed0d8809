//! `rdpm info`: describes the models and their device, or prints the parameters of a picture.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rdpm::model::{Model, open_device};
use rdpm::picture::read_provenance;

use super::ModelArguments;
use super::escape::{Escaped, is_unsafe};

#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    model: ModelArguments,
    /// PNG, WebP or JPEG file made by `rdpm generate` or the server: print its parameters, and the command that makes it
    /// again. If omitted, describe the models.
    #[arg(env = "RDPM_IMAGE")]
    image: Option<PathBuf>,
}

impl Info {
    pub fn run(self) -> anyhow::Result<()> {
        match &self.image {
            Some(path) => describe_image(path),
            None => self.describe_models(),
        }
    }

    /// Describes all models, or those that are named.
    fn describe_models(&self) -> anyhow::Result<()> {
        let device = open_device(&self.model.device)?;
        let chosen = self
            .model
            .choose()?
            .keep(|folder, _| Ok(Model::load_with_precision(folder, &device, self.model.precision)?))?;
        for (at, (folder, model)) in chosen.models.iter().enumerate() {
            if at > 0 {
                println!();
            }
            describe(folder, model);
        }
        for (folder, error) in &chosen.bad {
            println!("\nunusable    {} ({})", Escaped(folder.display()), Escaped(format!("{error:#}")));
        }
        Ok(())
    }
}

fn describe(folder: &Path, model: &Model) {
    let config = model.config();
    let (size, grid, channels) = (config.image.size, config.latent.grid, config.image.channels);
    println!("model       {} ({})", Escaped(&config.title), Escaped(folder.display()));
    println!("name        {}", Escaped(&config.name));
    println!("images      {size} × {size}, {}", if channels == 1 { "grey" } else { "RGB" });
    println!("tokens      {grid} × {grid}, {} codes, {} steps", config.trajectory.codes, config.steps());
    println!("parameters  {}", model.weight_count());
    println!("classes     {}", Escaped(config.classes.join(", ")));
    if config.has_words() {
        println!("styles      {}", Escaped(config.styles.join(", ")));
        println!("words       {}", config.vocabulary.words().len());
    }
    println!("guidance    {}", config.sampling.guidance);
    println!("temperature {}", config.sampling.temperature);
    println!("device      {}", model.device());
}

fn describe_image(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} can't be read"))?;
    let parameters = read_provenance(BufReader::new(file)).with_context(|| name.to_string())?;
    println!("model       {}", Escaped(&parameters.model));
    println!("class       {}", Escaped(&parameters.class));
    if let Some(subject) = &parameters.subject {
        println!("subject     {}", Escaped(subject));
    }
    println!("seed        {}", parameters.seed);
    println!("image       {}", parameters.index);
    if parameters.count > 1 {
        println!("images      {}", parameters.count);
    }
    for (name, value) in parameters.options.to_texts() {
        println!("{name:<12}{}", Escaped(value));
    }
    println!("scale       {}", parameters.scale);
    println!("software    rdpm {}", Escaped(&parameters.version));
    if let Some(step) = parameters.from_step {
        println!("drawn from  step {step} of another image");
    }
    if let Some(command) = parameters.command("again.png") {
        println!();
        if command.contains(is_unsafe) {
            println!("no command: the names have characters that a terminal doesn't show");
        } else {
            println!("{command}");
        }
    }
    Ok(())
}
