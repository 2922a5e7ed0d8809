//! `GET /api/v1/pictures/{model}@{version}/{class}.{format}?seed=…`: a picture by what it shows, drawn where it is not cached.
//!
//! The answer never changes, because the model's version is part of the address. An address without a version, or without a
//! seed, redirects to one that has both.

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use form_urlencoded::Serializer;
use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch, IfRange};
use http_range_header::{RangeUnsatisfiableError, parse_range_header};

use crate::engine::{ModelHandle, Request};
use crate::request::{random_seed, shorten};
use crate::web::access::{Budget, Client, RequestQuota, is_cross_site};
use crate::web::files::{PictureAddress, PictureFile, encode_animation, encode_image};
use crate::web::headers::{NO_STORE, header_value};
use crate::web::jobs::draw;
use crate::web::problem::Problem;
use crate::web::state::AppState;

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Of redirects to the current version, which a cache must ask for each time.
const REVALIDATE: (HeaderName, HeaderValue) = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Get a picture by its address
///
/// Draws the picture, unless it is cached, so that an address can be the source of an image on any page. The answer never
/// changes: `{model}` is a model's name, `@` and its version. The name alone redirects (307) to the current version; another
/// version is 410. Without a seed, the redirect has a random one.
///
/// Where the server has API keys, other sites can embed pictures only with `--open-pictures true`.
// The document adds the options of sampling and `scale`, from their table.
#[utoipa::path(
    get,
    path = "/api/v1/pictures/{model}/{file}",
    operation_id = "getPicture",
    tag = "Pictures",
    params(
        ("model" = String, Path, description = "The model's name, or `NAME@VERSION`"),
        (
            "file" = String, Path,
            description = "The class, by name (with `%2F` for `/`) or index, and the format: `Bag.png`, `8.webp` (lossless), `.jpg`; \
                or of the steps, `.gif` or `.apng`",
        ),
        (
            "seed" = Option<String>, Query,
            description = "Any text. Decimal digits up to the largest seed are the seed itself; of other texts it is the first \
                53 bits of the SHA-256 of the UTF-8. Random if omitted, empty or -1.",
        ),
        ("which" = Option<String>, Query, pattern = "^(tokens|noisy|clean)$", description = "What the steps show; `clean` by default"),
        ("delay" = Option<u32>, Query, minimum = 20, maximum = 5000, description = "Milliseconds for each step, 250 by default"),
    ),
    responses(
        (
            status = 200, description = "The picture",
            headers(("ETag" = String, description = "Strong; the same for the same address")),
            content(
                (Vec<u8> = "image/png"), (Vec<u8> = "image/webp"), (Vec<u8> = "image/jpeg"), (Vec<u8> = "image/gif"),
                (Vec<u8> = "image/apng"),
            ),
        ),
        (status = 206, description = "The part that `Range` asks for"),
        (status = 304, description = "Unchanged"),
        (
            status = 307, description = "The address with the model's version and a seed",
            headers(("Location" = String, description = "Relative to this address")),
        ),
        (status = 410, description = "The model has another version now"),
    ),
)]
#[allow(clippy::too_many_arguments)] // Each is a part of the request.
pub(super) async fn show(
    State(app): State<AppState>,
    client: Client,
    budget: Budget,
    quota: RequestQuota,
    Path((model, file)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (name, version) = match model.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (model.as_str(), None),
    };
    let model = app.engine.model(name).ok_or_else(|| Problem::unknown_model(name, app.engine.models()))?;
    if let Some(other) = version.filter(|version| *version != model.version) {
        return Err(gone(model, other));
    }
    let query = uri.query().unwrap_or_default();
    let address = PictureAddress::read(model, &file, query)?;
    let (Some(_), Some(seed)) = (version, address.seed) else {
        return Ok(redirect(&app, model, &uri, query, address.seed.is_none()));
    };
    check_site(&app, &headers)?;
    let digest = address.digest(model, seed);
    let etag = digest.etag();
    let unchanged = unchanged(&headers, &etag)?;
    if unchanged {
        return Ok((StatusCode::NOT_MODIFIED, cached(&app, &etag)).into_response());
    }
    let request = Request::new(model, address.settings.clone(), seed)?;
    let draw = draw_file(&app, &client, &budget, &quota, request, address.file);
    let bytes = app.renderer.get_or_draw(digest, draw).await?;
    let kind = [(header::CONTENT_TYPE, address.file.media_type())];
    Ok((cached(&app, &etag), kind, part(&method, &headers, &etag, bytes)).into_response())
}

