//! Reading requests: queries (`query`), JSON bodies (`body`), uploaded images (`upload`), and what the client accepts
//! (`accept`).

mod accept;
mod body;
mod check;
mod query;
mod upload;

pub(super) use accept::{Representation, negotiate};
pub(super) use body::{BODY_LIMIT, has_media_type, read_json, whole_body};
pub(super) use check::{Check, Sampling, integer, model_names};
pub(super) use query::Query;
pub(super) use upload::{IMAGES, Upload, UploadPermits, decode_base64, open_image};
