//! What a gateway's web layer keeps with a job, so that other gateways have it, too: the client, as hashes of its secrets,
//! the format of the pictures, and the key of links to them.

use serde::{Deserialize, Serialize};

use crate::picture::Format;
use crate::request::PictureFormat;
use crate::web::access::Client;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Note {
    pub owner: Owner,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<String>,
    scale: u32,
    /// Signs links to the pictures.
    pub link_key: String,
}

/// The hashes of a client's key and token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Owner {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
}

impl Note {
    pub fn new(client: &Client, format: PictureFormat) -> Self {
        let name = format.format.map(|format| format.name().to_owned());
        let link_key = format!("{:032x}", rand::random::<u128>());
        Self { owner: Owner::new(client), format: name, scale: format.scale, link_key }
    }

    pub fn to_text(&self) -> String {
        // Texts and a number are valid JSON.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `None` if it isn't one.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub fn format(&self) -> PictureFormat {
        let format = self.format.as_deref().and_then(Format::from_name);
        PictureFormat { format, scale: self.scale.clamp(1, crate::picture::MAX_SCALE) }
    }
}

impl Owner {
    pub fn new(client: &Client) -> Self {
        let (key, token) = client.hashes();
        Self { key, token }
    }

    /// As [`Client::may_cancel`]: everybody may who knows the id of a job whose client was not known.
    pub fn may_be_canceled_by(&self, client: &Client) -> bool {
        let other = Self::new(client);
        let is_known = self.key.is_some() || self.token.is_some();
        !is_known || self.key == other.key && (self.token.is_none() || self.token == other.token)
    }
}
