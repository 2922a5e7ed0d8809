//! `rdpm info`: describes the models and their device, or prints the parameters of a picture.

use std::fmt::Write;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use rdpm::model::{
    Computation, Model, ModelInfo, PassCount, Precision, open_device, processor_features, processor_name,
};
use rdpm::picture::read_provenance;

use super::ModelArguments;
use super::escape::{Escaped, is_unsafe};
use super::output::print;

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
        let chosen = self.model.choose()?.keep(|folder, _| {
            let model = self.model.load_on(folder, &device)?;
            let version = ModelInfo::read_with(folder, model.computation())?.version;
            Ok((model, version))
        })?;
        let mut text = String::new();
        for (at, (folder, (model, version))) in chosen.models.iter().enumerate() {
            if at > 0 {
                writeln!(text)?;
            }
            describe(&mut text, folder, model, version)?;
        }
        for (folder, error) in &chosen.bad {
            writeln!(
                text,
                "\nunusable    {} ({})",
                Escaped(folder.display()),
                Escaped(format!("{error:#}"))
            )?;
        }
        print(text)
    }
}

fn describe(text: &mut String, folder: &Path, model: &Model, version: &str) -> std::fmt::Result {
    let config = model.config();
    let (size, grid, channels) = (config.image.size, config.latent.grid, config.image.channels);
    writeln!(text, "model       {} ({})", Escaped(&config.title), Escaped(folder.display()))?;
    writeln!(text, "name        {}", Escaped(&config.name))?;
    writeln!(text, "version     {version}")?;
    writeln!(text, "images      {size} × {size}, {}", if channels == 1 { "grey" } else { "RGB" })?;
    writeln!(
        text,
        "tokens      {grid} × {grid}, {} codes, {} steps",
        config.trajectory.codes,
        config.steps()
    )?;
    writeln!(text, "parameters  {}", model.weight_count())?;
    writeln!(text, "classes     {}", Escaped(config.classes.join(", ")))?;
    if config.has_words() {
        writeln!(text, "styles      {}", Escaped(config.styles.join(", ")))?;
        writeln!(text, "words       {}", config.vocabulary.words().len())?;
    }
    writeln!(text, "guidance    {}", config.sampling.guidance)?;
    writeln!(text, "temperature {}", config.sampling.temperature)?;
    writeln!(text, "device      {}", model.device())?;
    let Computation { precision, passes } = model.computation();
    writeln!(text, "precision   {}", precision.name())?;
    writeln!(text, "passes      {}", passes.number())?;
    writeln!(text, "processor   {}; {}", Escaped(processor_name()), processor_features())
}

fn describe_image(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("{name} can't be read"))?;
    let parameters = read_provenance(BufReader::new(file)).with_context(|| name.to_string())?;
    let mut text = String::new();
    writeln!(text, "model       {}", Escaped(&parameters.model))?;
    writeln!(text, "class       {}", Escaped(&parameters.class))?;
    if let Some(subject) = &parameters.subject {
        writeln!(text, "subject     {}", Escaped(subject))?;
    }
    writeln!(text, "seed        {}", parameters.seed)?;
    writeln!(text, "image       {}", parameters.index)?;
    if parameters.count > 1 {
        writeln!(text, "images      {}", parameters.count)?;
    }
    for (name, value) in parameters.options.to_texts() {
        writeln!(text, "{name:<12}{}", Escaped(value))?;
    }
    writeln!(text, "scale       {}", parameters.scale)?;
    if parameters.precision != Precision::F32 {
        writeln!(text, "precision   {}", parameters.precision.name())?;
    }
    if parameters.passes != PassCount::Two {
        writeln!(text, "passes      {}", parameters.passes.number())?;
    }
    writeln!(text, "software    rdpm {}", Escaped(&parameters.version))?;
    if let Some(step) = parameters.from_step {
        writeln!(text, "drawn from  step {step} of another image")?;
    }
    if parameters.tokens.is_some() {
        writeln!(text, "tokens      in the file: rdpm decode {}", Escaped(name.to_string()))?;
    }
    if let Some(command) = parameters.command("again.png") {
        writeln!(text)?;
        if command.contains(is_unsafe) {
            writeln!(text, "no command: the names have characters that a terminal doesn't show")?;
        } else {
            writeln!(text, "{command}")?;
        }
    }
    print(text)
}
