//! The page and its files.

use crate::common::{Server, options, with_timeout};

#[tokio::test]
async fn the_page_names_the_classes_and_allows_nothing_from_elsewhere() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let response = server.get("/").await;
    assert_eq!(response.status(), 200);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/html; charset=utf-8");
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; "));
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "same-origin");
    let page = response.text().await.unwrap();
    for class in ["Circle", "Square", "Ankle boot"] {
        assert!(page.contains(class), "{class}");
    }
    // Whatever the page links to from here is here.
    for (at, _) in page.match_indices("=\"/") {
        let path = &page[at + 2..];
        let path = &path[..path.find('"').unwrap()];
        assert_eq!(server.get(path).await.status(), 200, "{path}");
    }
    let missing = server.get("/nothing").await;
    assert!(missing.headers().contains_key("content-security-policy"));
}

#[tokio::test]
async fn static_files_are_revalidated() {
    let (server, _) = Server::with_fake_backend(options()).await;
    let response = server.get("/static/favicon.svg").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "image/svg+xml");
    let etag = response.headers()["etag"].clone();
    let again = server.client.get(server.url("/static/favicon.svg")).header("if-none-match", etag);
    assert_eq!(with_timeout(again.send()).await.unwrap().status(), 304);
    let other = server.client.get(server.url("/static/favicon.svg")).header("if-none-match", "\"other\"");
    assert_eq!(with_timeout(other.send()).await.unwrap().status(), 200);
}
