//! Reading the arguments of tools.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::caller::Caller;
use super::resources::{SCHEME, read_picture};
use crate::request::{FieldError, FieldErrors};
use crate::web::problem::Problem;
use crate::web::state::AppState;

/// The arguments of a call.
pub(super) type Arguments = Map<String, Value>;

/// # Errors
/// 422 for the first argument that isn't known.
pub(super) fn check_names(arguments: &Arguments, known: &[&str]) -> Result<(), Problem> {
    let Some((name, value)) = arguments.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let allowed = match known {
        [] => "no arguments".to_owned(),
        known => format!("the arguments {}", known.join(", ")),
    };
    Err(Problem::invalid(FieldError::new(name, value.clone(), allowed)))
}

/// Replaces the addresses of pictures that a tool has returned by the pictures.
///
/// # Errors
/// 422 where there is no such picture.
pub(super) async fn load_pictures(
    app: &AppState,
    caller: &Caller,
    arguments: &mut Arguments,
) -> Result<(), Problem> {
    for name in ["image", "mask"] {
        let Some(value) = arguments.get_mut(name) else { continue };
        let Some(uri) = value.as_str().filter(|text| text.starts_with(SCHEME)) else { continue };
        match read_picture(app, caller, uri).await {
            Ok(file) => *value = STANDARD.encode(&file).into(),
            Err(problem) if problem.status.is_client_error() && problem.retry_after().is_none() => {
                let allowed = "the address of a picture that a tool returned, and that is still kept";
                return Err(Problem::invalid(FieldError::new(name, value.take(), allowed)));
            }
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}

/// Reads arguments on a thread that may block: they may contain large images.
///
/// # Errors
/// 422 for the invalid ones.
pub(super) async fn read<T: Send + 'static>(
    reader: impl FnOnce() -> Result<T, FieldErrors> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(reader).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(Problem::internal("The arguments could not be read.", &error)),
    }
}
