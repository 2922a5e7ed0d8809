//! `rdpm info`: what the model is and where it runs.

use clap::Args;
use rdpm::model::{Model, open_device};

use super::ModelArguments;

#[derive(Debug, Args)]
pub struct Info {
    #[command(flatten)]
    model: ModelArguments,
}

impl Info {
    pub fn run(self) -> anyhow::Result<()> {
        let folder = self.model.folder()?;
        let model = Model::load(&folder, &open_device(&self.model.device)?)?;
        let config = model.config();
        let (size, grid, channels) = (config.image.size, config.latent.grid, config.image.channels);
        println!("model       {} ({})", config.title, folder.display());
        println!("images      {size} × {size}, {}", if channels == 1 { "grey" } else { "RGB" });
        println!("tokens      {grid} × {grid}, {} codes, {} steps", config.trajectory.codes, config.steps());
        println!("parameters  {}", model.parameters());
        println!("classes     {}", config.classes.join(", "));
        println!("guidance    {}", config.sampling.guidance);
        println!("temperature {}", config.sampling.temperature);
        println!("device      {}", model.device());
        Ok(())
    }
}
