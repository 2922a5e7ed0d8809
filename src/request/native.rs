//! Requests whose fields have the names of the tables.

use serde_json::{Map, Value};

use super::branch::Branch;
use super::error::FieldErrors;
use super::generation::{GenerationDraft, GenerationRequest};
use super::generation_fields::GENERATION_FIELDS;
use super::reader::Reader;
use super::tokenization::{TOKENIZATION_FIELDS, TokenizationDraft, TokenizationRequest};
use crate::engine::{JobId, ModelHandle, Snapshot};

impl GenerationRequest {
    /// Reads a request to one of these models, the default first, whose fields have the names of the table. `find`
    /// finds earlier generations, which it may start from.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn read(
        models: &[ModelHandle],
        find: impl Fn(JobId) -> Option<Snapshot>,
        mut values: Map<String, Value>,
    ) -> Result<Self, FieldErrors> {
        let branch = Branch::take(find, &mut values)?;
        let (mut reader, model) = Reader::resolve(models, &mut values);
        let mut draft = GenerationDraft::new(&model.config);
        draft.branch = branch;
        reader.read(GENERATION_FIELDS, &mut values, &mut draft);
        reader.reject_unknown(values);
        draft.finish(reader, model)
    }
}

impl TokenizationRequest {
    /// Reads a request to one of these models, the default first, whose fields have the names of the table.
    ///
    /// # Errors
    /// All invalid fields.
    pub fn read(models: &[ModelHandle], mut values: Map<String, Value>) -> Result<Self, FieldErrors> {
        let (mut reader, model) = Reader::resolve(models, &mut values);
        let mut draft = TokenizationDraft::default();
        reader.read(TOKENIZATION_FIELDS, &mut values, &mut draft);
        reader.reject_unknown(values);
        draft.finish(reader, model)
    }
}
