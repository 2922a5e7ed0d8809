//! Reading requests over HTTP: queries (`query`), JSON bodies (`body`), forms (`form`), uploaded images (`upload`, and
//! `starting_image` for those that a generation starts from), what the client accepts (`accept`), and the address that it used (`base_url`). The fields are defined in `crate::request`.

mod accept;
mod base_url;
mod body;
mod form;
mod query;
mod starting_image;
mod upload;

pub(super) use accept::{Representation, negotiate};
pub(super) use base_url::base_url;
pub(super) use body::{SmallBody, has_media_type, is_form, read_json_object};
pub(super) use form::{form_parts, read_multipart};
pub(super) use query::Query;
pub(super) use starting_image::starting_job;
pub(super) use upload::{
    MAX_UPLOADS, UPLOAD_LIMIT, Upload, UploadPermits, decode_image, inspect_image, open_image, open_mask,
    pixel_cost,
};
