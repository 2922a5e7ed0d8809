//! A request to tokenize an image.

use super::error::FieldErrors;
use super::field::{Field, Kind, Required};
use super::generation::random_seed;
use super::reader::Reader;
use crate::engine::ModelHandle;

/// The values of a request's fields so far.
#[derive(Debug, Default)]
pub struct TokenizationDraft {
    pub image: Option<Vec<u8>>,
    pub seed: u64,
}

/// A checked request to tokenize an image.
#[derive(Debug)]
pub struct TokenizationRequest {
    pub model: ModelHandle,
    /// A file in any of the formats that are read.
    pub file: Vec<u8>,
    pub seed: u64,
}

impl TokenizationDraft {
    /// The request.
    ///
    /// # Errors
    /// The errors of the reader that filled the draft.
    pub fn finish(self, reader: Reader<'_>, model: &ModelHandle) -> Result<TokenizationRequest, FieldErrors> {
        reader.finish()?;
        let file = self.image.unwrap_or_default();
        Ok(TokenizationRequest { model: model.clone(), file, seed: self.seed })
    }
}

/// All fields of a tokenization.
pub static TOKENIZATION_FIELDS: &[Field<TokenizationDraft>] = &[
    Field {
        required: Required::Yes,
        ..Field::new(
            "image",
            Kind::Image { set: |draft, file| draft.image = Some(file) },
            "A PNG, JPEG, WebP, GIF or BMP file, as base64 or as a `data:` URL. It is cropped to its central square and scaled \
             to the model's size.",
        )
    },
    Field {
        default: |_| Some(0.into()),
        example: "7",
        ..Field::new(
            "seed",
            Kind::Seed { set: |draft, seed| draft.seed = seed.unwrap_or_else(random_seed) },
            "Seed of the noise that the recurrence starts from, as a number or as text. Random if empty or -1; returned in \
             the answer.",
        )
    },
    Field {
        example: "fashion-mnist",
        ..Field::new("model", Kind::Model, "Name of the model; the server's default if omitted.")
    },
];
