//! What a gateway's web layer keeps with a job, so that other gateways have it, too: the owner, the format of the pictures,
//! and the key of links to them.

use serde::{Deserialize, Serialize};

use crate::request::PictureFormat;
use crate::store::Owner;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub owner: Owner,
    #[serde(flatten)]
    pub format: PictureFormat,
    /// Signs links to the pictures.
    pub link_key: String,
}

impl Note {
    pub fn new(owner: Owner, format: PictureFormat) -> Self {
        Self { owner, format, link_key: format!("{:032x}", rand::random::<u128>()) }
    }

    pub fn to_text(&self) -> String {
        // Texts and a number are valid JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None` if it isn't one.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}
