//! `/api/v1/gallery`: the finished pictures of a client that the server's store keeps.

use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::generation::rfc_3339;
use super::generations::not_found;
use crate::engine::{JobId, MAX_COUNT};
use crate::request::{FieldError, shorten};
use crate::store::{Archive, GalleryFilter, GalleryPicture, GalleryRange, PictureChange, Store, StoreError};
use crate::web::access::{CLIENT_HEADER, Client, invalid_header, root_path};
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::request::{Query, SmallBody, read_json_object};
use crate::web::state::AppState;

const DEFAULT_LIMIT: u32 = 50;
const MAX_LIMIT: u32 = 200;
const MAX_SKIP: u32 = 10_000_000;
/// Characters of a filter or a search at most.
const MAX_TEXT: usize = 200;
/// Pictures of an archive at most.
const MAX_DOWNLOAD: usize = 500;
/// A picture never changes; its address is gone when it is deleted.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, max-age=600, immutable");

/// A page of a gallery.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Gallery {
    /// Newest first.
    pictures: Vec<Picture>,
    /// The `cursor` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A picture of a gallery.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = GalleryPicture)]
struct Picture {
    /// The id of its generation.
    generation: String,
    /// Its index in its generation.
    index: u32,
    model: String,
    class: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<String>,
    /// The prompt, or what the picture shows.
    #[serde(skip_serializing_if = "Option::is_none")]
    words: Option<String>,
    seed: u64,
    /// When its generation ended: RFC 3339, UTC.
    #[schema(format = DateTime)]
    created: String,
    favourite: bool,
    /// The picture: a PNG file of the model's own size, with the parameters that made it.
    url: String,
}

impl Picture {
    /// A picture, for a client that reaches the server below the path `root`.
    fn new(picture: GalleryPicture, root: &str) -> Self {
        let GalleryPicture {
            generation, image, model, class, style, words, seed, created, favourite, ..
        } = picture;
        let url = format!("{root}/api/v1/gallery/{generation}/{image}/image.png");
        let (generation, created) = (generation.to_string(), rfc_3339(created));
        Self { generation, index: image, model, class, style, words, seed, created, favourite, url }
    }
}

/// A picture that was deleted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeletedPicture)]
pub(super) struct Deleted {
    /// Until when it can be restored: RFC 3339, UTC.
    #[schema(format = DateTime)]
    undo_until: String,
}

/// Pictures to download.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = PictureDownload)]
#[serde(deny_unknown_fields)]
pub(super) struct Download {
    /// 1 to 500 pictures of the gallery.
    #[schema(min_items = 1, max_items = 500)]
    pictures: Vec<Selected>,
}

/// A picture of a gallery, by its generation and its index there.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SelectedPicture)]
#[serde(deny_unknown_fields)]
struct Selected {
    generation: String,
    #[schema(maximum = 15)]
    index: u32,
}

/// List the pictures of your gallery
///
/// Finished pictures that the server keeps, newest first, in pages: `next` of a page is the `cursor` of the following one. A
/// gallery belongs to an API key where the server has keys, otherwise to the `Rdpm-Client` token. 404 if the server keeps
/// nothing.
#[utoipa::path(
    get,
    path = "/api/v1/gallery",
    operation_id = "listGallery",
    tag = "Gallery",
    params(
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generations were made with; not needed with an API key.",
        ),
        ("cursor" = Option<String>, Query, pattern = "^[0-9]{1,18}$", description = "Where the page begins: `next` of the page before"),
        ("skip" = Option<u32>, Query, maximum = 10000000, description = "Pictures to leave out from there on; 0 by default"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 200, description = "The largest number of pictures of the page; 50 by default"),
        ("model" = Option<String>, Query, description = "Only pictures of this model"),
        ("class" = Option<String>, Query, description = "Only pictures of this class"),
        ("style" = Option<String>, Query, description = "Only pictures in this style"),
        ("favourite" = Option<bool>, Query, description = "Only favourites, or only others"),
        ("search" = Option<String>, Query, description = "Only pictures whose prompt, subject, style, class or model has words that begin with all of these"),
        ("after" = Option<String>, Query, description = "Only pictures of this time or later: RFC 3339, UTC"),
        ("before" = Option<String>, Query, description = "Only pictures before this time: RFC 3339, UTC"),
    ),
    responses((status = 200, description = "A page of pictures", body = Gallery)),
)]
pub(super) async fn list(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let cursor = query.take("cursor", "`next` of another page", |text| {
        let is_number = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| is_number)
    });
    let limit = query.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    let skip = query.integer("skip", 0..=MAX_SKIP).unwrap_or_default();
    let filter = read_filter(&mut query);
    query.finish()?;
    let store = store(&app, &client)?;
    let range = GalleryRange { cursor, skip, limit };
    let page = store.gallery(client.owner(), filter, range).await.map_err(unavailable)?;
    let pictures =
        page.pictures.into_iter().map(|picture| Picture::new(picture, root_path(&headers))).collect();
    Ok(([NO_STORE], Json(Gallery { pictures, next: page.next.map(|next| next.to_string()) })).into_response())
}

