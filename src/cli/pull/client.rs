//! HTTP requests for the files of a model.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use tokio_rustls::rustls::crypto::ring;
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, Error};
use url::{Position, Url};

use super::address::Address;
use super::report::warn;

/// Redirects that are followed at most.
const MAX_REDIRECTS: usize = 5;
/// The longest time of resolving a name, and of connecting with TLS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time without a byte from the server.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of a response's headers at most.
const MAX_HEADERS: usize = 64 * 1024;

/// The server can't be reached, ends a connection early or answers that it can't answer now. Another attempt may succeed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreachable(pub String);

/// Sends requests, and follows redirects.
pub struct Client {
    agent: Agent,
}

/// The rest of a file that the server is asked for.
pub struct Rest<'a> {
    /// The first byte.
    pub start: u64,
    /// The entity tag or the date of the version that the bytes before are of.
    pub validator: &'a str,
}

impl Client {
    /// With the system's certificates of authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Proxies are those of
    /// the environment.
    pub fn new(address: &Address) -> Self {
        Self::with_idle_timeout(address, IDLE_TIMEOUT)
    }

    fn with_idle_timeout(address: &Address, idle: Duration) -> Self {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() && address.is_https() {
            let reason = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
            warn(format!("the system has no certificates of authorities, so https fails{reason}"));
        }
        let roots = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("rdpm/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // They are followed here, where the rules for them are.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEADERS)
            .timeout_resolve(Some(CONNECT_TIMEOUT))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_per_read(Some(idle))
            .timeout_per_write(Some(idle))
            .build();
        Self { agent: config.into() }
    }

    /// Asks for a file of a model, or for the rest of it. The response has any status except those of redirects and those that
    /// are errors here.
    ///
    /// # Errors
    /// [`Unreachable`], also for the statuses 408, 429 and 500 to 599. Other errors if access is refused, and if a redirect is
    /// not followed.
    pub fn get(
        &self,
        address: &Address,
        name: &str,
        rest: Option<&Rest<'_>>,
    ) -> anyhow::Result<Response<Body>> {
        let first = address.file(name);
        let mut url = first.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.agent.get(url.as_str()).header(header::ACCEPT_ENCODING, "identity");
            if let Some(Rest { start, validator }) = rest {
                request = request.header(header::RANGE, format!("bytes={start}-"));
                request = request.header(header::IF_RANGE, *validator);
            }
            if let Some(authorization) = address.authorization().filter(|_| url.origin() == first.origin()) {
                request = request.header(header::AUTHORIZATION, authorization);
            }
            let response = request.call().map_err(|error| describe(error, &url))?;
            let Some(location) = redirect(&response)? else {
                check_status(response.status(), &first)?;
                return Ok(response);
            };
            url = follow(&url, location)?;
        }
        bail!("{first} is redirected more than {MAX_REDIRECTS} times");
    }
}

/// The error of reading a response's body.
pub fn body_error(error: io::Error, name: &str) -> anyhow::Error {
    let error = Error::from(error);
    anyhow!(Unreachable(format!("the connection ended within {name}: {}", reason(&error))))
}

/// Where a response redirects to.
fn redirect(response: &Response<Body>) -> anyhow::Result<Option<&str>> {
    if ![301, 302, 303, 307, 308].contains(&response.status().as_u16()) {
        return Ok(None);
    }
    let location = text(response.headers(), header::LOCATION);
    location.map(Some).context("the server redirects without saying where to")
}

/// The next address of a redirect, without user information. Its path and query may be secret, so errors don't contain them.
fn follow(url: &Url, location: &str) -> anyhow::Result<Url> {
    let host = host(url);
    let mut next = url.join(location).with_context(|| format!("{host} redirects to an invalid address"))?;
    let scheme = next.scheme();
    ensure!(["http", "https"].contains(&scheme), "{host} redirects to {scheme}, which is not allowed");
    ensure!(
        url.scheme() == "http" || scheme == "https",
        "{host} redirects from https to http, which is not allowed"
    );
    let is_changed = next.set_username("").is_ok() && next.set_password(None).is_ok();
    ensure!(is_changed, "{host} redirects to an invalid address");
    next.set_fragment(None);
    Ok(next)
}

