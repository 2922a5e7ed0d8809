//! Who may use pictures by address, and how many.

use std::num::NonZeroU32;

use rdpm::web::{ApiKey, Options, PublicPaths, RateLimit};
use reqwest::Response;

use crate::common::{Server, with_timeout};
use crate::{problem, site};

const KEY: &str = "a-key-of-some-length";
const PICTURE: &str = "/api/v1/pictures/toy@0123456789abcdef/0.png?seed=";

async fn with_keys(pictures: bool) -> Server {
    let keys = ApiKey::parse_lines(KEY).unwrap();
    let public_paths = PublicPaths { pictures, ..PublicPaths::default() };
    Server::with_web_options(Options { keys, public_paths, ..site() }).await.0
}

async fn get(server: &Server, path: &str, headers: &[(&str, &str)]) -> Response {
    let request = server.client.get(server.url(path));
    let request = headers.iter().fold(request, |request, &(name, value)| request.header(name, value));
    with_timeout(request.send()).await.unwrap()
}

fn limit(burst: u32) -> Option<RateLimit> {
    let [per_minute, burst] = [1, burst].map(|number| NonZeroU32::new(number).unwrap());
    Some(RateLimit { per_minute, burst })
}

#[tokio::test]
async fn pictures_need_a_key_unless_they_are_open() {
    let embedded = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")];
    let closed = with_keys(false).await;
    for path in [PICTURE, "/api/v1/pictures/toy/0.png?seed=1"] {
        problem(get(&closed, &format!("{path}1"), &embedded).await, 401).await;
    }
    let key = ("authorization", "Bearer a-key-of-some-length");
    let own = get(&closed, &format!("{PICTURE}1"), &[key]).await;
    assert_eq!(own.status(), 200);
    assert_eq!(own.headers()["cross-origin-resource-policy"], "same-origin");
    assert_eq!(own.headers()["cache-control"], "private, max-age=31536000, immutable");
    assert!(!own.headers().contains_key("access-control-allow-origin"));
    // A browser sends the password that it knows.
    let refused = problem(get(&closed, &format!("{PICTURE}1"), &[key, embedded[0]]).await, 403).await;
    assert!(refused["detail"].as_str().unwrap().contains("--open-pictures"), "{refused}");

    let open = with_keys(true).await;
    let shown = get(&open, &format!("{PICTURE}1"), &embedded).await;
    assert_eq!(shown.status(), 200);
    assert_eq!(shown.headers()["cross-origin-resource-policy"], "cross-origin");
    assert_eq!(shown.headers()["cache-control"], "public, max-age=31536000, immutable");
    for path in ["/api/v1/models", "/api/v1/picturesque", "/api/v1/pictures", "/"] {
        assert_eq!(get(&open, path, &[]).await.status(), 401, "{path}");
    }
}

#[tokio::test]
async fn only_drawn_pictures_count_for_the_rate_limit() {
    let options = Options { rate_limit: limit(2), ..site() };
    let (server, _script) = Server::with_web_options(options).await;
    for _ in 0..3 {
        assert_eq!(get(&server, "/api/v1/pictures/toy/0.png?seed=1", &[]).await.status(), 200);
    }
    assert_eq!(get(&server, &format!("{PICTURE}2"), &[]).await.status(), 200);
    let refused = get(&server, &format!("{PICTURE}3"), &[]).await;
    assert!(refused.headers().contains_key("retry-after"));
    problem(refused, 429).await;
    assert_eq!(get(&server, &format!("{PICTURE}1"), &[]).await.status(), 200, "a cached one is free");
}

#[tokio::test]
async fn drawn_pictures_count_for_the_cost_limit() {
    let options = Options { cost_limit: limit(2), ..site() };
    let (server, _script) = Server::with_web_options(options).await;
    for seed in [1, 1, 2] {
        assert_eq!(get(&server, &format!("{PICTURE}{seed}"), &[]).await.status(), 200);
    }
    problem(get(&server, &format!("{PICTURE}3"), &[]).await, 429).await;
}