/// Draws an image, and encodes it or its steps.
async fn draw_file(
    app: &AppState,
    client: &Client,
    budget: &Budget,
    quota: &RequestQuota,
    request: Request,
    file: PictureFile,
) -> Result<Bytes, Problem> {
    quota.count()?;
    let snapshot = draw(&app.engine, client, budget, request.with_previews(file.needs_previews())).await?;
    match file {
        PictureFile::Still(options) => encode_image(&app.renderer, budget, &snapshot, 0, options).await,
        PictureFile::Animation(format, parameters) => {
            encode_animation(&app.engine, &app.renderer, budget, &snapshot, format, parameters).await
        }
    }
}

/// 410: the model has another version now.
fn gone(model: &ModelHandle, version: &str) -> Problem {
    let (name, current, version) = (&model.config.name, &model.version, shorten(version));
    let detail = format!(
        "This server no longer draws with version {version} of {name}. The current version is {current}; an address without a \
         version leads to it."
    );
    Problem::new(StatusCode::GONE, detail)
}

/// 307 to the same picture at the current version of its model, or to one with a random seed.
fn redirect(app: &AppState, model: &ModelHandle, uri: &Uri, query: &str, is_random: bool) -> Response {
    // As it was sent: decoding and encoding again could change it.
    let file = uri.path().rsplit('/').next().unwrap_or_default();
    let (query, caching) = if is_random {
        let pairs = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name != "seed");
        let seed = random_seed().to_string();
        let query = Serializer::new(String::new()).extend_pairs(pairs).append_pair("seed", &seed).finish();
        (query, NO_STORE)
    } else {
        (query.to_owned(), REVALIDATE)
    };
    // Relative, so that it holds below any path of a proxy.
    let location = format!("../{}@{}/{file}?{query}", model.config.name, model.version);
    let headers = [caching, (header::LOCATION, header_value(&location))];
    (StatusCode::TEMPORARY_REDIRECT, sharing(app), headers).into_response()
}

/// Which sites may use an answer. Browsers check it of redirects, too.
fn sharing(app: &AppState) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let policy = if app.public_pictures { "cross-origin" } else { "same-origin" };
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static(policy));
    if app.public_pictures {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    }
    headers
}

/// Pages of other sites can only embed what is public: their visitors' browsers may know a key.
fn check_site(app: &AppState, headers: &HeaderMap) -> Result<(), Problem> {
    if is_cross_site(headers) && !app.public_pictures {
        let detail = "Pages of other sites can't embed these pictures. The operator can allow it with --open-pictures true.";
        return Err(Problem::new(StatusCode::FORBIDDEN, detail));
    }
    Ok(())
}

/// The headers of an answer that caches may keep.
fn cached(app: &AppState, etag: &str) -> HeaderMap {
    let mut headers = sharing(app);
    headers.insert(header::ETAG, header_value(etag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let caching = if app.public_pictures { IMMUTABLE } else { "private, max-age=31536000, immutable" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers
}

/// Whether the client has the file already.
///
/// # Errors
/// 412 where it asks for another file.
fn unchanged(headers: &HeaderMap, etag: &str) -> Result<bool, Problem> {
    let Ok(etag) = etag.parse::<ETag>() else { return Ok(false) };
    if headers.typed_get::<IfMatch>().is_some_and(|condition| !condition.precondition_passes(&etag)) {
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "The picture has another ETag."));
    }
    Ok(headers.typed_get::<IfNoneMatch>().is_some_and(|condition| !condition.precondition_passes(&etag)))
}

/// The file, or the part of it that `Range` asks for. Several parts are answered with the whole file.
fn part(method: &Method, headers: &HeaderMap, etag: &str, bytes: Bytes) -> Response {
    let condition = headers.typed_get::<IfRange>();
    let is_other = condition.is_some_and(|condition| condition.is_modified(etag.parse().ok().as_ref(), None));
    let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = range.filter(|_| method == Method::GET && !is_other) else {
        return bytes.into_response();
    };
    let length = bytes.len() as u64;
    match parse_range_header(range).and_then(|ranges| ranges.validate(length)).as_deref() {
        Ok([range]) => {
            let content_range = format!("bytes {}-{}/{length}", range.start(), range.end());
            let part = bytes.slice(*range.start() as usize..=*range.end() as usize);
            (StatusCode::PARTIAL_CONTENT, [(header::CONTENT_RANGE, content_range)], part).into_response()
        }
        Err(RangeUnsatisfiableError::Unsatisfiable) => {
            let content_range = format!("bytes */{length}");
            (StatusCode::RANGE_NOT_SATISFIABLE, [(header::CONTENT_RANGE, content_range)]).into_response()
        }
        _ => bytes.into_response(),
    }
}
