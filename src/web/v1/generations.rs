//! `/api/v1/generations`: jobs, but for how they are made and their event streams.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::generation::{Generation, Summary};
use crate::engine::{JobId, Snapshot};
use crate::web::App;
use crate::web::keys::KeyName;
use crate::web::ledger::{CLIENT, Client, bad_header};
use crate::web::problem::Problem;
use crate::web::query::Query;

pub(super) const NO_STORE: (header::HeaderName, HeaderValue) =
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store"));

/// How many of a client's generations are listed where nobody says otherwise, and at most.
const LISTED: u32 = 20;
const MAX_LISTED: u32 = 100;

/// A client's generations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Generations {
    /// Newest first.
    generations: Vec<Summary>,
}

/// List your generations
///
/// Those that were made with the same `Rdpm-Client` header, and the same API key where there are keys, newest first. There
/// are no accounts: who knows the token sees the list, so choose one that nobody can guess.
#[utoipa::path(
    get,
    path = "/api/v1/generations",
    operation_id = "listGenerations",
    tag = "Generations",
    params(
        (
            "Rdpm-Client" = String, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generations were made with.",
        ),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "So many at most; 20 unless told."),
    ),
    responses((status = 200, body = Generations)),
)]
pub(super) async fn list(
    State(app): State<App>,
    key: Option<Extension<KeyName>>,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.integer("limit", 1..=MAX_LISTED).unwrap_or(LISTED);
    query.finish()?;
    let client = Client::new(&headers, key.map(|Extension(key)| key))?;
    if !client.is_known() {
        let allowed = "the token that the generations were made with";
        return Err(bad_header(&CLIENT, None, allowed));
    }
    let jobs = app.ledger.jobs(&client);
    let known = jobs.into_iter().filter_map(|id| app.engine.get(id)).take(limit as usize);
    let generations = known.map(|snapshot| Summary::new(&snapshot)).collect();
    Ok(([NO_STORE], Json(Generations { generations })).into_response())
}

/// Get a generation
///
/// Its state, its settings, and the images that are finished. Ended generations are kept for a limited time, 10 minutes
/// unless the server is told otherwise; then the answer is 404.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}",
    operation_id = "getGeneration",
    tag = "Generations",
    params(("id" = String, Path, description = "The generation's id")),
    responses((status = 200, body = Generation)),
)]
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.get(id))?;
    Ok(described(&app, &snapshot))
}

/// Cancel a generation
///
/// Answers 200 with the generation. One that has ended stays as it is: that too is a 200, whose `status` says how it ended,
/// because who cancels wants it to stop, and it has. Images that are finished stay.
#[utoipa::path(
    delete,
    path = "/api/v1/generations/{id}",
    operation_id = "cancelGeneration",
    tag = "Generations",
    params(("id" = String, Path, description = "The generation's id")),
    responses((status = 200, body = Generation)),
)]
pub(super) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.cancel(id))?;
    Ok(described(&app, &snapshot))
}

/// A generation as it stands.
fn described(app: &App, snapshot: &Snapshot) -> Response {
    let generation = Generation::new(snapshot, app.ledger.output(snapshot.id));
    ([NO_STORE], Json(generation)).into_response()
}

/// What `get` finds for the job whose id is spelled `id`, or 404.
pub(super) fn find<T>(id: &str, get: impl FnOnce(JobId) -> Option<T>) -> Result<T, Problem> {
    id.parse().ok().and_then(get).ok_or_else(|| unknown(id))
}

pub(super) fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("There is no generation {id}. Ended ones are kept for a limited time."))
}
