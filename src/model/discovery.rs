//! Finds the models in a folder of weights.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::config::{CONFIG_FILE, Config};
use super::error::ModelError;

/// A folder with a `config.json`.
#[derive(Debug)]
pub struct ModelFolder {
    pub path: PathBuf,
    /// The model's configuration, or why the model can't be used.
    pub config: Result<Config, ModelError>,
}

impl ModelFolder {
    /// The model's name; the folder's name if the configuration can't be used.
    pub fn name(&self) -> String {
        match &self.config {
            Ok(config) => config.name.clone(),
            Err(_) => folder_name(&self.path),
        }
    }
}

/// Finds the models in `weights`: the folder itself if it has a `config.json`, otherwise those of its subfolders that have
/// one, sorted by path. If two models have the same name, the second can't be used.
///
/// # Errors
/// [`ModelError::Read`] if the folder can't be read.
pub fn discover_models(weights: &Path) -> Result<Vec<ModelFolder>, ModelError> {
    let mut folders = Vec::new();
    if weights.join(CONFIG_FILE).is_file() {
        folders.push(weights.to_owned());
    } else {
        let read = |source| ModelError::Read { path: weights.into(), source };
        for entry in std::fs::read_dir(weights).map_err(read)? {
            let path = entry.map_err(read)?.path();
            if path.join(CONFIG_FILE).is_file() {
                folders.push(path);
            }
        }
        folders.sort();
    }
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    let found = folders.into_iter().map(|folder| {
        let config = Config::read(&folder).and_then(|config| match names.get(&config.name) {
            Some(first) => Err(ModelError::Config {
                path: folder.join(CONFIG_FILE),
                reason: format!("name is {:?}, as in {}; names must differ", config.name, first.display()),
            }),
            None => {
                names.insert(config.name.clone(), folder.clone());
                Ok(config)
            }
        });
        ModelFolder { path: folder, config }
    });
    Ok(found.collect())
}

fn folder_name(folder: &Path) -> String {
    // Resolves paths without a name of their own, such as `.` and `weights/..`.
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