fn check_status(status: StatusCode, url: &Url) -> anyhow::Result<()> {
    let number = status.as_u16();
    match number {
        408 | 429 | 500..=599 => bail!(Unreachable(format!("{url} is answered with status {number}"))),
        401 | 403 | 407 => bail!(
            "access to {url} is refused with status {number}; an address may contain a user and a password: \
             https://USER:PASSWORD@HOST/…"
        ),
        _ => Ok(()),
    }
}

/// A header's value, if it is text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The host of an address, with its port if that is not the usual one.
fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// The error of a request that has no response.
fn describe(error: Error, url: &Url) -> anyhow::Error {
    let host = host(url);
    let reason = reason(&error);
    let is_invalid = match &error {
        Error::Io(error) => error.kind() == io::ErrorKind::InvalidData,
        Error::Timeout(_) | Error::HostNotFound | Error::ConnectionFailed => false,
        Error::ConnectProxyFailed(_) => false,
        _ => true,
    };
    // Another attempt does not make a certificate or a response valid.
    if is_invalid {
        anyhow!("{host} can't be used: {reason}")
    } else {
        anyhow!(Unreachable(format!("{host} can't be reached: {reason}")))
    }
}

fn reason(error: &Error) -> String {
    match error {
        Error::Timeout(ureq::Timeout::PerRead | ureq::Timeout::PerWrite) => {
            format!("no data for {} s", IDLE_TIMEOUT.as_secs())
        }
        Error::Timeout(_) => format!("no connection within {} s", CONNECT_TIMEOUT.as_secs()),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::time::Duration;

    use super::{Address, Client, Unreachable, Url, body_error, follow};

    #[test]
    fn silence_of_a_server_is_an_error_before_and_within_a_file() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = Address::parse(&format!("http://{}/m", listener.local_addr().unwrap())).unwrap();
        let silent = std::thread::spawn(move || {
            let (mut first, _) = listener.accept().unwrap();
            let (mut second, _) = listener.accept().unwrap();
            let count = second.read(&mut [0; 4096]).unwrap();
            second.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc").unwrap();
            // Until the client closes them.
            count + first.read_to_end(&mut Vec::new()).unwrap() + second.read_to_end(&mut Vec::new()).unwrap()
        });
        let client = Client::with_idle_timeout(&address, Duration::from_millis(200));
        let error = client.get(&address, "x", None).unwrap_err();
        assert!(error.is::<Unreachable>() && error.to_string().contains("no data for"), "{error}");
        let mut response = client.get(&address, "x", None).unwrap();
        let mut arrived = Vec::new();
        let error = response.body_mut().as_reader().read_to_end(&mut arrived).unwrap_err();
        let error = body_error(error, "x");
        assert!(error.is::<Unreachable>() && error.to_string().contains("no data for"), "{error}");
        assert_eq!(arrived, b"abc");
        drop(response);
        assert!(silent.join().unwrap() > 0);
    }

    #[test]
    fn redirects_stay_in_http_and_do_not_leave_https() {
        let url: Url = "https://a.example/m/x?secret=1".parse().unwrap();
        assert_eq!(follow(&url, "../y").unwrap().as_str(), "https://a.example/y");
        assert_eq!(follow(&url, "//b.example/z#f").unwrap().as_str(), "https://b.example/z");
        assert_eq!(follow(&url, "https://u:p@b.example/").unwrap().as_str(), "https://b.example/");
        for (location, expected) in [
            ("http://a.example/m/x", "a.example redirects from https to http"),
            ("file:///etc/passwd", "redirects to file"),
            ("ftp://a.example", "redirects to ftp"),
            ("https://a.example:99999/token", "redirects to an invalid address"),
        ] {
            let said = format!("{:#}", follow(&url, location).unwrap_err());
            assert!(said.contains(expected), "{location}: {said}");
            assert!(!said.contains("token") && !said.contains("secret"), "{said}");
        }
        let url: Url = "http://a.example/".parse().unwrap();
        assert_eq!(follow(&url, "https://a.example/").unwrap().scheme(), "https");
    }
}
