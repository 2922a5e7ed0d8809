//! `/api/v1/generations`: listing, reading and canceling jobs.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::generation::{Generation, Summary};
use crate::engine::{JobId, Snapshot};
use crate::request::shorten;
use crate::web::access::{CLIENT_HEADER, Client, invalid_header, root_path};
use crate::web::headers::NO_STORE;
use crate::web::problem::Problem;
use crate::web::request::Query;
use crate::web::state::AppState;

/// Generations in a list, by default and at most.
const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// A client's generations.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Generations {
    /// Newest first.
    generations: Vec<Summary>,
}

/// List your generations
///
/// The generations that were made with the same `Rdpm-Client` header, and the same API key where the server has keys,
/// newest first. There are no accounts: anyone who knows the token sees the list, so choose one that nobody can guess.
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
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "The largest number of generations to list; 20 by default."),
    ),
    responses((status = 200, description = "The generations, newest first", body = Generations)),
)]
pub(super) async fn list(
    State(app): State<AppState>,
    client: Client,
    headers: HeaderMap,
    mut query: Query,
) -> Result<Response, Problem> {
    let limit = query.integer("limit", 1..=MAX_LIMIT).unwrap_or(DEFAULT_LIMIT);
    query.finish()?;
    if !client.is_known() {
        let allowed = "the token that the generations were made with";
        return Err(invalid_header(&CLIENT_HEADER, None, allowed));
    }
    let jobs = app.jobs.jobs_of(&app.engine, &client, limit).await?;
    let generations = jobs.iter().map(|snapshot| Summary::new(snapshot, root_path(&headers))).collect();
    Ok(([NO_STORE], Json(Generations { generations })).into_response())
}

/// Get a generation
///
/// Its state, its settings, and the finished images. Ended generations are kept for a limited time, 10 minutes by default, or as
/// long as the server's store allows; after that the answer is 404.
#[utoipa::path(
    get,
    path = "/api/v1/generations/{id}",
    operation_id = "getGeneration",
    tag = "Generations",
    params(("id" = String, Path, description = "The generation's id")),
    responses((status = 200, description = "The generation", body = Generation)),
)]
pub(super) async fn show(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = find(&app, &id, |id| app.engine.get(id)).await?;
    Ok(respond_with(&app, &snapshot, &headers))
}

/// Cancel a generation
///
/// Answers 200 with the generation. Finished images are kept. A generation that was made with an API key or with an
/// `Rdpm-Client` header can be canceled only with the same; otherwise the answer is 403. A generation that has already ended is not changed; the
/// answer is 200 as well, and its `status` says how it ended.
#[utoipa::path(
    delete,
    path = "/api/v1/generations/{id}",
    operation_id = "cancelGeneration",
    tag = "Generations",
    params(
        ("id" = String, Path, description = "The generation's id"),
        (
            "Rdpm-Client" = Option<String>, Header, pattern = r"^[A-Za-z0-9._~\-]{16,128}$",
            description = "The secret that the generation was made with.",
        ),
    ),
    responses((status = 200, description = "The generation", body = Generation)),
)]
pub(super) async fn cancel(
    State(app): State<AppState>,
    client: Client,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let job = find(&app, &id, |id| app.engine.contains(id).then_some(id)).await?;
    if !app.jobs.may_cancel(&app.engine, &client, job) {
        let detail = "This generation belongs to another client. Send the API key and the Rdpm-Client header that it was made with.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    let snapshot = app.engine.cancel(job).await?.ok_or_else(|| not_found(&id))?;
    Ok(respond_with(&app, &snapshot, &headers))
}

/// The current state of a generation.
fn respond_with(app: &AppState, snapshot: &Snapshot, headers: &HeaderMap) -> Response {
    let generation =
        Generation::new(snapshot, app.jobs.format(&app.engine, snapshot.id)).below(root_path(headers));
    ([NO_STORE], Json(generation)).into_response()
}

/// The result of `get` for the job with this id.
///
/// # Errors
/// 404 where there is none, 503 where that can't be found out.
pub(super) async fn find<T>(
    app: &AppState,
    id: &str,
    get: impl FnOnce(JobId) -> Option<T>,
) -> Result<T, Problem> {
    let job = id.parse().map_err(|_| not_found(id))?;
    let is_known = app.jobs.recall(&app.engine, job).await?;
    is_known.then(|| get(job)).flatten().ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: &str) -> Problem {
    Problem::not_found(format!(
        "There is no generation {}. Ended generations are kept for a limited time.",
        shorten(id)
    ))
}
