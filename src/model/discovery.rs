//! Which models a folder of weights has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::ModelError;
use super::config::{CONFIG_FILE, Config};

/// A model's folder.
#[derive(Debug)]
pub struct ModelFolder {
    pub path: PathBuf,
    /// What it has, or why it can't be used.
    pub config: Result<Config, ModelError>,
}

impl ModelFolder {
    /// The model's name; where its configuration can't be read, its folder's.
    pub fn name(&self) -> String {
        match &self.config {
            Ok(config) => config.name.clone(),
            Err(_) => folder_name(&self.path),
        }
    }
}

/// The models in `weights`: itself, where it has a `config.json`, or its sub-folders that have one, by the folders' names.
/// Of two models of the same name the second can't be used.
///
/// # Errors
/// [`ModelError::Read`] where the folder can't be read.
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
    // `.` and `weights/..` have a name, too.
    let full = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    full.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
