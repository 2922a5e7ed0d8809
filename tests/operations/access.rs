//! Keys, rate limits and other sites.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdpm::web::{ApiKey, Options, ProxyHeader, PublicPaths, RateLimit};
use reqwest::{Method, Response};
use serde_json::json;

use crate::common::{Server, with_timeout};
use crate::{problem, site};

const KEY: &str = "a-key-of-some-length";
const OTHER: &str = "another-key-of-some-length";

async fn closed(public_paths: PublicPaths) -> Server {
    let keys = ApiKey::parse_lines(&format!("# both\nphone:{KEY}\n\n{OTHER}\n")).unwrap();
    Server::with_web_options(Options { keys, public_paths, ..site() }).await.0
}

async fn ask(server: &Server, path: &str, authorization: &str) -> Response {
    let request = server.client.get(server.url(path)).header("authorization", authorization);
    with_timeout(request.send()).await.unwrap()
}

fn basic(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("anybody:{key}")))
}

#[tokio::test]
async fn without_a_key_the_api_is_closed() {
    let server = closed(PublicPaths::default()).await;
    for path in
        ["/api/v1/models", "/api/v1/nothing", "/v1/models", "/metrics", "/", "/static/styles/base.css"]
    {
        let response = server.get(path).await;
        let challenges: Vec<_> = response.headers().get_all("www-authenticate").iter().collect();
        assert_eq!(
            challenges,
            ["Bearer realm=\"rdpm\"", "Basic realm=\"rdpm\", charset=\"UTF-8\""],
            "{path}"
        );
        assert_eq!(response.status(), 401, "{path}");
    }
    problem(server.get("/api/v1/models").await, 401).await;
    problem(server.post(&json!({"class": 0})).await, 401).await;
    assert_eq!(server.get("/health/ready").await.status(), 200);
    let wrong = [
        format!("Bearer {KEY}x"),
        format!("Bearer {}", &KEY[1..]),
        "Bearer ".into(),
        format!("Bearer phone:{KEY}"),
        format!("Token {KEY}"),
        KEY.into(),
        basic("guess"),
        "Basic !!!".into(),
        format!("Basic {}", STANDARD.encode(KEY)),
    ];
    for authorization in wrong {
        let body = problem(ask(&server, "/api/v1/models", &authorization).await, 401).await;
        assert!(!body.to_string().contains(KEY), "{body}");
    }
}

#[tokio::test]
async fn each_key_opens_everything_as_bearer_or_as_a_password() {
    let server = closed(PublicPaths::default()).await;
    for key in [KEY, OTHER] {
        for authorization in [format!("Bearer {key}"), format!("bearer {key}"), basic(key)] {
            for path in ["/api/v1/models", "/", "/metrics"] {
                assert_eq!(ask(&server, path, &authorization).await.status(), 200, "{path} {authorization}");
            }
        }
    }
    let create = server.client.post(server.url("/api/v1/generations")).json(&json!({"class": 0}));
    let created = with_timeout(create.header("authorization", basic(KEY)).send()).await.unwrap();
    assert_eq!(created.status(), 202);
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let stream = ask(&server, &format!("{location}/events"), &basic(KEY)).await;
    assert!(with_timeout(stream.text()).await.unwrap().contains("event: completed"));
}

#[tokio::test]
async fn parts_other_than_the_api_can_be_opened_and_health_closed() {
    let server = closed(PublicPaths { health: false, metrics: true, page: true, pictures: false }).await;
    for (path, status) in [
        ("/health/live", 401),
        ("/health/ready", 401),
        ("/metrics", 200),
        ("/", 200),
        ("/static/styles/base.css", 200),
        ("/api/v1/models", 401),
        ("/nothing", 404),
        // Draws a picture.
        ("/preview.png?class=Circle&seed=1", 401),
    ] {
        assert_eq!(server.get(path).await.status(), status, "{path}");
    }
    let form =
        server.client.post(server.url("/")).header("content-type", "application/x-www-form-urlencoded");
    let drawn = form.body("class=0").send();
    assert_eq!(with_timeout(drawn).await.unwrap().status(), 401, "who may see the page may not draw yet");
}

#[tokio::test]
async fn a_server_without_keys_asks_for_none_and_minds_none() {
    let (server, _script) = Server::with_web_options(site()).await;
    assert_eq!(ask(&server, "/api/v1/models", "Bearer whatever").await.status(), 200);
}

