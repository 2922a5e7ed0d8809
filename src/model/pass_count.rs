//! How many passes through the denoiser a step with guidance takes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::ModelError;
use super::weights::ONE_PASS_FILE;

/// How many passes through the denoiser a step with guidance takes.
///
/// Pictures differ between the two, so they are part of a model's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum PassCount {
    /// One, of a denoiser that is told the guidance scale: `one-pass.safetensors` of a weights folder. A scale that it wasn't
    /// trained for takes two passes.
    One,
    /// Two, with the condition and without: classifier-free guidance.
    #[default]
    Two,
}

impl PassCount {
    /// Their number, 1 or 2.
    pub fn number(self) -> u8 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }

    /// Parses `1` or `2`.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse::<u8>().ok()?.try_into().ok()
    }

    /// The passes that the model in a weights folder can take, the fastest last.
    pub fn available(folder: &Path) -> &'static [Self] {
        if folder.join(ONE_PASS_FILE).is_file() { &[Self::Two, Self::One] } else { &[Self::Two] }
    }
}

/// A model's denoisers: the one that two passes take and, if it was loaded, the one that computes guided logits in one pass.
pub(super) struct Denoisers<D> {
    pub two_passes: D,
    pub one_pass: Option<D>,
}

impl<D> Denoisers<D> {
    /// A denoiser for two passes.
    pub fn new(two_passes: D) -> Self {
        Self { two_passes, one_pass: None }
    }

    /// The denoiser for this number of passes. A batch of one pass is made only where there is a denoiser for it.
    pub fn of(&self, passes: PassCount) -> &D {
        self.one_pass.as_ref().filter(|_| passes == PassCount::One).unwrap_or(&self.two_passes)
    }
}

impl TryFrom<u8> for PassCount {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, String> {
        match number {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err(format!("passes is {number}; allowed: 1, 2")),
        }
    }
}

impl From<PassCount> for u8 {
    fn from(passes: PassCount) -> Self {
        passes.number()
    }
}

/// The passes that a user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PassCountSetting {
    /// One where the model has the weights for it.
    Auto,
    #[serde(untagged)]
    Fixed(PassCount),
}

impl PassCountSetting {
    /// Parses `auto`, `1` or `2`.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "auto" { Some(Self::Auto) } else { PassCount::from_name(name).map(Self::Fixed) }
    }

    /// The passes for the model in a weights folder.
    ///
    /// # Errors
    /// [`ModelError::OnePass`] if one pass is asked for and the folder hasn't the weights for it.
    pub fn resolve(self, folder: &Path) -> Result<PassCount, ModelError> {
        let available = PassCount::available(folder);
        match self {
            Self::Auto => Ok(available.last().copied().unwrap_or_default()),
            Self::Fixed(passes) if available.contains(&passes) => Ok(passes),
            Self::Fixed(_) => Err(ModelError::OnePass { path: folder.join(ONE_PASS_FILE) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_takes_one_pass_where_the_folder_has_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        let resolve = |name: &str| PassCountSetting::from_name(name).unwrap().resolve(folder.path());
        assert_eq!(resolve("auto").unwrap(), PassCount::Two);
        assert_eq!(resolve("2").unwrap(), PassCount::Two);
        let error = resolve("1").unwrap_err().to_string();
        assert!(error.starts_with("passes 1: ") && error.ends_with("use 2 or auto"), "{error}");
        std::fs::write(folder.path().join(ONE_PASS_FILE), "").unwrap();
        assert_eq!(resolve("auto").unwrap(), PassCount::One);
        assert_eq!(resolve("1").unwrap(), PassCount::One);
        assert_eq!(resolve("2").unwrap(), PassCount::Two);
        assert_eq!(PassCountSetting::from_name("3"), None);
    }

    #[test]
    fn passes_are_numbers_in_json() {
        assert_eq!(serde_json::to_string(&[PassCount::One, PassCount::Two]).unwrap(), "[1,2]");
        assert_eq!(serde_json::from_str::<PassCount>("1").unwrap(), PassCount::One);
        assert!(serde_json::from_str::<PassCount>("3").is_err());
    }
}
