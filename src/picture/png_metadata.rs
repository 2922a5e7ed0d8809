//! The provenance in PNG files: which text chunks are written, and how they are read.
//!
//! | chunk | keyword | text |
//! |---|---|---|
//! | `tEXt` | `Software` | `rdpm 0.1.0` |
//! | `iTXt` | `Title` | the class |
//! | `iTXt` | `Description` | a sentence to read |
//! | `iTXt` | `rdpm` | [`Provenance`] as JSON |
//!
//! All are uncompressed and come before the pixels.

use std::io::{BufRead, Seek, Write};

use png::Encoder;

use super::error::MetadataError;
use super::provenance::Provenance;

/// The keyword of the JSON.
const KEYWORD: &str = "rdpm";
/// The maximum of memory in bytes that reading metadata may allocate.
const READ_LIMIT: usize = 1 << 20;

/// Adds the text chunks to a PNG file that is about to be written.
pub(super) fn write_provenance<W: Write>(
    encoder: &mut Encoder<'_, W>,
    provenance: &Provenance,
) -> Result<(), png::EncodingError> {
    encoder.add_text_chunk("Software".into(), format!("rdpm {}", provenance.version))?;
    encoder.add_itxt_chunk("Title".into(), provenance.class.clone())?;
    encoder.add_itxt_chunk("Description".into(), provenance.description())?;
    encoder.add_itxt_chunk(KEYWORD.into(), provenance.to_json())
}

/// Reads the provenance's JSON from a PNG file. The pixels aren't read.
///
/// # Errors
/// [`MetadataError::Png`] if the file isn't a PNG file, [`MetadataError::Missing`] if it has no provenance.
pub(super) fn read_json(file: impl BufRead + Seek) -> Result<String, MetadataError> {
    let decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: READ_LIMIT });
    let reader = decoder.read_info()?;
    let mut texts = reader.info().utf8_text.iter();
    let chunk = texts.find(|chunk| chunk.keyword == KEYWORD).ok_or(MetadataError::Missing)?;
    let mut chunk = chunk.clone();
    chunk.decompress_text_with_limit(READ_LIMIT)?;
    Ok(chunk.get_text()?)
}