/// Get a picture of a gallery
///
/// The PNG file of the model's own size, with the parameters that made it; `rdpm info` prints them. One that was made with an
/// API key needs the same key.
#[utoipa::path(
    get,
    path = "/api/v1/gallery/{generation}/{index}/image.png",
    operation_id = "getGalleryImage",
    tag = "Gallery",
    params(
        ("generation" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The picture's index"),
    ),
    responses((status = 200, description = "The picture", content((Vec<u8> = "image/png")))),
)]
pub(super) async fn image(
    State(app): State<AppState>,
    client: Client,
    Path((generation, index)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let (id, index) = picture_id(&generation, &index)?;
    let store = app.jobs.store().ok_or_else(no_store)?;
    match store.picture(id, index).await.map_err(unavailable)? {
        Some((owner, file)) if client.owner().may_read(&owner) => {
            let headers = [
                (header::CACHE_CONTROL, PRIVATE),
                (header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
            ];
            Ok((headers, file).into_response())
        }
        _ => Err(no_picture(&generation, index)),
    }
}

/// Mark a picture as a favourite
///
/// Its generation is then kept whatever the limits of the store.
#[utoipa::path(
    put,
    path = "/api/v1/gallery/{generation}/{index}/favourite",
    operation_id = "addFavourite",
    tag = "Gallery",
    params(
        ("generation" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The picture's index"),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generation was made with; not needed with an API key.",
        ),
    ),
    responses((status = 204, description = "It is a favourite")),
)]
pub(super) async fn add_favourite(
    State(app): State<AppState>,
    client: Client,
    Path(picture): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    change(&app, &client, &picture, PictureChange::Favourite(true)).await.map(|_| StatusCode::NO_CONTENT)
}

/// Mark a picture as no favourite
#[utoipa::path(
    delete,
    path = "/api/v1/gallery/{generation}/{index}/favourite",
    operation_id = "removeFavourite",
    tag = "Gallery",
    params(
        ("generation" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The picture's index"),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generation was made with; not needed with an API key.",
        ),
    ),
    responses((status = 204, description = "It is no favourite")),
)]
pub(super) async fn remove_favourite(
    State(app): State<AppState>,
    client: Client,
    Path(picture): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    change(&app, &client, &picture, PictureChange::Favourite(false)).await.map(|_| StatusCode::NO_CONTENT)
}

/// Delete a picture
///
/// It can be restored for ten minutes. Then its file is removed, and so is its generation if that has no other picture.
#[utoipa::path(
    delete,
    path = "/api/v1/gallery/{generation}/{index}",
    operation_id = "deletePicture",
    tag = "Gallery",
    params(
        ("generation" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The picture's index"),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generation was made with; not needed with an API key.",
        ),
    ),
    responses((status = 200, description = "It was deleted", body = Deleted)),
)]
pub(super) async fn delete(
    State(app): State<AppState>,
    client: Client,
    Path(picture): Path<(String, String)>,
) -> Result<Response, Problem> {
    let undo = change(&app, &client, &picture, PictureChange::Delete).await?;
    Ok(([NO_STORE], Json(Deleted { undo_until: rfc_3339(SystemTime::now() + undo) })).into_response())
}

/// Restore a deleted picture
#[utoipa::path(
    post,
    path = "/api/v1/gallery/{generation}/{index}/restore",
    operation_id = "restorePicture",
    tag = "Gallery",
    params(
        ("generation" = String, Path, description = "The generation's id"),
        ("index" = u32, Path, maximum = 15, description = "The picture's index"),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generation was made with; not needed with an API key.",
        ),
    ),
    responses((status = 204, description = "It is in the gallery again")),
)]
pub(super) async fn restore(
    State(app): State<AppState>,
    client: Client,
    Path(picture): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    change(&app, &client, &picture, PictureChange::Restore).await.map(|_| StatusCode::NO_CONTENT)
}

