//! The provenance in PNG files: which text chunks are written, and how they are read.
//!
//! | chunk | keyword | text |
//! |---|---|---|
//! | `tEXt` | `Software` | `rdpm 0.1.0` |
//! | `iTXt` | `Title` | the class |
//! | `iTXt` | `Description` | a sentence to read |
//! | `iTXt` | `rdpm` | [`Provenance`] as JSON |
//! | `tEXt` | `parameters` | the settings as the programs around Stable Diffusion write them, where a client speaks their API |
//!
//! All are uncompressed and come before the pixels. `parameters` is `iTXt` where it has characters beyond Latin-1.

use std::io::{BufRead, Seek, Write};

use png::Encoder;

use super::error::MetadataError;
use super::provenance::Provenance;

/// The keyword of the JSON.
const KEYWORD: &str = "rdpm";
/// The keyword of the settings for other programs.
const PARAMETERS: &str = "parameters";
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

/// Adds the settings for other programs.
pub(super) fn write_parameters<W: Write>(
    encoder: &mut Encoder<'_, W>,
    parameters: &str,
) -> Result<(), png::EncodingError> {
    let is_latin_1 = parameters.chars().all(|letter| u32::from(letter) <= 0xff);
    if is_latin_1 {
        encoder.add_text_chunk(PARAMETERS.into(), parameters.into())
    } else {
        encoder.add_itxt_chunk(PARAMETERS.into(), parameters.into())
    }
}

/// The keywords and texts before the pixels of a PNG file, of any program, up to the first that is damaged or too long.
///
/// # Errors
/// [`MetadataError::Png`] if the file isn't a PNG file.
pub fn read_texts(file: impl BufRead + Seek) -> Result<Vec<(String, String)>, MetadataError> {
    let decoder = png::Decoder::new_with_limits(file, png::Limits { bytes: READ_LIMIT });
    let reader = decoder.read_info()?;
    let info = reader.info();
    let (mut texts, mut left) = (Vec::new(), READ_LIMIT);
    for chunk in &info.uncompressed_latin1_text {
        texts.push((chunk.keyword.clone(), chunk.text.clone()));
    }
    for chunk in &info.compressed_latin1_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(left).is_err() {
            break;
        }
        let Ok(text) = chunk.get_text() else { break };
        left = left.saturating_sub(text.len());
        texts.push((chunk.keyword, text));
    }
    for chunk in &info.utf8_text {
        let mut chunk = chunk.clone();
        if chunk.decompress_text_with_limit(left).is_err() {
            break;
        }
        let Ok(text) = chunk.get_text() else { break };
        left = left.saturating_sub(text.len());
        texts.push((chunk.keyword, text));
    }
    Ok(texts)
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
