//! A request for images: while it is read, and checked.

use super::error::{FieldError, FieldErrors};
use super::reader::Reader;
use crate::engine::{ModelHandle, Request, SEED_MAX};
use crate::model::{Config, ModelError, SamplingOptions, SamplingSettings};
use crate::picture::Format;

/// The values of a request's fields so far, at first the defaults. Each value is valid by itself.
#[derive(Debug, Clone)]
pub struct GenerationDraft {
    /// That of the prompt if absent.
    pub class: Option<usize>,
    pub options: SamplingOptions,
    /// Random if absent.
    pub seed: Option<u64>,
    pub count: u64,
    /// Depends on the answer if absent.
    pub previews: Option<bool>,
    pub alternatives: bool,
    pub cancel_on_disconnect: bool,
    pub image: Option<Vec<u8>>,
    pub from_step: Option<u64>,
    pub pictures: PictureFormat,
}

/// A checked request for images.
#[derive(Debug)]
pub struct GenerationRequest {
    /// The job and its model. It starts from noise: `init_image` is yet to be decoded.
    pub job: Request,
    pub previews: Option<bool>,
    pub init_image: Option<InitImageFile>,
    pub pictures: PictureFormat,
}

/// The format in which a client wants to see a job's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PictureFormat {
    /// PNG if absent.
    pub format: Option<Format>,
    /// Every pixel becomes a square of this size.
    pub scale: u32,
}

impl Default for PictureFormat {
    fn default() -> Self {
        Self { format: None, scale: 1 }
    }
}

/// An image to vary.
#[derive(Debug)]
pub struct InitImageFile {
    /// A file in any of the formats that are read.
    pub file: Vec<u8>,
    /// Its step to start from.
    pub from_step: u64,
}

impl GenerationDraft {
    /// The defaults of a model.
    pub fn new(config: &Config) -> Self {
        Self {
            class: None,
            options: SamplingOptions::defaults(config),
            seed: None,
            count: 1,
            previews: None,
            alternatives: false,
            cancel_on_disconnect: false,
            image: None,
            from_step: None,
            pictures: PictureFormat::default(),
        }
    }

    /// The request, with a random seed if the draft has none.
    ///
    /// # Errors
    /// The errors of the reader that filled the draft.
    pub fn finish(self, reader: Reader<'_>, model: &ModelHandle) -> Result<GenerationRequest, FieldErrors> {
        reader.finish()?;
        let job = self.job(model).map_err(FieldError::from)?;
        let init_image =
            self.image.zip(self.from_step).map(|(file, from_step)| InitImageFile { file, from_step });
        Ok(GenerationRequest { job, previews: self.previews, init_image, pictures: self.pictures })
    }

    fn job(&self, model: &ModelHandle) -> Result<Request, ModelError> {
        let settings = SamplingSettings::resolve(&model.config, self.class, self.options.clone())?;
        let seed = self.seed.unwrap_or_else(random_seed);
        let job = Request::new(model, settings, seed)?.with_count(self.count)?;
        Ok(job.with_alternatives(self.alternatives).with_cancel_on_disconnect(self.cancel_on_disconnect))
    }
}

/// A seed of all that are allowed.
pub fn random_seed() -> u64 {
    rand::random_range(0..=SEED_MAX)
}