#[test]
fn keys_that_could_be_guessed_or_mistaken_are_refused_unseen() {
    for text in [
        "short",
        "phone:short",
        "with a blank in the middle",
        "a b:0123456789abcdef",
        ":0123456789abcdef",
        "a,0123456789abcdef",
    ] {
        let error = text.parse::<ApiKey>().unwrap_err().to_string();
        assert!(!error.contains(text) && !error.is_empty(), "{error}");
    }
    let error = ApiKey::parse_lines(&format!("{KEY}\n\nshort\n")).unwrap_err().to_string();
    assert!(error.starts_with("line 3: the key must have 16"), "{error}");
    let key: ApiKey = format!("phone:{KEY}").parse().unwrap();
    assert_eq!((format!("{key}"), format!("{key:?}")), ("phone:***".into(), "phone:***".into()));
}

fn limited() -> Options {
    let [per_minute, burst] = [2, 3].map(|number| NonZeroU32::new(number).unwrap());
    Options { rate_limit: Some(RateLimit { per_minute, burst }), ..site() }
}

async fn post_as(server: &Server, header: &str, value: &str) -> Response {
    let request = server.client.post(server.url("/api/v1/generations")).json(&json!({"class": 0}));
    with_timeout(request.header(header, value).send()).await.unwrap()
}

async fn assert_limited(response: Response) {
    let seconds: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    // Two a minute.
    assert!((1..=30).contains(&seconds), "{seconds}");
    assert_eq!(problem(response, 429).await["type"], "urn:rdpm:problem:rate-limited");
}

#[tokio::test]
async fn a_client_that_asks_too_often_has_to_wait() {
    let (server, _script) = Server::with_web_options(limited()).await;
    for _ in 0..3 {
        server.generate(&json!({"class": 0})).await;
    }
    assert_limited(server.post(&json!({"class": 0})).await).await;
    // Whatever it claims: nobody said that a proxy is to be believed.
    assert_limited(post_as(&server, "x-forwarded-for", "192.0.2.1").await).await;
    // A picture of a link is work as well.
    assert_limited(server.get("/preview.png?class=Circle&seed=1").await).await;
    // Looking is free.
    for _ in 0..10 {
        assert_eq!(server.get("/api/v1/models").await.status(), 200);
    }
}

#[tokio::test]
async fn behind_a_proxy_each_of_its_clients_counts() {
    let trust_proxy = Some(ProxyHeader::XForwardedFor);
    let (server, _script) = Server::with_web_options(Options { trust_proxy, ..limited() }).await;
    // The last address is the proxy's word; those before it are the client's.
    let claims = ["192.0.2.1", "198.51.100.7, 192.0.2.1", "10.0.0.1,192.0.2.1"];
    for claim in claims {
        assert_eq!(post_as(&server, "x-forwarded-for", claim).await.status(), 202);
    }
    assert_limited(post_as(&server, "x-forwarded-for", "192.0.2.1").await).await;
    assert_eq!(post_as(&server, "x-forwarded-for", "192.0.2.2").await.status(), 202);
    // All of an IPv6 network is one client.
    for host in ["::1", "::2", "ffff::3"] {
        let address = format!("2001:db8:0:1{}", if host.starts_with("ffff") { ":ffff::3" } else { host });
        assert_eq!(post_as(&server, "x-forwarded-for", &address).await.status(), 202, "{address}");
    }
    assert_limited(post_as(&server, "x-forwarded-for", "2001:db8:0:1::4").await).await;
    assert_eq!(post_as(&server, "x-forwarded-for", "2001:db8:0:2::1").await.status(), 202);
    // Some proxies add ports, and brackets.
    for client in ["203.0.113.7:51234", "203.0.113.7:51235", "203.0.113.7"] {
        assert_eq!(post_as(&server, "x-forwarded-for", client).await.status(), 202, "{client}");
    }
    assert_limited(post_as(&server, "x-forwarded-for", "203.0.113.7:1").await).await;
    assert_eq!(post_as(&server, "x-forwarded-for", "203.0.113.8:51234").await.status(), 202);
    assert_limited(post_as(&server, "x-forwarded-for", "[2001:db8:0:1::9]:443").await).await;

    let trust_proxy = Some(ProxyHeader::Forwarded);
    let (server, _script) = Server::with_web_options(Options { trust_proxy, ..limited() }).await;
    for client in
        ["for=192.0.2.1", "for=10.0.0.1, for=\"192.0.2.1:4711\";proto=http", "For=192.0.2.1;by=10.0.0.9"]
    {
        assert_eq!(post_as(&server, "forwarded", client).await.status(), 202, "{client}");
    }
    assert_limited(post_as(&server, "forwarded", "for=192.0.2.1").await).await;
    assert_eq!(post_as(&server, "forwarded", "for=\"[2001:db8::1]:443\"").await.status(), 202);
}

