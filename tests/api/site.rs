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

#[tokio::test]
async fn a_link_to_a_picture_has_a_title_a_description_and_an_image() {
    let (server, script) = Server::with_fake_backend(options()).await;
    let link = "/?class=Circle&class=Square&seed=7&count=2&pick=4";
    let request = server.client.get(server.url(link)).header("x-forwarded-proto", "https");
    let page = with_timeout(request.send()).await.unwrap().text().await.unwrap();
    assert!(page.contains("<title>Square, seed 7, no. 2 · RDPM: pictures from tokens</title>"));
    assert!(page.contains("content=\"Square, seed 7, no. 2: drawn from noise by "));
    let meta = |property: &str| {
        let start = format!("<meta property=\"{property}\" content=\"");
        Some(page.split_once(&start)?.1.split_once('"').unwrap().0.replace("&#38;", "&"))
    };
    assert_eq!(meta("og:title").unwrap(), "Square, seed 7, no. 2 · RDPM");
    // As on the page, the order of the classes is the model's.
    let link_of_other_order = "/?class=Square&class=Circle&seed=7&count=2&pick=4";
    let page = server.get(link_of_other_order).await.text().await.unwrap();
    assert!(page.contains("<title>Square, seed 7, no. 2 · RDPM: pictures from tokens</title>"));
    let query = link.trim_start_matches("/?");
    let image = format!("https://{}/preview.png?{query}", server.address);
    assert_eq!(meta("og:image").unwrap(), image);
    let side: u32 = meta("og:image:width").unwrap().parse().unwrap();

    let response = server.get(&format!("/preview.png?{query}")).await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"image/png".parse().unwrap())
    );
    assert_eq!(response.headers()["cache-control"], "public, max-age=86400");
    let bytes = response.bytes().await.unwrap();
    let preview = image::load_from_memory(&bytes).unwrap();
    assert_eq!((preview.width(), preview.height()), (side, side));
    // The second request draws nothing.
    let steps = script.batches().len();
    assert_eq!(server.get(&format!("/preview.png?{query}")).await.bytes().await.unwrap(), bytes);
    assert_eq!(script.batches().len(), steps);

    // A page without a picture has none to show.
    let page = server.get("/?seed=7").await.text().await.unwrap();
    assert!(page.contains("<title>Draw · ") && !page.contains("og:image"));
}

#[tokio::test]
async fn link_previews_refuse_incomplete_addresses_and_pages_of_other_sites() {
    let (server, _) = Server::with_fake_backend(options()).await;
    for query in ["", "?class=Circle", "?class=Circle&seed=1&temperature=99", "?class=None&seed=1"] {
        assert_eq!(server.get(&format!("/preview.png{query}")).await.status(), 404, "{query}");
    }
    let request = server.client.get(server.url("/preview.png?class=Circle&seed=1"));
    let embedded = request.header("sec-fetch-site", "cross-site").send();
    assert_eq!(with_timeout(embedded).await.unwrap().status(), 403);
}
