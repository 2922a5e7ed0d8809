//! Requests, defined once.
//!
//! [`GENERATION_FIELDS`] is the table of all fields of a generation: for each its name, type, range, default, description and
//! an example. JSON bodies, forms, query strings and command-line flags are read by it; error messages, the OpenAPI schema,
//! the limits that `/api/v1/models` lists and the page's inputs follow from it.
//!
//! **To add a field:** add an entry to [`GENERATION_FIELDS`], which stores its value in a [`GenerationDraft`]. If the sampler
//! uses it, add it to [`SamplingOptions`](crate::model::SamplingOptions): it then appears in answers and in picture files.
//!
//! A dialect (the REST API, OpenAI's API, the page's form, the command line) has a [`Reader`] that fills a draft and collects
//! what is wrong with any field, and gets a [`GenerationRequest`] from it: resolved, valid, never checked again. Fields of one
//! dialect only are a table of its own, read by the same reader.
//!
//! What belongs here: the fields and their values. What doesn't: HTTP (`web`), and what is done with a request (`engine`).

mod branch;
mod error;
mod field;
mod generation;
mod generation_fields;
mod interpolation;
mod interpolation_end;
mod interpolation_fields;
mod native;
mod reader;
mod schema;
mod tokenization;

pub use branch::Branch;
pub use error::{FieldError, FieldErrors, MAX_ERRORS, shorten, shorten_to};
pub use field::{Field, FormInput, Kind, Limit, LimitName, RangeEnd, Required};
pub use generation::{
    FreeCells, GenerationDraft, GenerationRequest, InitImageFile, PictureFormat, random_seed,
};
pub use generation_fields::{
    COUNT, GENERATION_FIELDS, MAX_WEBHOOK, MODEL, SCALE, SEED, numeric_sampling_fields, sampling_fields,
};
pub use interpolation::{EndRequest, InterpolationRequest};
pub use interpolation_end::EndSource;
pub use interpolation_fields::{
    INTERPOLATION_FIELDS, InterpolationDraft, drawn_fields, interpolation_end_schema,
};
pub use reader::{IMAGES, Reader, image_from_base64, integer, model_names, text_value};
pub use schema::{ObjectSchema, choice_schemas, defaults_schema, limits, limits_schema, option_schemas};
pub use tokenization::{TOKENIZATION_FIELDS, TokenizationDraft, TokenizationRequest};
