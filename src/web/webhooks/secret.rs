//! Secrets, and the signatures made with them, as Standard Webhooks specifies them (<https://www.standardwebhooks.com>).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

const PREFIX: &str = "whsec_";
/// Bytes of a secret.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// Secrets at most: an old and a new one are enough to change them.
const MAX_SECRETS: usize = 8;

/// A secret that signs web hooks.
#[derive(Clone)]
pub struct WebhookSecret(Hmac<Sha256>);

/// Why a text is no secret, or a file has none. Does not contain the text.
#[derive(Debug, thiserror::Error)]
pub enum WebhookSecretError {
    #[error(
        "a secret must be whsec_ and 24 to 64 bytes in base64; `echo whsec_$(openssl rand -base64 32)` makes one"
    )]
    Invalid,
    #[error("line {line}: {error}")]
    Line { line: usize, error: Box<WebhookSecretError> },
    #[error("there is no secret")]
    None,
    #[error("there are more than {MAX_SECRETS} secrets")]
    TooMany,
}

impl WebhookSecret {
    /// The secrets in a text, one a line; empty lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// Where there is none, there are too many, or a line is invalid.
    pub fn parse_lines(text: &str) -> Result<Vec<Self>, WebhookSecretError> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let secret = |(line, text): (usize, &str)| {
            text.parse().map_err(|error| WebhookSecretError::Line { line, error: Box::new(error) })
        };
        let secrets: Vec<Self> = lines.map(secret).collect::<Result<_, _>>()?;
        match secrets.len() {
            0 => Err(WebhookSecretError::None),
            1..=MAX_SECRETS => Ok(secrets),
            _ => Err(WebhookSecretError::TooMany),
        }
    }

    fn signature(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        let mac = self.0.clone().chain_update(format!("{id}.{timestamp}.")).chain_update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().as_bytes()))
    }
}

impl FromStr for WebhookSecret {
    type Err = WebhookSecretError;

    fn from_str(text: &str) -> Result<Self, WebhookSecretError> {
        let secret = text.strip_prefix(PREFIX).and_then(|base64| STANDARD.decode(base64).ok());
        let secret = secret.filter(|secret| LENGTH.contains(&secret.len()));
        let mac = secret.and_then(|secret| Hmac::new_from_slice(&secret).ok());
        mac.map(Self).ok_or(WebhookSecretError::Invalid)
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookSecret").finish_non_exhaustive()
    }
}

/// The header `webhook-signature`: a signature with each of the secrets.
pub(super) fn sign(secrets: &[WebhookSecret], id: &str, timestamp: u64, body: &[u8]) -> String {
    let signatures = secrets.iter().map(|secret| secret.signature(id, timestamp, body));
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_is_that_of_the_specification() {
        // The example of the specification's reference libraries.
        let secret: WebhookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let signed =
            sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn secrets_are_lines() {
        let line = |length: usize| format!("whsec_{}", STANDARD.encode(vec![7; length]));
        let text = format!("# new\n{}\n\n  {}  \n", line(24), line(64));
        assert_eq!(WebhookSecret::parse_lines(&text).unwrap().len(), 2);
        let error = |text: &str| WebhookSecret::parse_lines(text).unwrap_err().to_string();
        assert_eq!(error("# none\n"), "there is no secret");
        for bad in [line(23), line(65), "whsec_!".into(), line(32).replace("whsec_", "")] {
            let said = error(&format!("\n{bad}"));
            assert!(said.starts_with("line 2: a secret must be whsec_") && !said.contains(&bad), "{said}");
        }
        assert_eq!(error(&vec![line(24); 9].join("\n")), "there are more than 8 secrets");
    }
}
