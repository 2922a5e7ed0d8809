//! The site behind real proxies, below a path: nginx, Caddy and HAProxy, which must be installed.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rdpm::web::{Options, ProxyHeader};
use reqwest::{Client, Response, redirect};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{STEPS, Script, Server, with_timeout};
use crate::site;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Nginx,
    Caddy,
    HaProxy,
}

/// A running proxy, which serves the site at `http://127.0.0.1:PORT/draw/`. It is stopped when this is dropped.
struct Proxy {
    child: Child,
    port: u16,
    client: Client,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Proxy {
    /// A proxy in front of a server. It removes `/draw` from requests, and says so in `X-Forwarded-Prefix`, or passes them on
    /// as they are.
    async fn start(kind: Kind, server: &Server, strips: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = folder.path().join("proxy.conf");
        fs::write(&file, configuration(kind, folder.path(), port, server.address.port(), strips)).unwrap();
        let file = file.to_str().unwrap();
        let (program, arguments) = match kind {
            Kind::Nginx => ("nginx", vec!["-e", "stderr", "-c", file]),
            Kind::Caddy => ("caddy", vec!["run", "--adapter", "caddyfile", "--config", file]),
            Kind::HaProxy => ("haproxy", vec!["-db", "-f", file]),
        };
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", folder.path()).stderr(Stdio::null()).stdout(Stdio::null());
        // Where Debian installs servers.
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; install it as scripts/test does"));
        let client = Client::builder().redirect(redirect::Policy::none()).build().unwrap();
        let proxy = Self { child, port, client, _folder: folder };
        let started = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        with_timeout(started).await;
        proxy
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    async fn get(&self, path: &str) -> Response {
        with_timeout(self.client.get(self.url(path)).send()).await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        // As the page's scripts do by plain HTTP.
        let request = self.client.post(self.url(path)).header("origin", self.url("")).json(body);
        with_timeout(request.send()).await.unwrap()
    }
}

fn configuration(kind: Kind, folder: &Path, port: u16, server: u16, strips: bool) -> String {
    let folder = folder.display();
    // Both versions of HTTP; nginx speaks only the first to servers.
    let (caddy_scheme, haproxy_protocol) = if strips { ("", "") } else { ("h2c://", "proto h2") };
    match kind {
        Kind::Nginx => {
            let slash = if strips { "/" } else { "" };
            let prefix = if strips { "proxy_set_header X-Forwarded-Prefix /draw;" } else { "" };
            let temp: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                .iter()
                .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
                .collect();
            format!(
                "daemon off; pid {folder}/pid; worker_processes 1; master_process off;
                 events {{ worker_connections 64; }}
                 http {{
                     access_log off;
                     {temp}
                     server {{
                         listen 127.0.0.1:{port};
                         location /draw {{
                             proxy_pass http://127.0.0.1:{server};
                             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                             proxy_set_header X-Forwarded-Host $http_host;
                         }}
                         location /draw/ {{
                             proxy_pass http://127.0.0.1:{server}{slash};
                             proxy_http_version 1.1;
                             proxy_set_header Connection \"\";
                             proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                             proxy_set_header X-Forwarded-Proto $scheme;
                             proxy_set_header X-Forwarded-Host $http_host;
                             {prefix}
                         }}
                     }}
                 }}"
            )
        }
        Kind::Caddy => {
            let handle = if strips { "handle_path /draw/*" } else { "handle /draw*" };
            let prefix = if strips { "header_up X-Forwarded-Prefix /draw" } else { "" };
            format!(
                "{{
                     admin off
                     auto_https off
                 }}
                 http://127.0.0.1:{port} {{
                     bind 127.0.0.1
                     {handle} {{
                         reverse_proxy {caddy_scheme}127.0.0.1:{server} {{
                             {prefix}
                         }}
                     }}
                 }}\n"
            )
        }
        Kind::HaProxy => {
            let strip = if strips {
                "http-request set-header X-Forwarded-Prefix /draw\n http-request replace-path ^/draw(/.*)$ \\1"
            } else {
                ""
            };
            format!(
                "defaults
                     mode http
                     timeout connect 5s
                     timeout client 60s
                     timeout server 60s
                 frontend clients
                     bind 127.0.0.1:{port}
                     option forwardfor
                     http-request set-header X-Forwarded-Host %[req.hdr(host)]
                     http-request set-header X-Forwarded-Proto http
                     {strip}
                     default_backend servers
                 backend servers
                     server one 127.0.0.1:{server} {haproxy_protocol}\n"
            )
        }
    }
}

