//! Reads an image file for a command.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use image::DynamicImage;
use rdpm::model::Config;
use rdpm::picture::{InputError, InputImage, MAX_INPUT_MEMORY, MAX_INPUT_PIXELS, MAX_INPUT_SIDE};

/// The largest file, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Reads an image as the API does. Returns its size, and the image cropped and scaled to the model's size.
pub fn read_image(path: &Path, config: &Config) -> anyhow::Result<((u32, u32), DynamicImage)> {
    let (name, file) = (path.display(), read_file(path)?);
    let image = InputImage::open(file).map(|image| (image.size(), image.decode(config)));
    let decoded = image.and_then(|(size, decoded)| decoded.map(|decoded| (size, decoded)));
    decoded.map_err(|error| anyhow!("{name} can't be decoded: {}", describe(&error)))
}

/// Reads a file of a size that is allowed.
pub fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let name = path.display();
    let mut file = Vec::new();
    File::open(path)
        .and_then(|opened| opened.take(MAX_FILE + 1).read_to_end(&mut file))
        .with_context(|| format!("{name} can't be read"))?;
    if file.len() as u64 > MAX_FILE {
        bail!("{name} can't be decoded: the file is larger than {} MiB", MAX_FILE >> 20);
    }
    Ok(file)
}

/// Width and height of an image in pixels.
pub fn image_size(path: &Path) -> anyhow::Result<(u32, u32)> {
    let image = InputImage::open(read_file(path)?).map(|image| image.size());
    image.map_err(|error| anyhow!("{} can't be decoded: {}", path.display(), describe(&error)))
}

pub fn describe(error: &InputError) -> String {
    match error {
        InputError::UnknownFormat { .. } => "it is not a PNG, JPEG, WebP, GIF or BMP file".into(),
        InputError::Unsupported { media_type, .. } => {
            format!("{media_type} is not supported; convert the file to PNG or JPEG")
        }
        InputError::Damaged { media_type, .. } => format!("the {media_type} file is truncated or damaged"),
        InputError::TooMuchMemory { width, height, media_type } => format!(
            "decoding {width} × {height} pixels of this kind of {media_type} takes more than {} MiB; make the image smaller",
            MAX_INPUT_MEMORY >> 20
        ),
        InputError::TooLarge { width, height, .. } => format!(
            "it has {width} × {height} pixels; allowed: {MAX_INPUT_PIXELS} pixels, {MAX_INPUT_SIDE} on a side"
        ),
    }
}
