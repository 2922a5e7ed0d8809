//! Sample pictures of the classes, which a weights folder may have as `classes/{index}.png`.

use std::collections::HashMap;
use std::io::Cursor;
use std::path::Path;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, GenericImage};

use super::cached_file::CachedFile;
use crate::model::Config;

/// Quality of the sheet, which is shown small.
const SHEET_QUALITY: u8 = 70;
/// Largest side of a picture on the sheet, in pixels.
const MAX_TILE: u32 = 64;

/// The pictures of each model, by name.
#[derive(Debug, Default)]
pub struct ClassPictures(HashMap<String, ModelPictures>);

#[derive(Debug)]
struct ModelPictures {
    /// One picture or none for each class.
    pictures: Vec<Option<CachedFile>>,
    sheet: Option<CachedFile>,
}

impl ClassPictures {
    /// Reads `FOLDER/classes/{index}.png` for each class of a model. Files that are missing or not PNG are skipped and
    /// logged.
    pub fn read(&mut self, folder: &Path, config: &Config) {
        let read = |index: usize| {
            let path = folder.join("classes").join(format!("{index}.png"));
            match std::fs::read(&path) {
                Ok(bytes) if bytes.starts_with(b"\x89PNG\r\n\x1a\n") => Some(bytes),
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
        let files: Vec<Option<Vec<u8>>> = (0..config.classes.len()).map(read).collect();
        let sheet = sheet(&files, config).map(|bytes| CachedFile::new(bytes.into(), "image/jpeg"));
        let file = |bytes: Vec<u8>| CachedFile::new(bytes.into(), "image/png");
        let pictures = files.into_iter().map(|bytes| bytes.map(file)).collect();
        self.0.insert(config.name.clone(), ModelPictures { pictures, sheet });
    }

    /// The relative URL of a class's picture, if it has one.
    pub(in crate::web) fn url(&self, model: &str, class: usize) -> Option<String> {
        self.get(model, class)?;
        Some(format!("/api/v1/models/{model}/classes/{class}.png"))
    }

    pub(in crate::web) fn get(&self, model: &str, class: usize) -> Option<&CachedFile> {
        self.0.get(model)?.pictures.get(class)?.as_ref()
    }

    /// All pictures of a model in one JPEG file, which is much smaller than the pictures: [`sheet_columns`] in a row.
    pub(in crate::web) fn sheet(&self, model: &str) -> Option<&CachedFile> {
        self.0.get(model)?.sheet.as_ref()
    }
}

/// Columns of the sheet of a model with this many classes: as square as possible.
pub(in crate::web) fn sheet_columns(classes: usize) -> usize {
    (classes as f64).sqrt().ceil() as usize
}

/// A JPEG file; none if a picture is missing, can't be read or has another size than the model's.
fn sheet(files: &[Option<Vec<u8>>], config: &Config) -> Option<Vec<u8>> {
    let own = config.image.size as u32;
    let side = own.min(MAX_TILE);
    let columns = sheet_columns(files.len()).max(1);
    let rows = files.len().div_ceil(columns);
    let (width, height) = (columns as u32 * side, rows as u32 * side);
    let is_grey = config.image.channels == 1;
    let mut sheet =
        if is_grey { DynamicImage::new_luma8(width, height) } else { DynamicImage::new_rgb8(width, height) };
    for (index, bytes) in files.iter().enumerate() {
        let picture = image::load_from_memory(bytes.as_ref()?).ok()?;
        if (picture.width(), picture.height()) != (own, own) {
            return None;
        }
        let picture =
            if side < own { picture.resize_exact(side, side, FilterType::Triangle) } else { picture };
        let (row, column) = ((index / columns) as u32, (index % columns) as u32);
        sheet.copy_from(&picture, column * side, row * side).ok()?;
    }
    let mut bytes = Cursor::new(Vec::new());
    sheet.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, SHEET_QUALITY)).ok()?;
    Some(bytes.into_inner())
}
