//! Links to pictures that need no key: signed, and valid for a limited time.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::web::unix_time::unix_time;

/// Signs links with a key of this process, which is gone at its end, as are the jobs; or with a job's own key, which other
/// processes have, too.
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
    pub fn sign(&self, job_key: Option<&str>, link: &str) -> (u64, String) {
        let expires = unix_time(SystemTime::now()) + self.lifetime.as_secs();
        let mac = self.mac_of(job_key, link, expires).finalize();
        (expires, URL_SAFE_NO_PAD.encode(mac.as_bytes()))
    }

    /// Whether a link was signed here, or with the job's key, and has not expired.
    pub fn is_valid(&self, job_key: Option<&str>, link: &str, expires: u64, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.mac_of(job_key, link, expires).verify_slice(&signature).is_ok()
            && unix_time(SystemTime::now()) < expires
    }

    fn mac_of(&self, job_key: Option<&str>, link: &str, expires: u64) -> Hmac<Sha256> {
        let own = job_key.and_then(|key| Hmac::new_from_slice(key.as_bytes()).ok());
        own.unwrap_or_else(|| self.mac.clone()).chain_update(expires.to_be_bytes()).chain_update(link)
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
        let (expires, signature) = signer.sign(None, "a");
        assert!(signer.is_valid(None, "a", expires, &signature));
        assert!(!signer.is_valid(None, "b", expires, &signature));
        assert!(!signer.is_valid(None, "a", expires + 1, &signature));
        assert!(!signer.is_valid(None, "a", expires, ""));
        assert!(!LinkSigner::new(Duration::from_secs(60)).is_valid(None, "a", expires, &signature));
        // With a job's key every process agrees.
        let (expires, signature) = signer.sign(Some("key"), "a");
        let other = LinkSigner::new(Duration::ZERO);
        assert!(other.is_valid(Some("key"), "a", expires, &signature));
        assert!(!other.is_valid(Some("yek"), "a", expires, &signature));
        assert!(!signer.is_valid(None, "a", expires, &signature));
        let expired = LinkSigner::new(Duration::ZERO);
        let (expires, signature) = expired.sign(None, "a");
        assert!(!expired.is_valid(None, "a", expires, &signature));
    }
}