/// Everything that a browser and a client need, below `/draw`.
async fn check(kind: Kind, strips: bool) {
    let root_path = if strips { "" } else { "/draw" }.parse().unwrap();
    let trust_proxy = Some(ProxyHeader::XForwardedFor);
    let (server, script) = Server::with_web_options(Options { trust_proxy, root_path, ..site() }).await;
    let proxy = Proxy::start(kind, &server, strips).await;
    page(&proxy).await;
    if !strips {
        let redirect = proxy.get("/draw?class=Circle").await;
        assert_eq!(redirect.status(), 308, "{kind:?}");
        assert_eq!(redirect.headers()["location"], "/draw/?class=Circle");
    }
    api(&proxy, &script).await;
    openai(&proxy).await;
    picture(&proxy).await;
}

async fn page(proxy: &Proxy) {
    for path in ["/draw/", "/draw/docs"] {
        let response = proxy.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        // The addresses of the API's operations are below the path, too; they have parameters.
        let text = response.text().await.unwrap().replace("data-path=\"/draw/", "data-path=\"");
        let links: Vec<&str> = text
            .split('"')
            .filter(|text| text.starts_with('/') && !text.starts_with("/>") && *text != "/draw")
            .collect();
        assert!(links.len() > 2, "{path}: {links:?}");
        for link in links {
            assert!(link.starts_with("/draw/"), "{path} has {link}");
            if !link.contains('?') {
                assert_eq!(proxy.get(link).await.status(), 200, "{path} has {link}");
            }
        }
    }
    let page = proxy.get("/draw/").await.text().await.unwrap();
    assert!(page.contains("<meta name=\"rdpm-root\" content=\"/draw\">"));
    let linked = proxy.get("/draw/?class=Circle&seed=1").await.text().await.unwrap();
    let image = format!("content=\"{}?class=Circle&#38;seed=1\"", proxy.url("/draw/preview.png"));
    assert!(linked.contains(&image), "no {image}");
    let document: Value = proxy.get("/draw/openapi.json").await.json().await.unwrap();
    assert_eq!(document["servers"][0]["url"], "/draw");
}

/// A generation, whose events must come as they happen.
async fn api(proxy: &Proxy, script: &Arc<Script>) {
    script.pause();
    let created = proxy.post("/draw/api/v1/generations", &json!({"class": 0, "seed": 3})).await;
    assert_eq!(created.status(), 202);
    let location = created.headers()["location"].to_str().unwrap().to_owned();
    let body: Value = created.json().await.unwrap();
    let id = body["id"].as_str().unwrap();
    assert_eq!(location, format!("/draw/api/v1/generations/{id}"));
    assert_eq!(body["links"], json!({"self": location, "events": format!("{location}/events")}));

    let mut stream = proxy.get(&format!("{location}/events")).await;
    assert_eq!(stream.headers()["cache-control"], "no-store, no-transform");
    let mut events = String::new();
    // They are here while the first step waits.
    while !events.contains("event: started") {
        events += &String::from_utf8_lossy(&with_timeout(stream.chunk()).await.unwrap().unwrap());
    }
    script.resume();
    while let Some(chunk) = with_timeout(stream.chunk()).await.unwrap() {
        events += &String::from_utf8_lossy(&chunk);
    }
    assert_eq!(events.matches("event: step").count(), STEPS);
    let (_, completed) = events.split_once("event: completed").unwrap();
    let data = completed.lines().find_map(|line| line.strip_prefix("data:")).unwrap();
    let generation: Value = serde_json::from_str(data).unwrap();
    assert_eq!(generation["links"]["self"], location);
    let url = generation["images"][0]["url"].as_str().unwrap();
    assert_eq!(url, format!("{location}/images/0.png"));
    assert_eq!(proxy.get(url).await.status(), 200);

    let waited = proxy.post("/draw/api/v1/generations?wait=true", &json!({"class": 0})).await;
    let generation: Value = waited.json().await.unwrap();
    assert!(generation["links"]["self"].as_str().unwrap().starts_with("/draw/api/"), "{generation}");
    let own: Value = proxy.get(&location).await.json().await.unwrap();
    assert_eq!(own["links"]["self"], location);
}

