//! Whose a generation is.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::files::hex;

/// Who a generation belongs to: an API key by its name, a client's token by its hash, or both. Neither is nobody's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// SHA-256 of the token: who reads the disk or the queue can't use it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<String>,
}

impl Owner {
    /// The owner with this key's name and this token.
    pub fn new(key: Option<&str>, token: Option<&str>) -> Self {
        Self { key: key.map(str::to_owned), token: token.map(|token| hex(&Sha256::digest(token))) }
    }

    /// Whether it can be told from others.
    pub fn is_known(&self) -> bool {
        self.key.is_some() || self.token.is_some()
    }

    /// The name of its API key.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }

    /// Whether it may read a picture of a gallery of `other`, given its address: everybody with the same key may, and where there
    /// are no keys, everybody.
    pub fn may_read(&self, other: &Self) -> bool {
        other.key.is_none() || self.key == other.key
    }

    /// Whether it may cancel what `other` made: only that owner may, unless that is nobody.
    pub fn may_cancel(&self, other: &Self) -> bool {
        !other.is_known() || (self.key == other.key && (other.token.is_none() || self.token == other.token))
    }

    /// Whose gallery its pictures are in: the key's, with whatever token, or else the token's.
    pub(super) fn gallery(&self) -> Option<String> {
        let key = self.key.as_ref().map(|key| format!("key {key}"));
        key.or_else(|| self.token.as_ref().map(|token| format!("token {token}")))
    }
}
