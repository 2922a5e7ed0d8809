//! `/api/v1/generations`: jobs, but for their event streams.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::generation::{Accepted, Generation};
use super::problem::Problem;
use super::{App, BODY_LIMIT, create};
use crate::engine::JobId;

const NO_STORE: (header::HeaderName, &str) = (header::CACHE_CONTROL, "no-store");

/// `POST`: 202 and the job, whose URL is in `Location` too.
pub(super) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Problem> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let detail = format!("The body is larger than {BODY_LIMIT} bytes.");
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail)
        }
        _ => Problem::new(StatusCode::BAD_REQUEST, "The body did not arrive whole."),
    })?;
    let request = create::parse(&headers, &body, app.engine.info())?;
    let id = app.engine.submit(request)?;
    // It may have ended already, but it can't have been forgotten: that would take as many others as are kept.
    let snapshot = app.engine.get(id).ok_or_else(|| unknown(&id.to_string()))?;
    let accepted = Accepted::new(app.engine.info(), &snapshot);
    let location = accepted.location().to_owned();
    Ok((StatusCode::ACCEPTED, [NO_STORE], [(header::LOCATION, location)], Json(accepted)).into_response())
}

/// `GET`: the job and the images that are finished.
pub(super) async fn show(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.get(id))?;
    Ok(([NO_STORE], Json(Generation::new(app.engine.info(), &snapshot))).into_response())
}

/// `DELETE`: cancels the job and answers 200 with it. A job that has ended stays as it is: that too is a 200, whose
/// `status` says how it ended, because who cancels wants it to stop, and it has.
pub(super) async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.cancel(id))?;
    Ok(([NO_STORE], Json(Generation::new(app.engine.info(), &snapshot))).into_response())
}

/// `GET …/images/{index}.png`: one finished image; 404 until it is.
pub(super) async fn image(
    State(app): State<App>,
    Path((id, file)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let snapshot = find(&id, |id| app.engine.get(id))?;
    let index = png_index(&file).filter(|&index| index < snapshot.request.count());
    let Some(index) = index else {
        let last = snapshot.request.count() - 1;
        let detail = format!("{file} is no image of this generation: they are 0.png to {last}.png.");
        return Err(Problem::not_found(detail));
    };
    let Some(image) = snapshot.images.into_iter().find(|image| image.index == index) else {
        let status = snapshot.status.as_str();
        return Err(Problem::not_found(format!("{file} isn't finished; the generation is {status}.")));
    };
    // A finished image never changes; the address dies with the job.
    let headers =
        [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "private, max-age=600, immutable")];
    Ok((headers, image.png).into_response())
}

/// What `get` finds for the job whose id is spelled `id`, or 404.
pub(super) fn find<T>(id: &str, get: impl FnOnce(JobId) -> Option<T>) -> Result<T, Problem> {
    id.parse().ok().and_then(get).ok_or_else(|| unknown(id))
}

/// The number in `7.png`.
pub(super) fn png_index(file: &str) -> Option<u32> {
    let digits = file.strip_suffix(".png")?;
    // `parse` would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn unknown(id: &str) -> Problem {
    Problem::not_found(format!("There is no generation {id}. Ended ones are kept for a limited time."))
}
