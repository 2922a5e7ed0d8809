//! Sample pictures of the classes, which a weights folder may have as `classes/{index}.png`.

use std::collections::HashMap;
use std::path::Path;

use super::cached_file::CachedFile;
use crate::model::Config;

/// For each model, by name, one picture or none for each class.
#[derive(Debug, Default)]
pub struct ClassPictures(HashMap<String, Vec<Option<CachedFile>>>);

impl ClassPictures {
    /// Reads `FOLDER/classes/{index}.png` for each class of a model. Files that are missing or not PNG are skipped and
    /// logged.
    pub fn read(&mut self, folder: &Path, config: &Config) {
        let read = |index: usize| {
            let path = folder.join("classes").join(format!("{index}.png"));
            match std::fs::read(&path) {
                Ok(bytes) if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => {
                    Some(CachedFile::new(bytes.into(), "image/png"))
                }
                Ok(_) => {
                    tracing::warn!(path = %path.display(), "a class picture is not a PNG file");
                    None
                }
                Err(error) => {
                    tracing::debug!(path = %path.display(), %error, "a class has no picture");
                    None
                }
            }
        };
        self.0.insert(config.name.clone(), (0..config.classes.len()).map(read).collect());
    }

    /// The relative URL of a class's picture, if it has one.
    pub(in crate::web) fn url(&self, model: &str, class: usize) -> Option<String> {
        self.get(model, class)?;
        Some(format!("/api/v1/models/{model}/classes/{class}.png"))
    }

    pub(in crate::web) fn get(&self, model: &str, class: usize) -> Option<&CachedFile> {
        self.0.get(model)?.get(class)?.as_ref()
    }
}
