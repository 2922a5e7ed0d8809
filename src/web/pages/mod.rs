//! The page: `index` renders it, `form` reads its settings from an address or a sent form, `pictures` generates the pictures
//! of a form sent without scripts, `link_preview` draws the picture of an address, `static_files` serves scripts and styles.

mod form;
mod index;
mod link_preview;
mod pictures;
mod prompt;
mod static_files;
mod view;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::access::LINK_PREVIEW_PATH;
use super::problem::Problem;
use super::state::AppState;

pub(super) use static_files::static_root;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(index::show).post(index::submit))
        .route(LINK_PREVIEW_PATH, get(link_preview::show))
        .route("/classes/{file}", get(class_sheet))
        .route("/static/{*path}", get(static_files::file))
}

/// `GET /classes/{model}.jpeg`: the sample pictures of all classes, for the page's tiles.
async fn class_sheet(
    State(app): State<AppState>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let sheet = file.strip_suffix(".jpeg").and_then(|model| app.class_pictures.sheet(model));
    let sheet = sheet.ok_or_else(|| Problem::not_found(format!("There is no file /classes/{file}.")))?;
    Ok(sheet.response(&headers))
}
