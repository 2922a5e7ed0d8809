//! Provenance as EXIF data, for WebP and JPEG files.
//!
//! | directory | tag | value |
//! |---|---|---|
//! | 0 | `ImageDescription` | a sentence to read |
//! | 0 | `Software` | `rdpm 0.1.0` |
//! | Exif | `UserComment` | `rdpm ` and [`Provenance`] as JSON in ASCII |

use super::provenance::Provenance;

const IMAGE_DESCRIPTION: u16 = 0x010e;
const SOFTWARE: u16 = 0x0131;
const EXIF_DIRECTORY: u16 = 0x8769;
const USER_COMMENT: u16 = 0x9286;
/// Types of values.
const ASCII: u16 = 2;
const LONG: u16 = 4;
const UNDEFINED: u16 = 7;
/// The character code of the comment.
const ASCII_CODE: &[u8] = b"ASCII\0\0\0";
/// The text before the JSON.
const KEYWORD: &str = "rdpm ";
/// Bytes of the file before the first directory, of an entry, and of a directory without its entries.
const HEADER: u32 = 8;
const ENTRY: u32 = 12;
const DIRECTORY: u32 = 6;

/// Writes the provenance as EXIF data: a TIFF file without an image.
pub(super) fn encode(provenance: &Provenance) -> Vec<u8> {
    let description = [provenance.description().as_bytes(), b"\0"].concat();
    let software = format!("rdpm {}\0", provenance.version).into_bytes();
    let comment =
        [ASCII_CODE, KEYWORD.as_bytes(), escape_non_ascii(&provenance.to_json()).as_bytes()].concat();

    let exif_at = HEADER + DIRECTORY + 3 * ENTRY;
    let description_at = exif_at + DIRECTORY + ENTRY;
    let software_at = description_at + description.len() as u32;
    let comment_at = software_at + software.len() as u32;
    let mut data = b"II*\0".to_vec();
    data.extend(HEADER.to_le_bytes());
    let mut directory = |entries: &[(u16, u16, u32, u32)]| {
        data.extend((entries.len() as u16).to_le_bytes());
        for &(tag, kind, count, value) in entries {
            data.extend(tag.to_le_bytes());
            data.extend(kind.to_le_bytes());
            data.extend(count.to_le_bytes());
            data.extend(value.to_le_bytes());
        }
        data.extend([0; 4]);
    };
    // All values are longer than four bytes, so that each entry has the address of its value.
    directory(&[
        (IMAGE_DESCRIPTION, ASCII, description.len() as u32, description_at),
        (SOFTWARE, ASCII, software.len() as u32, software_at),
        (EXIF_DIRECTORY, LONG, 1, exif_at),
    ]);
    directory(&[(USER_COMMENT, UNDEFINED, comment.len() as u32, comment_at)]);
    data.extend([description, software, comment].concat());
    data
}

/// Finds the provenance's JSON in EXIF data.
pub(super) fn decode(data: &[u8]) -> Option<&str> {
    let tiff = Tiff { data, is_big_endian: data.starts_with(b"MM") };
    let first = tiff.u32(4)?;
    let (_, exif) = tiff.entry(first, EXIF_DIRECTORY)?;
    let (count, at) = tiff.entry(exif, USER_COMMENT)?;
    let comment = data.get(at as usize..)?.get(..count as usize)?;
    std::str::from_utf8(comment.strip_prefix(ASCII_CODE)?).ok()?.strip_prefix(KEYWORD)
}

struct Tiff<'a> {
    data: &'a [u8],
    is_big_endian: bool,
}

impl Tiff<'_> {
    /// Count and value (or its address) of an entry in the directory at an address.
    fn entry(&self, directory: u32, tag: u16) -> Option<(u32, u32)> {
        let entries = u32::from(self.u16(directory)?);
        let mut addresses =
            (0..entries).filter_map(|entry| directory.checked_add(2)?.checked_add(entry * ENTRY));
        let at = addresses.find(|&at| self.u16(at) == Some(tag))?;
        Some((self.u32(at.checked_add(4)?)?, self.u32(at.checked_add(8)?)?))
    }

    fn u16(&self, at: u32) -> Option<u16> {
        let bytes = *self.data.get(at as usize..)?.first_chunk()?;
        Some(if self.is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&self, at: u32) -> Option<u32> {
        let bytes = *self.data.get(at as usize..)?.first_chunk()?;
        Some(if self.is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// Escapes all characters of a JSON text that aren't ASCII.
fn escape_non_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    escaped
}
