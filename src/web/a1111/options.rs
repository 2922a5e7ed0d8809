//! `GET` and `POST /sdapi/v1/options`: AUTOMATIC1111's settings, of which the model is the only one that can be changed.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::models;
use crate::engine::ModelHandle;
use crate::request::{FieldError, shorten_to};
use crate::web::access::Client;
use crate::web::headers::{NO_STORE, append_warnings};
use crate::web::problem::Problem;
use crate::web::request::{Upload, read_json_object};
use crate::web::state::AppState;

/// Ignored settings that a warning names, and the characters of each.
const MAX_NAMED: usize = 20;
const MAX_NAME: usize = 60;

/// The settings.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = A1111Options)]
pub(super) struct Options {
    /// The model that this client has chosen, or the default: its title.
    sd_model_checkpoint: String,
    /// The model's version.
    sd_checkpoint_hash: String,
    /// `Automatic`
    sd_vae: &'static str,
    /// `1`
    #[serde(rename = "CLIP_stop_at_last_layers")]
    clip_stop_at_last_layers: u32,
    /// `png`
    samples_format: &'static str,
    /// `true`
    enable_pnginfo: bool,
    /// `true`
    live_previews_enable: bool,
    /// `1`
    show_progress_every_n_steps: u32,
    /// `RDPM`
    sampler_name: &'static str,
}

/// Settings to change.
#[derive(ToSchema)]
#[schema(as = A1111OptionsChange)]
#[allow(dead_code)] // Documentation of the body.
pub(super) struct Change {
    /// The model that this client's requests use from now on: a title, a name or a hash of `/sdapi/v1/sd-models`. An empty text is
    /// the default.
    #[schema(required = false)]
    sd_model_checkpoint: String,
}

/// Get the options
#[utoipa::path(
    get, path = "/sdapi/v1/options", operation_id = "a1111GetOptions", tag = "AUTOMATIC1111",
    responses((status = 200, description = "The settings", body = Options)),
)]
pub(super) async fn show(State(app): State<AppState>, client: Client) -> Response {
    ([NO_STORE], Json(options(model_of(&app, &client)))).into_response()
}

/// Choose the model
///
/// Other settings are ignored, with a warning, unless they have the values that they have already. The choice holds for this
/// client (its API key, its `Rdpm-Client` token or, without both, its network), in this process. A server with very many clients
/// forgets old choices.
#[utoipa::path(
    post, path = "/sdapi/v1/options", operation_id = "a1111ChooseModel", tag = "AUTOMATIC1111",
    request_body = Change,
    responses((
        status = 200, description = "`null`",
        headers(("Rdpm-Warning" = Option<String>, description = "What was ignored")),
        body = (),
    )),
)]
pub(super) async fn change(
    State(app): State<AppState>,
    client: Client,
    upload: Upload,
) -> Result<Response, Problem> {
    let (upload, mut values) = upload.read(|headers, body| read_json_object(headers, body)).await?;
    drop(upload);
    match values.remove("sd_model_checkpoint") {
        None | Some(Value::Null) => {}
        Some(Value::String(name)) if name.trim().is_empty() => app.a1111.choose(client.clone(), None),
        Some(Value::String(name)) => {
            let found = models::find(&app.engine, &app.model_aliases, &name);
            let model = found.ok_or_else(|| Problem::unknown_model(&name, app.engine.models()))?;
            app.a1111.choose(client.clone(), Some(model.name()));
        }
        Some(value) => return Err(Problem::invalid(FieldError::new("sd_model_checkpoint", value, "text"))),
    }
    // Clients send back all that they got.
    let own = serde_json::to_value(options(model_of(&app, &client))).unwrap_or_default();
    values.remove("sd_checkpoint_hash");
    values.retain(|name, value| own.get(name) != Some(value));
    let mut warnings = Vec::new();
    if !values.is_empty() {
        let named: Vec<String> =
            values.keys().take(MAX_NAMED).map(|name| shorten_to(name, MAX_NAME)).collect();
        let others = values.len() - named.len();
        let others = if others > 0 { format!(" and {others} more") } else { String::new() };
        warnings.push(format!("Ignored: {}{others}.", named.join(", ")));
    }
    let mut response = ([NO_STORE], Json(Value::Null)).into_response();
    append_warnings(response.headers_mut(), &warnings);
    Ok(response)
}

fn model_of<'a>(app: &'a AppState, client: &Client) -> &'a ModelHandle {
    let chosen = app.a1111.choice(client).and_then(|name| app.engine.model(&name));
    chosen.unwrap_or_else(|| app.engine.default_model())
}

fn options(model: &ModelHandle) -> Options {
    Options {
        sd_model_checkpoint: models::title(model),
        sd_checkpoint_hash: model.version.clone(),
        sd_vae: "Automatic",
        clip_stop_at_last_layers: 1,
        samples_format: "png",
        enable_pnginfo: true,
        live_previews_enable: true,
        show_progress_every_n_steps: 1,
        sampler_name: super::infotext::SAMPLER,
    }
}
