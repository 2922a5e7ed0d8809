//! Reads the provenance from a picture's file.

use std::io::{BufRead, Read, Seek, SeekFrom};

use super::error::MetadataError;
use super::provenance::Provenance;
use super::{exif, jpeg, png_metadata, webp};

/// The largest WebP or JPEG file that is searched, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Reads the provenance from a PNG, WebP or JPEG file. The pixels of a PNG file aren't read.
///
/// # Errors
/// [`MetadataError`] if the file has another format, no provenance, or one that is invalid.
pub fn read_provenance(mut file: impl BufRead + Seek) -> Result<Provenance, MetadataError> {
    let mut start = Vec::new();
    file.by_ref().take(12).read_to_end(&mut start)?;
    file.seek(SeekFrom::Start(0))?;
    let is_webp = start.starts_with(b"RIFF") && start.ends_with(b"WEBP");
    let provenance: Provenance = if is_webp || start.starts_with(&[0xff, 0xd8]) {
        let mut whole = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut whole)?;
        let (name, data) =
            if is_webp { ("WebP", webp::find_exif(&whole)) } else { ("JPEG", jpeg::find_exif(&whole)) };
        let json = data.and_then(exif::decode).ok_or(MetadataError::MissingExif(name))?;
        serde_json::from_str(json)?
    } else {
        serde_json::from_str(&png_metadata::read_json(file)?)?
    };
    // The command line prints the texts, and a terminal would interpret control characters.
    if provenance.texts().any(|text| text.chars().any(char::is_control)) {
        return Err(MetadataError::ControlCharacters);
    }
    Ok(provenance)
}
