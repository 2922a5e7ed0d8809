//! The page below a path of another site, and pictures in pages of other sites.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;

use super::site::{Browser, Site, server, server_with};

#[tokio::test]
async fn page_works_below_a_path() {
    let (server, url) = server_with(0, &["--root-path", "/draw"]);
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&format!("{url}/draw?class=Bag&seed=12")).await;
    let site = Site { browser, url, server };
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return location.pathname").await, "/draw/");
    site.run("draw").await;
    assert_eq!(site.script("return location.pathname").await, "/draw/");
    site.goto(&format!("{}/draw/?view=tokenize", site.url)).await;
    site.click("[data-example]").await;
    site.until_state("tokenize", "completed").await;
    site.close().await;
}

/// A page that loads nothing from other sites unless they allow it.
#[tokio::test]
async fn other_sites_can_embed_pictures() {
    let (_server, url) = server(0);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    // For a browser, `localhost` is another site than `127.0.0.1`.
    let other = format!("http://localhost:{}/", listener.local_addr().unwrap().port());
    let sources =
        ["Bag.png?seed=ada&scale=8", "8.webp?seed=ada&scale=8", "8.gif?scale=8", "8.apng?seed=ada&scale=8"];
    let images: String = sources
        .iter()
        .map(|source| format!("<img src=\"{url}/api/v1/pictures/fashion-mnist/{source}\">"))
        .collect();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let _ = connection.read(&mut [0; 4096]);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\
                cross-origin-embedder-policy: require-corp\r\ncross-origin-opener-policy: same-origin\r\n\r\n";
            let _ = write!(connection, "{head}<!doctype html><link rel=icon href=data:,>{images}");
        }
    });
    let browser = Browser::start(1440, 1000).await;
    browser.goto(&other).await;
    assert_eq!(browser.script("return crossOriginIsolated").await, json!(true));
    let widths = browser.script("return [...document.images].map(image => image.naturalWidth)").await;
    assert_eq!(widths, json!([224, 224, 224, 224]));
    browser.close().await;
}
