//! `rdpm caption`: what an image shows.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::ModelArguments;
use super::input::read_image;
use super::output::print;
use rdpm::model::Guess;

#[derive(Debug, Args)]
pub struct Caption {
    #[command(flatten)]
    model: ModelArguments,
    /// Image to name (PNG, JPEG, WebP, BMP, GIF). It is cropped to its central square and scaled to the model's size.
    #[arg(env = "RDPM_IMAGE")]
    image: PathBuf,
    /// Seed of the noise that the recurrence starts from.
    #[arg(long, env = "RDPM_SEED", default_value_t = 0)]
    seed: u64,
    /// Print JSON: `names` and `words`, each with its probability.
    #[arg(long, env = "RDPM_JSON")]
    json: bool,
}

impl Caption {
    /// Prints the most probable names with their probabilities, one in each line, and then the words.
    pub fn run(self) -> anyhow::Result<()> {
        let model = self.model.load()?;
        let config = model.config();
        let (_, image) = read_image(&self.image, config)?;
        let Some(caption) = model.caption_image(&image, self.seed)? else {
            bail!("{} can't name images: its folder has no captioner.safetensors", config.name);
        };
        if self.json {
            let guesses = |guesses: &[Guess]| -> Vec<Value> {
                let guess = |guess: &Guess| json!({ "text": guess.text, "probability": guess.probability });
                guesses.iter().map(guess).collect()
            };
            let printed = json!({
                "model": config.name,
                "names": guesses(&caption.names),
                "words": guesses(&caption.words),
            });
            return print(format!("{printed}\n"));
        }
        let line = |guess: &Guess| format!("{:5.1} %  {}\n", guess.probability * 100.0, guess.text);
        let names: String = caption.names.iter().map(line).collect();
        let words: Vec<&str> = caption.words.iter().map(|guess| guess.text.as_str()).collect();
        print(format!("{names}words: {}\n", words.join(", ")))
    }
}