#[tokio::test]
async fn each_key_has_its_own_limit() {
    let keys = vec![format!("phone:{KEY}").parse().unwrap(), format!("laptop:{OTHER}").parse().unwrap()];
    let (server, _script) = Server::with_web_options(Options { keys, ..limited() }).await;
    for _ in 0..3 {
        assert_eq!(post_as(&server, "authorization", &format!("Bearer {KEY}")).await.status(), 202);
    }
    assert_limited(post_as(&server, "authorization", &format!("Bearer {KEY}")).await).await;
    assert_eq!(post_as(&server, "authorization", &format!("Bearer {OTHER}")).await.status(), 202);
}

async fn from_site(server: &Server, method: Method, headers: &[(&str, &str)]) -> Response {
    let mut request = server.client.request(method, server.url("/api/v1/generations"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    with_timeout(request.json(&json!({"class": 0})).send()).await.unwrap()
}

const PREFLIGHT: [(&str, &str); 2] = [
    ("access-control-request-method", "POST"),
    ("access-control-request-headers", "authorization,content-type"),
];

#[tokio::test]
async fn scripts_of_other_sites_are_kept_out_by_default() {
    let (server, _script) = Server::with_web_options(site()).await;
    let other = ("origin", "https://other.example");
    let response = from_site(&server, Method::POST, &[other]).await;
    assert!(!response.headers().contains_key("access-control-allow-origin"));
    problem(response, 403).await;
    problem(from_site(&server, Method::POST, &[other, ("sec-fetch-site", "cross-site")]).await, 403).await;
    let preflight = from_site(&server, Method::OPTIONS, &[other, PREFLIGHT[0], PREFLIGHT[1]]).await;
    assert!(!preflight.headers().contains_key("access-control-allow-origin"));
    // The page's own requests pass, and those of programs, which say nothing of an origin.
    let own = format!("http://{}", server.address);
    assert_eq!(from_site(&server, Method::POST, &[("origin", &own)]).await.status(), 202);
    let fetched = [("origin", own.as_str()), ("sec-fetch-site", "same-origin")];
    assert_eq!(from_site(&server, Method::POST, &fetched).await.status(), 202);
    assert_eq!(from_site(&server, Method::POST, &[]).await.status(), 202);
}

#[tokio::test]
async fn origins_of_programs_and_of_sub_domains_can_be_named() {
    let named = ["tauri://localhost", "chrome-extension://abcdef", "null", "https://*.friend.example"];
    let cors_origins = named.iter().map(|origin| origin.parse().unwrap()).collect();
    let (server, _script) = Server::with_web_options(Options { cors_origins, ..site() }).await;
    for (origin, is_named) in [
        ("tauri://localhost", true),
        ("chrome-extension://abcdef", true),
        ("null", true),
        ("https://a.friend.example", true),
        ("https://a.b.friend.example", true),
        ("https://friend.example", false),
        ("https://a.friend.example.evil.example", false),
        ("chrome-extension://other", false),
    ] {
        let headers = [("origin", origin), ("sec-fetch-site", "cross-site")];
        let response = from_site(&server, Method::POST, &headers).await;
        assert_eq!(response.status().as_u16(), if is_named { 202 } else { 403 }, "{origin}");
        let allowed =
            response.headers().get("access-control-allow-origin").map(|value| value.to_str().unwrap());
        assert_eq!(allowed, is_named.then_some(origin));
        if !is_named {
            let refused = problem(response, 403).await;
            assert!(refused["detail"].as_str().unwrap().contains("--cors-origin"), "{refused}");
        }
    }
}

#[tokio::test]
async fn scripts_of_named_sites_may_use_the_api() {
    let friend = "https://friend.example";
    let keys = vec![KEY.parse().unwrap()];
    let (server, _script) =
        Server::with_web_options(Options { cors_origins: vec![friend.parse().unwrap()], keys, ..site() })
            .await;
    let origin = ("origin", friend);
    let preflight = from_site(&server, Method::OPTIONS, &[origin, PREFLIGHT[0], PREFLIGHT[1]]).await;
    assert_eq!(preflight.status(), 200);
    assert_eq!(preflight.headers()["access-control-allow-origin"], friend);
    assert_eq!(preflight.headers()["access-control-allow-headers"], "authorization,content-type");
    let bearer = format!("Bearer {KEY}");
    let response = from_site(&server, Method::POST, &[origin, ("authorization", &bearer)]).await;
    assert_eq!(response.status(), 202);
    assert_eq!(response.headers()["access-control-allow-origin"], friend);
    // Errors can be read too; other sites get none of it.
    let refused = from_site(&server, Method::POST, &[origin]).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["access-control-allow-origin"]),
        (401, &friend.parse().unwrap())
    );
    let headers = [("origin", "https://other.example"), ("authorization", &bearer)];
    let other = from_site(&server, Method::POST, &headers).await;
    assert_eq!(other.status(), 403);
    assert_ne!(
        other.headers().get("access-control-allow-origin"),
        Some(&"https://other.example".parse().unwrap())
    );
}