/// Download pictures
///
/// A ZIP file of up to 500 pictures of the gallery, in the given order, of 32 MiB at most.
#[utoipa::path(
    post,
    path = "/api/v1/gallery/download",
    operation_id = "downloadPictures",
    tag = "Gallery",
    params((
        "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
        description = "The secret that the generations were made with; not needed with an API key.",
    )),
    request_body = Download,
    responses((status = 200, description = "The ZIP file", content((Vec<u8> = "application/zip")))),
)]
pub(super) async fn download(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
    SmallBody(body): SmallBody,
) -> Result<Response, Problem> {
    let pictures = selected(read_json_object(&headers, &body)?)?;
    let store = store(&app, &client)?;
    match store.archive(client.owner(), pictures).await.map_err(unavailable)? {
        Archive::Made(file) => {
            let headers = [
                NO_STORE,
                (header::CONTENT_TYPE, HeaderValue::from_static("application/zip")),
                (
                    header::CONTENT_DISPOSITION,
                    HeaderValue::from_static("attachment; filename=\"rdpm-pictures.zip\""),
                ),
            ];
            Ok((headers, file).into_response())
        }
        Archive::Missing(generation, image) => Err(no_picture(&generation.to_string(), image)),
        Archive::TooLarge => {
            let detail = "The pictures together are larger than 32 MiB. Download fewer at once.";
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail))
        }
    }
}

/// The parameters that filter a gallery.
pub(super) fn read_filter(query: &mut Query) -> GalleryFilter {
    let mut text = |name| {
        let allowed = format!("text of up to {MAX_TEXT} characters");
        query.take(name, &allowed, |text| (text.chars().count() <= MAX_TEXT).then(|| text.to_owned()))
    };
    let [model, class, style, search] = ["model", "class", "style", "search"].map(&mut text);
    let favourite = query.take("favourite", "true or false", |text| text.parse().ok());
    let mut time = |name| {
        let allowed = "a time as in 2026-01-31T12:00:00Z";
        query.take(name, allowed, |text| humantime::parse_rfc3339_weak(text).ok())
    };
    let [after, before] = ["after", "before"].map(&mut time);
    GalleryFilter { model, class, style, favourite, search, after, before }
}

/// The pictures that a request names.
fn selected(body: serde_json::Map<String, Value>) -> Result<Vec<(JobId, u32)>, Problem> {
    let allowed =
        format!("a list of 1 to {MAX_DOWNLOAD} pictures, each {{\"generation\": ID, \"index\": INDEX}}");
    let value = body.get("pictures").cloned().unwrap_or_default();
    let invalid = || Problem::invalid(FieldError::new("pictures", shortened(&value), allowed.clone()));
    let Download { pictures } = serde_json::from_value(Value::Object(body)).map_err(|_| invalid())?;
    if pictures.is_empty() || pictures.len() > MAX_DOWNLOAD {
        return Err(invalid());
    }
    let id = |picture: &Selected| Some((picture.generation.parse().ok()?, picture.index));
    pictures.iter().map(id).collect::<Option<_>>().ok_or_else(invalid)
}

fn shortened(value: &Value) -> Value {
    match value {
        Value::Null => Value::Null,
        value => shorten(&value.to_string()).into(),
    }
}

/// Changes a picture of the client's gallery. Returns how long a deletion can be undone.
async fn change(
    app: &AppState,
    client: &Client,
    (generation, index): &(String, String),
    change: PictureChange,
) -> Result<Duration, Problem> {
    let (id, image) = picture_id(generation, index)?;
    let store = store(app, client)?;
    if !store.change(client.owner(), id, image, change).await.map_err(unavailable)? {
        return Err(no_picture(generation, image));
    }
    if matches!(change, PictureChange::Delete | PictureChange::Restore) {
        // It is read again, with the pictures that it has now.
        app.jobs.forget(&app.engine, id);
    }
    Ok(store.undo_time())
}

/// The store, for a client that can have a gallery.
pub(super) fn store<'a>(app: &'a AppState, client: &Client) -> Result<&'a Store, Problem> {
    let store = app.jobs.store().ok_or_else(no_store)?;
    if !client.is_known() {
        let allowed = "the token that the generations were made with";
        return Err(invalid_header(&CLIENT_HEADER, None, allowed));
    }
    Ok(store)
}

fn picture_id(generation: &str, index: &str) -> Result<(JobId, u32), Problem> {
    let is_plain = index.bytes().all(|byte| byte.is_ascii_digit());
    let image = index.parse().ok().filter(|image| is_plain && *image < MAX_COUNT);
    let id = generation.parse().map_err(|_| not_found(generation))?;
    image.map(|image| (id, image)).ok_or_else(|| {
        Problem::not_found(format!("There is no picture {}. Pictures have an index.", shorten(index)))
    })
}

fn no_picture(generation: &str, image: u32) -> Problem {
    let generation = shorten(generation);
    Problem::not_found(format!("There is no picture {image} of the generation {generation} in this gallery."))
}

fn no_store() -> Problem {
    Problem::not_found("This server keeps no pictures: it runs without a store (--store).")
}

pub(super) fn unavailable(error: StoreError) -> Problem {
    tracing::warn!(%error, "a gallery is unavailable");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "The gallery is unavailable at present. Try again later.")
}
