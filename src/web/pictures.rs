//! Sample pictures of the classes, which a weights folder may have as `classes/{index}.png`.

use std::collections::HashMap;
use std::path::Path;

use super::static_files::File;
use crate::model::Config;

/// For each model, by name, one picture or none for each class; in memory.
#[derive(Debug, Default)]
pub struct ClassPictures(HashMap<String, Vec<Option<File>>>);

impl ClassPictures {
    /// Reads `FOLDER/classes/0.png` to the last class's of a model. One that is missing or no PNG file is left out with a
    /// line in the log: the page does without.
    pub fn read(&mut self, folder: &Path, config: &Config) {
        let read = |index: usize| {
            let path = folder.join("classes").join(format!("{index}.png"));
            match std::fs::read(&path) {
                Ok(bytes) if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => {
                    Some(File::new(bytes.into(), "image/png"))
                }
                Ok(_) => {
                    tracing::warn!(path = %path.display(), "a class picture is no PNG file");
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

    pub(super) fn get(&self, model: &str, class: usize) -> Option<&File> {
        self.0.get(model)?.get(class)?.as_ref()
    }
}
