//! By which names the server may be reached.

use rdpm::web::{HostName, Options, ProxyHeader};
use reqwest::Response;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::{Server, with_timeout};
use crate::{problem, site};

async fn server(allowed: &[&str], trust_proxy: Option<ProxyHeader>) -> Server {
    let allowed_hosts = allowed.iter().map(|name| name.parse().unwrap()).collect();
    Server::with_web_options(Options { allowed_hosts, trust_proxy, ..site() }).await.0
}

/// Posts a generation as a page of this host would.
async fn post(server: &Server, host: &str) -> Response {
    let request = server.client.post(server.url("/api/v1/generations")).json(&json!({"class": 0}));
    let request = request.header("host", host).header("origin", format!("http://{host}"));
    with_timeout(request.header("sec-fetch-site", "same-origin").send()).await.unwrap()
}

#[tokio::test]
async fn foreign_hosts_are_refused_on_loopback() {
    let server = server(&[], None).await;
    let port = server.address.port();
    for host in ["localhost", "LOCALHOST", "localhost.", "rdpm.localhost", "127.0.0.1", "[::1]", "192.0.2.7"]
    {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            assert_eq!(post(&server, &host).await.status(), 202, "{host}");
        }
    }
    for host in
        ["evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "::1", "a b"]
    {
        for host in [host.to_owned(), format!("{host}:{port}")] {
            let refused = problem(post(&server, &host).await, 403).await;
            let detail = refused["detail"].as_str().unwrap();
            assert!(detail.contains("--allowed-host") && detail.contains("--trust-proxy"), "{detail}");
        }
    }
    // Reading is as much of an attack.
    for path in ["/", "/api/v1/models", "/v1/models", "/metrics", "/health/ready"] {
        let request = server.client.get(server.url(path)).header("host", "evil.example");
        assert_eq!(with_timeout(request.send()).await.unwrap().status(), 403, "{path}");
    }
}

#[tokio::test]
async fn all_host_names_of_a_request_are_checked() {
    let server = server(&[], None).await;
    for (head, status) in [
        ("GET http://evil.example/health/live HTTP/1.1\r\nhost: localhost", 403),
        ("GET http://localhost/health/live HTTP/1.1\r\nhost: evil.example", 403),
        ("GET /health/live HTTP/1.1\r\nhost: localhost\r\nhost: evil.example", 403),
        ("GET /health/live HTTP/1.0", 200),
    ] {
        let mut connection = TcpStream::connect(server.address).await.unwrap();
        let request = format!("{head}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        with_timeout(connection.read_to_string(&mut answer)).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status.to_string().as_str()), "{head}: {answer}");
    }
}

#[tokio::test]
async fn allowed_names_are_accepted_in_addition() {
    let server = server(&["RDPM.example.org", "other.example"], None).await;
    for host in ["rdpm.example.org", "Rdpm.Example.Org:8080", "other.example.", "localhost", "127.0.0.1:80"] {
        assert_eq!(post(&server, host).await.status(), 202, "{host}");
    }
    for host in ["evil.example", "sub.rdpm.example.org"] {
        problem(post(&server, host).await, 403).await;
    }
}

#[tokio::test]
async fn a_trusted_proxy_decides_about_names() {
    let behind_proxy = server(&[], Some(ProxyHeader::XForwardedFor)).await;
    assert_eq!(post(&behind_proxy, "rdpm.example.org").await.status(), 202);
    // Unless the operator names those that there are.
    let named = server(&["rdpm.example.org"], Some(ProxyHeader::XForwardedFor)).await;
    assert_eq!(post(&named, "rdpm.example.org").await.status(), 202);
    problem(post(&named, "evil.example").await, 403).await;
}

#[test]
fn host_names_have_no_scheme_and_no_port() {
    for good in ["a", "a.example", "A-1.example.org.", "a_b"] {
        assert!(good.parse::<HostName>().is_ok(), "{good}");
    }
    for bad in ["", "a:80", "http://a", "a/", "*", "a b", "[::1]", &"a".repeat(254)] {
        assert!(bad.parse::<HostName>().is_err(), "{bad}");
    }
}
