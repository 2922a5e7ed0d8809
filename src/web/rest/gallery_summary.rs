//! `/api/v1/gallery/summary`: how many pictures a gallery has, of which models, classes and styles.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::gallery::{read_filter, store, unavailable};
use crate::web::access::Client;
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// How many pictures of a gallery match a filter.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GallerySummary)]
pub(super) struct Summary {
    /// All pictures that match.
    pictures: u64,
    /// The same by model, class and style.
    groups: Vec<Group>,
}

/// The pictures of a model, a class and a style.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GalleryGroup)]
struct Group {
    model: String,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<String>,
    pictures: u64,
}

/// Count the pictures of your gallery
///
/// How many pictures match, and of which models, classes and styles they are. The filters are those of the list.
#[utoipa::path(
    get,
    path = "/api/v1/gallery/summary",
    operation_id = "getGallerySummary",
    tag = "Gallery",
    params(
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generations were made with; not needed with an API key.",
        ),
        ("model" = Option<String>, Query, description = "Only pictures of this model"),
        ("class" = Option<String>, Query, description = "Only pictures of this class"),
        ("style" = Option<String>, Query, description = "Only pictures in this style"),
        ("favourite" = Option<bool>, Query, description = "Only favourites, or only others"),
        ("search" = Option<String>, Query, description = "Only pictures whose prompt, subject, style, class or model has words that begin with all of these"),
        ("after" = Option<String>, Query, description = "Only pictures of this time or later: RFC 3339, UTC"),
        ("before" = Option<String>, Query, description = "Only pictures before this time: RFC 3339, UTC"),
    ),
    responses((status = 200, description = "The numbers of pictures", body = Summary)),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    client: Client,
    mut query: Query,
) -> Result<Response, Problem> {
    let filter = read_filter(&mut query);
    query.finish()?;
    let store = store(&app, &client)?;
    let groups = store.gallery_groups(client.owner(), filter).await.map_err(unavailable)?;
    let groups: Vec<Group> = groups
        .into_iter()
        .map(|group| Group {
            model: group.model,
            class: group.class,
            style: group.style,
            pictures: group.pictures,
        })
        .collect();
    let pictures = groups.iter().map(|group| group.pictures).sum();
    Ok(([NO_STORE], Json(Summary { pictures, groups })).into_response())
}