async fn openai(proxy: &Proxy) {
    let body = json!({"prompt": "a circle", "response_format": "url"});
    let images: Value = proxy.post("/draw/v1/images/generations", &body).await.json().await.unwrap();
    let url = images["data"][0]["url"].as_str().unwrap();
    assert!(url.starts_with(&proxy.url("/draw/v1/images/files/")), "{url}");
    assert_eq!(with_timeout(proxy.client.get(url).send()).await.unwrap().status(), 200);
}

async fn picture(proxy: &Proxy) {
    let client = Client::new();
    let url = proxy.url("/draw/api/v1/pictures/toy/Ankle%20boot.png?seed=a+b");
    let response = with_timeout(client.get(url).send()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.url().path().starts_with("/draw/api/v1/pictures/toy@"), "{}", response.url());
}

#[tokio::test]
async fn site_works_behind_nginx() {
    check(Kind::Nginx, true).await;
    check(Kind::Nginx, false).await;
}

#[tokio::test]
async fn site_works_behind_caddy() {
    check(Kind::Caddy, true).await;
    check(Kind::Caddy, false).await;
}

#[tokio::test]
async fn site_works_behind_haproxy() {
    check(Kind::HaProxy, true).await;
    check(Kind::HaProxy, false).await;
}

#[tokio::test]
async fn only_a_trusted_proxy_names_host_and_path() {
    let headers = [("x-forwarded-host", "draw.example"), ("x-forwarded-prefix", "/draw")];
    for (trust_proxy, links, url) in [
        (None, "/api/v1/", "http://127.0.0.1:"),
        (Some(ProxyHeader::XForwardedFor), "/draw/api/v1/", "http://draw.example/draw/v1/"),
        (Some(ProxyHeader::Forwarded), "/draw/api/v1/", "http://draw.example/draw/v1/"),
    ] {
        let (server, _script) = Server::with_web_options(Options { trust_proxy, ..site() }).await;
        let post = |path: &str, body: Value| {
            let request = server.client.post(server.url(path)).json(&body);
            headers.iter().fold(request, |request, &(name, value)| request.header(name, value)).send()
        };
        let created: Value = with_timeout(post("/api/v1/generations", json!({"class": 0})))
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert!(created["links"]["self"].as_str().unwrap().starts_with(links), "{created}");
        let body = json!({"prompt": "circle", "response_format": "url"});
        let images: Value =
            with_timeout(post("/v1/images/generations", body)).await.unwrap().json().await.unwrap();
        assert!(images["data"][0]["url"].as_str().unwrap().starts_with(url), "{images}");
    }
    // A path that is none is ignored.
    let trust_proxy = Some(ProxyHeader::XForwardedFor);
    let (server, _script) = Server::with_web_options(Options { trust_proxy, ..site() }).await;
    for prefix in ["//evil.example", "draw", "/\"><script>", "/a b"] {
        let request = server.client.get(server.url("/")).header("x-forwarded-prefix", prefix);
        let page = with_timeout(request.send()).await.unwrap().text().await.unwrap();
        assert!(page.contains("<meta name=\"rdpm-root\" content=\"\">"), "{prefix}");
    }
}
