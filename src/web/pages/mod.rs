//! The page: `index` renders it, `form` reads its settings from an address or a sent form, `pictures` generates the pictures
//! of a form sent without scripts, `static_files` serves scripts and styles.

mod form;
mod index;
mod pictures;
mod static_files;
mod view;

use axum::Router;
use axum::routing::get;

use super::state::AppState;

pub(super) use static_files::static_root;

pub(super) fn routes() -> Router<AppState> {
    Router::new()
        .route("/", get(index::show).post(index::submit))
        .route("/static/{*path}", get(static_files::file))
}
