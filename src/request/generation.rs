//! A request for images: while it is read, and checked.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::branch::{Branch, GivenCodes};
use super::error::{FieldError, FieldErrors};
use super::reader::Reader;
use crate::engine::{ModelHandle, Request, SEED_MAX};
use crate::model::{Config, ModelError, SamplingOptions, SamplingSettings};
use crate::picture::{Format, MAX_SCALE};

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
    pub mask: Option<Vec<u8>>,
    pub cells: Option<Vec<bool>>,
    pub(super) tokens: Option<GivenCodes>,
    /// The index of the first image.
    pub index: u64,
    pub(super) branch: Option<Branch>,
    pub pictures: PictureFormat,
    pub webhook: Option<String>,
}

/// A checked request for images.
#[derive(Debug)]
pub struct GenerationRequest {
    /// The job and its model. It starts from noise: `init_image`, `branch` and `free` are yet to be decoded and applied.
    pub job: Request,
    pub previews: Option<bool>,
    pub init_image: Option<InitImageFile>,
    pub branch: Option<Branch>,
    /// What is drawn again of the image or of the branch; `None`: everything.
    pub free: Option<FreeCells>,
    pub pictures: PictureFormat,
    /// Who is told of the end; whether this address is allowed isn't checked.
    pub webhook: Option<String>,
}

/// The format in which a client wants to see a job's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureFormat {
    /// PNG if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Every pixel becomes a square of this size.
    #[serde(deserialize_with = "read_scale")]
    pub scale: u32,
}

impl Default for PictureFormat {
    fn default() -> Self {
        Self { format: None, scale: 1 }
    }
}

/// Reads a scale that was written, perhaps by somebody else.
fn read_scale<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(u32::deserialize(deserializer)?.clamp(1, MAX_SCALE))
}

/// An image to vary or to edit.
#[derive(Debug)]
pub struct InitImageFile {
    /// A file in any of the formats that are read.
    pub file: Vec<u8>,
    /// Its step to start from.
    pub from_step: u64,
}

/// The cells of an image that are drawn again.
#[derive(Debug)]
pub enum FreeCells {
    /// n entries, row by row.
    Cells(Vec<bool>),
    /// The file of a mask.
    Mask(Vec<u8>),
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
            mask: None,
            cells: None,
            tokens: None,
            index: 0,
            branch: None,
            pictures: PictureFormat::default(),
            webhook: None,
        }
    }

    /// The request, with a random seed if the draft has none.
    ///
    /// # Errors
    /// The errors of the reader that filled the draft.
    pub fn finish(
        self,
        mut reader: Reader<'_>,
        model: &ModelHandle,
    ) -> Result<GenerationRequest, FieldErrors> {
        self.check_origin(&mut reader);
        reader.finish()?;
        let mut job = self.job(model).map_err(FieldError::from)?;
        let free = self.cells.map(FreeCells::Cells).or(self.mask.map(FreeCells::Mask));
        let mut branch = self.branch;
        if let Some((given, noise)) = self.tokens {
            let noise = noise.unwrap_or(job.draws(0));
            match free {
                None => job = job.with_given(given, noise),
                Some(_) => branch = Branch::of_tokens(&given, noise),
            }
        }
        let from_step = self.from_step.unwrap_or(0);
        let init_image = self.image.map(|file| InitImageFile { file, from_step });
        let (previews, pictures, webhook) = (self.previews, self.pictures, self.webhook);
        Ok(GenerationRequest { job, previews, init_image, branch, free, pictures, webhook })
    }

    /// An image starts from noise, from one image, or from tokens.
    fn check_origin(&self, reader: &mut Reader<'_>) {
        let has_free_cells = self.mask.is_some() || self.cells.is_some();
        let mut origins = Vec::new();
        origins.extend(self.image.is_some().then_some("image"));
        origins.extend(self.branch.is_some().then_some("from"));
        origins.extend(self.tokens.is_some().then_some("tokens"));
        if let [first, second, ..] = origins[..] {
            reader.reject(second, Value::Bool(true), format!("null: the images start from `{first}`"));
        }
        if self.mask.is_some() && self.cells.is_some() {
            reader.reject("cells", Value::Bool(true), "null: `mask` says what is drawn again");
        }
        if let Some((given, _)) = &self.tokens
            && has_free_cells
            && given.tokens().is_none()
        {
            reader.reject(
                "tokens",
                Value::Bool(true),
                "codes without null: `mask` or `cells` says what is drawn again",
            );
        }
        if has_free_cells && self.image.is_none() && self.branch.is_none() && self.tokens.is_none() {
            let field = if self.mask.is_some() { "mask" } else { "cells" };
            reader.reject(field, Value::Bool(true), "null without `image`, `from` or `tokens`");
        }
    }

    fn job(&self, model: &ModelHandle) -> Result<Request, ModelError> {
        let settings = SamplingSettings::resolve(&model.config, self.class, self.options.clone())?;
        let seed = self.seed.unwrap_or_else(random_seed);
        let job = Request::new(model, settings, seed)?.with_count(self.count)?;
        let job = job.with_first(self.index as u32);
        Ok(job.with_alternatives(self.alternatives).with_cancel_on_disconnect(self.cancel_on_disconnect))
    }
}

/// A seed of all that are allowed.
pub fn random_seed() -> u64 {
    rand::random_range(0..=SEED_MAX)
}
