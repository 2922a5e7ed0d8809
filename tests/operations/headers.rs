//! Headers of every answer: request ids, security, caching of static files.

use std::collections::HashSet;

use reqwest::Response;
use serde_json::json;

use crate::common::{Server, with_timeout};
use crate::site;

async fn with_id(server: &Server, path: &str, id: &str) -> Response {
    with_timeout(server.client.get(server.url(path)).header("x-request-id", id).send()).await.unwrap()
}

#[tokio::test]
async fn every_answer_has_the_requests_id_or_a_new_one() {
    let (server, _script) = Server::with_web_options(site()).await;
    for path in ["/", "/api/v1/models", "/nothing", "/api/v1/generations", "/static/styles/base.css"] {
        assert_eq!(with_id(&server, path, "abc-1/2").await.headers()["x-request-id"], "abc-1/2", "{path}");
    }
    let mut made = HashSet::new();
    for bad in ["", "two words", &"x".repeat(129)] {
        let response = with_id(&server, "/", bad).await;
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(id.len(), 36, "{bad:?} became {id}");
        assert!(made.insert(id.to_owned()));
    }
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let (server, _script) = Server::with_web_options(site()).await;
    let created = server.post(&json!({"class": 0})).await;
    let events = format!("{}/events", created.headers()["location"].to_str().unwrap());
    let mut answers = vec![created];
    for path in ["/", &events, "/nothing", "/static/main.js", "/metrics", "/health/live"] {
        answers.push(server.get(path).await);
    }
    for answer in answers {
        let headers = answer.headers();
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{}", answer.url());
        assert_eq!(headers["x-content-type-options"], "nosniff");
        assert_eq!(headers["referrer-policy"], "same-origin");
        assert_eq!(headers["cross-origin-opener-policy"], "same-origin");
    }
}

#[tokio::test]
async fn what_the_page_loads_is_kept_for_good_at_an_address_of_its_content() {
    let (server, _script) = Server::with_web_options(site()).await;
    let response = server.get("/").await;
    assert_eq!(response.headers()["cache-control"], "no-cache");
    let page = response.text().await.unwrap();
    let links: Vec<&str> = page
        .split('"')
        .filter(|text| text.starts_with("/static/"))
        .collect::<HashSet<_>>()
        .into_iter()
        .collect();
    assert!(links.len() > 10, "{links:?}");
    for link in &links {
        let answer = server.get(link).await;
        assert_eq!(answer.status(), 200, "{link}");
        assert_eq!(answer.headers()["cache-control"], "public, max-age=31536000, immutable", "{link}");
    }
    let main = links.iter().find(|link| link.ends_with("/main.js")).unwrap();
    let hash = main.split('/').nth(2).unwrap();
    assert!(hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{main}");
    // The same file under its plain name, and under the address it had before a change: asked about each time.
    let bytes = server.get(main).await.bytes().await.unwrap();
    for other in ["/static/main.js", "/static/0123456789abcdef/main.js"] {
        let answer = server.get(other).await;
        assert_eq!(answer.headers()["cache-control"], "no-cache", "{other}");
        let etag = answer.headers()["etag"].clone();
        assert_eq!(answer.bytes().await.unwrap(), bytes);
        let again = server.client.get(server.url(other)).header("if-none-match", etag);
        assert_eq!(with_timeout(again.send()).await.unwrap().status(), 304);
    }
    for missing in [
        format!("/static/{hash}/nothing.js"),
        format!("/static/{hash}/../Cargo.toml"),
        format!("/static/{hash}"),
    ] {
        assert_eq!(server.get(&missing).await.status(), 404, "{missing}");
    }
}
