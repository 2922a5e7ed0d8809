//! What a command starts from: an image file, or a token file.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use image::DynamicImage;
use rdpm::model::{Config, Given, ImageSeed, Model};
use rdpm::picture::{TokenFile, TokenFileError, read_provenance};

use super::ModelArguments;
use super::input::{read_file, read_image};

/// A file that was read.
pub struct Source {
    path: PathBuf,
    /// Of a token file, or of a picture that contains its tokens.
    tokens: Option<TokenFile>,
}

/// The codes of an image, and their noise.
pub struct Tokens {
    pub noise: ImageSeed,
    /// C_1 … C_T, n codes each.
    pub grids: Vec<Vec<u32>>,
}

impl Source {
    /// Reads a file. Whether it is an image is seen later.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let file = read_file(path)?;
        let error = |error: TokenFileError| anyhow!("{} can't be read: {error}", path.display());
        let tokens = match TokenFile::read(&file) {
            Ok(tokens) => Some(tokens),
            Err(TokenFileError::UnknownFormat) => {
                let provenance = read_provenance(Cursor::new(&file)).ok();
                let base64 = provenance.and_then(|provenance| provenance.tokens);
                base64.map(|base64| TokenFile::from_base64(&base64)).transpose().map_err(error)?
            }
            Err(other) => return Err(error(other)),
        };
        Ok(Self { path: path.to_owned(), tokens })
    }

    pub fn token_file(&self) -> Option<&TokenFile> {
        self.tokens.as_ref()
    }

    /// Loads the model of the tokens or, for an image, the default model.
    pub fn load_model(&self, models: &ModelArguments) -> anyhow::Result<Model> {
        match &self.tokens {
            Some(file) => models.load_named(&file.model),
            None => models.load(),
        }
    }

    /// The codes of a token file, or of an image from this noise.
    pub fn tokens(&self, model: &Model, noise: ImageSeed) -> anyhow::Result<Tokens> {
        let Some(file) = &self.tokens else {
            let grids = model.tokenize_from(&self.image(model.config())?, noise)?;
            return Ok(Tokens { noise, grids });
        };
        self.check(file, model.config())?;
        Ok(Tokens { noise: ImageSeed::new(file.seed, file.index), grids: file.grids() })
    }

    /// The image, as the model takes it.
    fn image(&self, config: &Config) -> anyhow::Result<DynamicImage> {
        Ok(read_image(&self.path, config)?.1)
    }

    fn check(&self, file: &TokenFile, config: &Config) -> anyhow::Result<()> {
        let name = self.path.display();
        if file.model != config.name {
            bail!("{name} has tokens of the model {:?}, not of {:?}", file.model, config.name);
        }
        Given::kept(config, &file.grids(), config.steps(), None).with_context(|| name.to_string())?;
        Ok(())
    }
}
