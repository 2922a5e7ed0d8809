//! Reading requests over HTTP: queries (`query`), JSON bodies (`body`), forms (`form`), uploaded images (`upload`), and what
//! the client accepts (`accept`). The fields are defined in `crate::request`.

mod accept;
mod body;
mod form;
mod query;
mod server_origin;
mod upload;

pub(super) use accept::{Representation, negotiate};
pub(super) use body::{SmallBody, has_media_type, read_json_object};
pub(super) use form::read_multipart;
pub(super) use query::Query;
pub(super) use server_origin::server_origin;
pub(super) use upload::{MAX_UPLOADS, UPLOAD_LIMIT, Upload, UploadPermits, open_image};
