//! The address of a model's folder on a server.

use std::fmt;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use url::Url;

use super::hash::FileHash;

/// Characters of the host and of the path that the name of an address's folder in the cache has at most.
const MAX_NAME: usize = 40;
/// Digits of the hash in that name.
const NAME_DIGITS: usize = 12;

/// An `http` or `https` address. Its user information is kept apart, so that no text of this type contains it.
#[derive(Clone)]
pub struct Address {
    /// Without user information, query, fragment and slashes at the end.
    url: Url,
    /// The value of the header `Authorization`.
    authorization: Option<String>,
    /// The hash that the list of files must have: the fragment `sha256=HEX`.
    pin: Option<FileHash>,
}

impl Address {
    /// Whether a text is an address instead of the path of a folder.
    pub fn is_address(text: &str) -> bool {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_alphabetic())
                && scheme.bytes().all(|letter| letter.is_ascii_alphanumeric() || b"+-.".contains(&letter))
        };
        text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
    }

    /// Reads an address.
    ///
    /// # Errors
    /// If it can't be used. The error contains nothing of the text that could be a secret.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let mut url = Url::parse(text).context("the address of the model is invalid")?;
        if !["http", "https"].contains(&url.scheme()) {
            bail!("the address of the model begins with {}://; allowed: http://, https://", url.scheme());
        }
        let authorization = authorization(&url)?;
        let pin = url.fragment().filter(|fragment| !fragment.is_empty()).map(pin).transpose()?;
        let is_query = url.query().is_some();
        url.set_query(None);
        url.set_fragment(None);
        ensure!(
            url.set_username("").is_ok() && url.set_password(None).is_ok(),
            "the address of the model is invalid"
        );
        while let Some(shorter) = url.path().strip_suffix('/').filter(|_| url.path() != "/") {
            let shorter = shorter.to_owned();
            url.set_path(&shorter);
        }
        ensure!(!is_query, "{url} must not be followed by a query (?…): name the folder of the model");
        Ok(Self { url, authorization, pin })
    }

    /// The address with another pin, which must be that of the fragment if there is one.
    ///
    /// # Errors
    /// If they differ.
    pub fn with_pin(self, pin: Option<FileHash>) -> anyhow::Result<Self> {
        if let (Some(pin), Some(own)) = (pin, self.pin) {
            ensure!(pin == own, "--sha256 is {pin}, but the address ends with #sha256={own}");
        }
        Ok(Self { pin: pin.or(self.pin), ..self })
    }

    /// The hash that the list of files must have.
    pub fn pin(&self) -> Option<FileHash> {
        self.pin
    }

    /// Whether connections use TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// The value of the header `Authorization`, if the address has user information.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }

    /// The address of a file. Its name has parts that are separated by `/`, none of which is empty, `.` or `..`.
    pub fn file(&self, name: &str) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut parts) = url.path_segments_mut() {
            parts.pop_if_empty().extend(name.split('/'));
        }
        url
    }

    /// The name of this address's folder in a cache, safe on all file systems: the host, the last part of the path, and the
    /// beginning of a hash.
    pub fn folder_name(&self) -> String {
        let safe = |text: &str| -> String {
            let is_safe = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            let safe = text.chars().take(MAX_NAME).map(|letter| if is_safe(letter) { letter } else { '-' });
            safe.collect::<String>().trim_matches(['.', '-']).to_owned()
        };
        let hash = FileHash::of(self.url.as_str().as_bytes()).short(NAME_DIGITS);
        let last = self.url.path_segments().and_then(|mut parts| parts.next_back()).unwrap_or_default();
        let parts = [safe(self.url.host_str().unwrap_or_default()), safe(last), hash];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    }

    /// The address with its pin, as a setting is written.
    pub fn setting(&self) -> String {
        match self.pin {
            Some(pin) => format!("{self}#sha256={pin}"),
            None => self.to_string(),
        }
    }
}

/// Without user information and pin.
impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.url.as_str())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Address({self})")
    }
}

/// The value of `Authorization` for the user information of an address: HTTP's basic authentication.
fn authorization(url: &Url) -> anyhow::Result<Option<String>> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decode = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
    let user = decode(url.username());
    ensure!(!user.contains(&b':'), "the user name in the address of the model has a colon");
    let both = [user, b":".to_vec(), decode(url.password().unwrap_or_default())].concat();
    Ok(Some(format!("Basic {}", STANDARD.encode(both))))
}

