//! Token files: an image as its token grids, in binary (`.rdpm`) or as JSON. `docs/tokens.md` describes both.
//!
//! The noise that the grids are added to follows from the seed and the index, so a file and the weights of its model
//! determine the image.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The value of `format` in JSON.
const FORMAT: &str = "rdpm-tokens/1";
/// The first bytes of a binary file: a name and the version of the format.
const MAGIC: &[u8] = b"RDPM\x01";
/// The most codes of a file. Models have a few thousand.
const MAX_CODES: usize = 1 << 20;
/// The most bits of a code.
const MAX_BITS: u32 = 16;

/// The tokens of an image, and what else determines its pixels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFile {
    /// `rdpm-tokens/1`
    format: String,
    /// Name of the model.
    pub model: String,
    /// Version of the model's weights, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The seed of the noise.
    pub seed: u64,
    /// The index of the image whose noise it is.
    #[serde(default)]
    pub index: u32,
    /// T grids of h rows of h codes.
    tokens: Vec<Vec<Vec<u32>>>,
}

/// Why a token file can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFileError {
    #[error("it is not a token file")]
    UnknownFormat,
    #[error("it is truncated or damaged")]
    Damaged,
    #[error("its grids are not squares of the same size")]
    Shape,
    #[error("it has more than {MAX_CODES} codes, or a code of more than {MAX_BITS} bits")]
    TooLarge,
    #[error("it is not the JSON of a token file: {0}")]
    Json(String),
}

impl TokenFile {
    /// A file of T grids of n codes each, row by row.
    ///
    /// # Errors
    /// [`TokenFileError::Shape`] if the grids aren't squares of the same size, and [`TokenFileError::TooLarge`].
    pub fn new(
        model: &str,
        version: Option<&str>,
        seed: u64,
        index: u32,
        grids: &[Vec<u32>],
    ) -> Result<Self, TokenFileError> {
        let side = grids.first().map_or(0, |grid| grid.len().isqrt()).max(1);
        let rows = |grid: &Vec<u32>| grid.chunks(side).map(<[u32]>::to_vec).collect();
        let file = Self {
            format: FORMAT.into(),
            model: model.into(),
            version: version.map(str::to_owned),
            seed,
            index,
            tokens: grids.iter().map(rows).collect(),
        };
        file.check()?;
        Ok(file)
    }

