//! The page: `index` renders it, `form` reads its settings from an address or a sent form, `pictures` generates the pictures
//! of a form sent without scripts, `link_preview` draws the picture of an address, `static_files` serves scripts and styles.

mod form;
mod index;
mod link_preview;
mod pictures;
mod static_files;
mod view;

use axum::routing::get;
use axum::{Extension, Router};

use super::access::LINK_PREVIEW_PATH;
use super::state::AppState;

pub(super) use static_files::static_root;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(index::show).post(index::submit))
        .route(LINK_PREVIEW_PATH, get(link_preview::show))
        .route("/static/{*path}", get(static_files::file))
        .layer(Extension(link_preview::LinkPreviews::default()))
}