/// The pin of a fragment.
fn pin(fragment: &str) -> anyhow::Result<FileHash> {
    let hash = fragment.strip_prefix("sha256=").and_then(|hash| hash.parse().ok());
    hash.context("the address of the model has a fragment (#…); allowed: #sha256= and 64 hexadecimal digits")
}

#[cfg(test)]
mod tests {
    use super::{Address, FileHash};

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn addresses_and_folders_are_told_apart() {
        for address in ["http://a", "HTTPS://a/b", "ftp://a", "s3://bucket"] {
            assert!(Address::is_address(address), "{address}");
        }
        for folder in ["weights", "/a/b", "C:\\weights", "://a", "a b://c", "1a://b", "weights/http:", ""] {
            assert!(!Address::is_address(folder), "{folder}");
        }
    }

    #[test]
    fn files_are_below_the_address() {
        for text in ["https://a.example/m", "https://a.example/m/", "https://a.example/m//"] {
            let url = parse(text).file("classes/a b#1?%.png");
            assert_eq!(url.as_str(), "https://a.example/m/classes/a%20b%231%3F%25.png");
        }
        assert_eq!(parse("http://a.example:81").file("x").as_str(), "http://a.example:81/x");
    }

    #[test]
    fn user_information_is_in_the_header_only() {
        let address = parse("https://us%20er:p%40ss@a.example/m");
        // printf 'us er:p@ss' | base64
        assert_eq!(address.authorization(), Some("Basic dXMgZXI6cEBzcw=="));
        let texts = [
            address.to_string(),
            format!("{address:?}"),
            address.setting(),
            address.folder_name(),
            address.file("x").to_string(),
        ];
        for text in texts {
            assert!(!text.contains("us") && !text.contains("p%40ss"), "{text}");
        }
        assert_eq!(parse("https://user@a.example").authorization(), Some("Basic dXNlcjo="));
        assert_eq!(parse("https://a.example").authorization(), None);
    }

    #[test]
    fn errors_do_not_quote_the_address() {
        for (text, expected) in [
            ("ftp://user:secret@a.example/m", "begins with ftp://"),
            ("http://user:secret@a.example:99999/m", "invalid port number"),
            ("http://user:secret@/m", "empty host"),
            ("http://user:secret@a.example/m?x=1", "http://a.example/m must not be followed by a query"),
            ("http://user:secret@a.example/m#main", "allowed: #sha256="),
            ("http://user:secret@a.example/m#sha256=12", "allowed: #sha256="),
            ("http://us%3Aer:secret@a.example/m", "user name in the address"),
        ] {
            let said = format!("{:#}", Address::parse(text).unwrap_err());
            assert!(said.contains(expected) && !said.contains("secret"), "{text}: {said}");
        }
    }

    #[test]
    fn pin_is_read_from_the_fragment_and_compared_with_another() {
        let (one, other) = (FileHash::of(b"1"), FileHash::of(b"2"));
        let address = parse(&format!("http://a/m#sha256={one}"));
        assert_eq!(address.pin(), Some(one));
        assert_eq!(address.setting(), format!("http://a/m#sha256={one}"));
        assert_eq!(parse("http://a/m").with_pin(Some(one)).unwrap().pin(), Some(one));
        assert_eq!(address.clone().with_pin(Some(one)).unwrap().pin(), Some(one));
        assert!(address.with_pin(Some(other)).unwrap_err().to_string().contains("#sha256="));
        assert_eq!(parse("http://a/m#").pin(), None);
    }

    #[test]
    fn folder_names_are_safe_and_differ() {
        let name = parse("https://a.example/models/emoji/").folder_name();
        assert!(name.starts_with("a.example-emoji-") && name.len() == 28, "{name}");
        let same = ["https://u:p@a.example/models/emoji", "https://A.example:443/models/emoji#"];
        assert!(same.iter().all(|text| parse(text).folder_name() == name));
        let long = "x".repeat(300);
        let odd = [
            "http://[::1]:80/é b".to_owned(),
            format!("https://{}.example/{long}", &long[..60]),
            "http://a/..%2f..%2fx".to_owned(),
            "http://a/".to_owned(),
        ];
        for text in odd {
            let name = parse(&text).folder_name();
            let is_safe = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
            assert!(name.chars().all(is_safe) && !name.starts_with('.') && name.len() < 100, "{name}");
        }
        assert_ne!(parse("http://a/x").folder_name(), parse("https://a/x").folder_name());
    }
}