    /// Reads a file, binary or JSON.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn read(file: &[u8]) -> Result<Self, TokenFileError> {
        if file.starts_with(MAGIC) {
            return Self::from_binary(file);
        }
        match file.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::from_json(file),
            _ => Err(TokenFileError::UnknownFormat),
        }
    }

    fn from_json(file: &[u8]) -> Result<Self, TokenFileError> {
        let read: Self =
            serde_json::from_slice(file).map_err(|error| TokenFileError::Json(error.to_string()))?;
        read.check()?;
        Ok(read)
    }

    /// Reads base64 of a binary file, as pictures contain it.
    ///
    /// # Errors
    /// [`TokenFileError`].
    pub fn from_base64(text: &str) -> Result<Self, TokenFileError> {
        Self::from_binary(&STANDARD.decode(text).map_err(|_| TokenFileError::Damaged)?)
    }

    /// The binary file as base64.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_binary())
    }

    /// The T grids, n codes each, row by row.
    pub fn grids(&self) -> Vec<Vec<u32>> {
        self.tokens.iter().map(|rows| rows.concat()).collect()
    }

    /// The number of rows and of columns of a grid.
    pub fn side(&self) -> usize {
        self.tokens.first().map_or(0, Vec::len)
    }

    fn check(&self) -> Result<(), TokenFileError> {
        if self.format != FORMAT {
            return Err(TokenFileError::UnknownFormat);
        }
        let side = self.side();
        let is_square = |rows: &Vec<Vec<u32>>| rows.len() == side && rows.iter().all(|row| row.len() == side);
        if side == 0 || !self.tokens.iter().all(is_square) {
            return Err(TokenFileError::Shape);
        }
        let (steps, texts) = (self.tokens.len(), [Some(&self.model), self.version.as_ref()]);
        let is_small = steps <= 255
            && side <= 255
            && steps * side * side <= MAX_CODES
            && self.bits() <= MAX_BITS
            && texts.iter().flatten().all(|text| text.len() <= 255);
        if is_small { Ok(()) } else { Err(TokenFileError::TooLarge) }
    }

    /// The bits of the largest code, at least 1.
    fn bits(&self) -> u32 {
        let largest = self.tokens.iter().flatten().flatten().max().copied().unwrap_or(0);
        (u32::BITS - largest.leading_zeros()).max(1)
    }

    /// The binary file.
    pub fn to_binary(&self) -> Vec<u8> {
        let bits = self.bits();
        let mut file = MAGIC.to_vec();
        for text in [self.model.as_str(), self.version.as_deref().unwrap_or_default()] {
            // `check` has limited the lengths.
            file.push(text.len() as u8);
            file.extend(text.as_bytes());
        }
        file.extend(self.seed.to_be_bytes());
        file.extend(self.index.to_be_bytes());
        file.extend([self.tokens.len() as u8, self.side() as u8, bits as u8]);
        let (mut pending, mut count) = (0_u32, 0);
        for code in self.tokens.iter().flatten().flatten() {
            pending = pending << bits | code;
            count += bits;
            while count >= 8 {
                count -= 8;
                file.push((pending >> count) as u8);
            }
            pending &= (1 << count) - 1;
        }
        if count > 0 {
            file.push((pending << (8 - count)) as u8);
        }
        file.extend(crc32fast::hash(&file).to_be_bytes());
        file
    }

    fn from_binary(file: &[u8]) -> Result<Self, TokenFileError> {
        let (content, checksum) = file.split_last_chunk::<4>().ok_or(TokenFileError::Damaged)?;
        if crc32fast::hash(content) != u32::from_be_bytes(*checksum) {
            return Err(TokenFileError::Damaged);
        }
        let mut rest = content.strip_prefix(MAGIC).ok_or(TokenFileError::UnknownFormat)?;
        let mut take = |len: usize| -> Result<&[u8], TokenFileError> {
            let (taken, left) = rest.split_at_checked(len).ok_or(TokenFileError::Damaged)?;
            rest = left;
            Ok(taken)
        };
        let mut texts = [String::new(), String::new()];
        for text in &mut texts {
            let len = take(1)?[0].into();
            *text = String::from_utf8(take(len)?.to_vec()).map_err(|_| TokenFileError::Damaged)?;
        }
        let [model, version] = texts;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte));
        let (seed, index) = (number(take(8)?), number(take(4)?) as u32);
        let [steps, side, bits] = [take(1)?[0], take(1)?[0], take(1)?[0]].map(usize::from);
        let codes = steps * side * side;
        if codes > MAX_CODES || bits > MAX_BITS as usize {
            return Err(TokenFileError::TooLarge);
        }
        let packed = take((codes * bits).div_ceil(8))?;
        if codes == 0 || bits == 0 {
            return Err(TokenFileError::Damaged);
        }
        let code = |at: usize| {
            let bit = |at: usize| u32::from(packed[at / 8] >> (7 - at % 8) & 1);
            (at * bits..(at + 1) * bits).fold(0, |code, at| code << 1 | bit(at))
        };
        let row = |start: usize| (start..start + side).map(code).collect();
        let grid = |step: usize| (0..side).map(|y| row((step * side + y) * side)).collect();
        let version = (!version.is_empty()).then_some(version);
        let tokens = (0..steps).map(grid).collect();
        let read = Self { format: FORMAT.into(), model, version, seed, index, tokens };
        let has_rest = !rest.is_empty();
        // One file for the same content.
        if has_rest || read.to_binary() != file { Err(TokenFileError::Damaged) } else { Ok(read) }
    }

    /// The JSON file.
    pub fn to_json(&self) -> String {
        // Can't fail: strings and integers are valid JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}
