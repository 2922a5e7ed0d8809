//! Links to pictures that need no key: signed, and valid for a limited time.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::web::unix_time::unix_time;

/// Signs links with a key of this process, which is gone at its end, as are the jobs.
pub(in crate::web) struct LinkSigner {
    mac: Hmac<Sha256>,
    lifetime: Duration,
}

impl LinkSigner {
    /// A signer of links that are valid for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        let key: [u8; 64] = rand::random();
        Self { mac: Hmac::new(&key.into()), lifetime }
    }

    /// The time in Unix seconds at which a link that is made now expires, and its signature.
    pub fn sign(&self, link: &str) -> (u64, String) {
        let expires = unix_time(SystemTime::now()) + self.lifetime.as_secs();
        let mac = self.mac_of(link, expires).finalize();
        (expires, URL_SAFE_NO_PAD.encode(mac.as_bytes()))
    }

    /// Whether a link was signed here and has not expired.
    pub fn is_valid(&self, link: &str, expires: u64, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.mac_of(link, expires).verify_slice(&signature).is_ok() && unix_time(SystemTime::now()) < expires
    }

    fn mac_of(&self, link: &str, expires: u64) -> Hmac<Sha256> {
        self.mac.clone().chain_update(expires.to_be_bytes()).chain_update(link)
    }
}

impl std::fmt::Debug for LinkSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LinkSigner").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_holds_for_its_link_and_time_only() {
        let signer = LinkSigner::new(Duration::from_secs(60));
        let (expires, signature) = signer.sign("a");
        assert!(signer.is_valid("a", expires, &signature));
        assert!(!signer.is_valid("b", expires, &signature));
        assert!(!signer.is_valid("a", expires + 1, &signature));
        assert!(!signer.is_valid("a", expires, ""));
        assert!(!LinkSigner::new(Duration::from_secs(60)).is_valid("a", expires, &signature));
        let expired = LinkSigner::new(Duration::ZERO);
        let (expires, signature) = expired.sign("a");
        assert!(!expired.is_valid("a", expires, &signature));
    }
}
