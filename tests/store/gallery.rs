//! The gallery: pages, filters, favourites, deleting, archives, and whose pictures they are.

use std::io::{Cursor, Read};

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::with_timeout;
use crate::process::{OTHER_TOKEN, Process, Site};
use crate::program::rdpm;

const KEYS: &str = "alice:alice-alice-alice,bob:bob-bob-bob-bob-bob";

async fn gallery(process: &Process, query: &str) -> Vec<u64> {
    let page = process.json(&format!("/api/v1/gallery?{query}")).await;
    page["pictures"].as_array().unwrap().iter().map(|picture| picture["seed"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_without_gaps() {
    let site = Site::new();
    let process = site.serve(&[]);
    for seed in 1..=7 {
        process.draw(&json!({"class": seed % 2, "seed": seed})).await;
    }
    let (mut found, mut path) = (Vec::new(), "/api/v1/gallery?limit=3".to_owned());
    loop {
        let page = process.json(&path).await;
        let pictures = page["pictures"].as_array().unwrap();
        assert!(pictures.len() <= 3);
        found.extend(pictures.iter().map(|picture| picture["seed"].as_u64().unwrap()));
        // A picture that is drawn meanwhile doesn't move those of the next page.
        process.draw(&json!({"class": 0, "seed": 100})).await;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/v1/gallery?limit=3&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(gallery(&process, "class=two&limit=200").await, [7, 5, 3, 1]);
    assert_eq!(gallery(&process, "class=two&model=other").await, [0; 0]);
    assert_eq!(gallery(&process, "search=tw%20eig&limit=2").await, [7, 5]);
    assert_eq!(gallery(&process, "after=2020-01-01T00:00:00Z&class=two&limit=1").await, [7]);
    assert_eq!(gallery(&process, "before=2020-01-01T00:00:00Z").await, [0; 0]);
}

#[tokio::test]
async fn pictures_after_the_cursor_can_be_skipped() {
    let site = Site::new();
    let process = site.serve(&[]);
    for seed in 1..=7 {
        process.draw(&json!({"class": seed % 2, "seed": seed})).await;
    }
    let first = process.json("/api/v1/gallery?limit=2").await;
    let next = first["next"].as_str().unwrap();
    process.draw(&json!({"class": 0, "seed": 100})).await;
    assert_eq!(gallery(&process, &format!("limit=2&cursor={next}&skip=2")).await, [3, 2]);
    assert_eq!(gallery(&process, "limit=3&skip=5").await, [3, 2, 1]);
    assert_eq!(gallery(&process, "skip=1&search=two&limit=1").await, [5]);
    assert_eq!(gallery(&process, "skip=8").await, [0; 0]);
    assert_eq!(process.get("/api/v1/gallery?skip=-1").await.status(), 422);
}

#[tokio::test]
async fn summary_counts_pictures_by_model_class_and_style() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 1, "count": 3})).await;
    process.draw(&json!({"class": 1, "seed": 2})).await;
    assert_eq!(process.send(Method::DELETE, &format!("/api/v1/gallery/{id}/1")).await.status(), 200);
    let summary = process.json("/api/v1/gallery/summary").await;
    let group = |class, pictures| json!({"model": "eighth", "class": class, "pictures": pictures});
    assert_eq!(summary, json!({"pictures": 3, "groups": [group("one", 2), group("two", 1)]}));
    let found = process.json("/api/v1/gallery/summary?search=two&favourite=false").await;
    assert_eq!(found, json!({"pictures": 1, "groups": [group("two", 1)]}));
    for query in ["search=*", "class=other", "before=2020-01-01T00:00:00Z", "favourite=true"] {
        let none = process.json(&format!("/api/v1/gallery/summary?{query}")).await;
        assert_eq!(none, json!({"pictures": 0, "groups": []}), "{query}");
    }
    for query in ["limit=1", "favourite=2"] {
        assert_eq!(process.get(&format!("/api/v1/gallery/summary?{query}")).await.status(), 422, "{query}");
    }
    let other = process.request(Method::GET, "/api/v1/gallery/summary").header("rdpm-client", OTHER_TOKEN);
    let other: Value = with_timeout(other.send()).await.unwrap().json().await.unwrap();
    assert_eq!(other["pictures"], 0);
    let nobody = process.request(Method::GET, "/api/v1/gallery/summary");
    assert_eq!(with_timeout(nobody.send()).await.unwrap().status(), 422);
}

#[tokio::test]
async fn favourites_are_marked_and_unmarked() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 1, "count": 2})).await;
    process.draw(&json!({"class": 0, "seed": 2})).await;
    let path = format!("/api/v1/gallery/{id}/1/favourite");
    assert_eq!(process.send(Method::PUT, &path).await.status(), 204);
    assert_eq!(gallery(&process, "favourite=true").await, [1]);
    assert_eq!(gallery(&process, "favourite=false").await, [2, 1]);
    assert_eq!(process.send(Method::DELETE, &path).await.status(), 204);
    assert_eq!(gallery(&process, "favourite=true").await, [0; 0]);
}

#[tokio::test]
async fn deleted_picture_is_gone_and_can_be_restored() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 1, "count": 2})).await;
    let own = format!("/api/v1/generations/{id}");
    let before = process.json(&own).await;
    let picture = format!("/api/v1/gallery/{id}/0");
    let response = process.send(Method::DELETE, &picture).await;
    assert_eq!(response.status(), 200);
    let deleted: Value = response.json().await.unwrap();
    assert!(deleted["undo_until"].as_str().unwrap() > before["ended"].as_str().unwrap());
    for path in [format!("{picture}/image.png"), format!("{own}/images/0.png")] {
        assert_eq!(process.get(&path).await.status(), 404, "{path}");
    }
    assert_eq!(process.json(&own).await["images"].as_array().unwrap().len(), 1);
    assert_eq!(process.tokens(&id).await.iter().filter(|entry| entry[0] == 0).count(), 0);
    assert_eq!(process.send(Method::DELETE, &picture).await.status(), 404);
    assert_eq!(process.send(Method::POST, &format!("{picture}/restore")).await.status(), 204);
    assert_eq!(process.json(&own).await, before);
    assert_eq!(process.get(&format!("{picture}/image.png")).await.status(), 200);

    // After the time to undo it is removed, and its file with it.
    process.send(Method::DELETE, &picture).await;
    process.stop();
    site.database()
        .execute("UPDATE pictures SET deleted = deleted - 1000000 WHERE deleted IS NOT NULL", [])
        .unwrap();
    let process = site.serve(&[]);
    assert_eq!(process.send(Method::POST, &format!("{picture}/restore")).await.status(), 404);
    process.stop();
    let (files, named) = site.check();
    assert_eq!(files, named);
    assert_eq!(named.len(), 2);
}

#[tokio::test]
async fn archive_has_the_selected_pictures() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 1, "seed": 5, "count": 3})).await;
    let download = |body: Value| {
        let request = process.request(Method::POST, "/api/v1/gallery/download");
        with_timeout(request.header("rdpm-client", crate::process::TOKEN).json(&body).send())
    };
    let selected = json!([{"generation": id, "index": 2}, {"generation": id, "index": 0}]);
    let response = download(json!({"pictures": selected})).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "application/zip");
    let mut archive = zip::ZipArchive::new(Cursor::new(response.bytes().await.unwrap())).unwrap();
    for (at, (name, index)) in [("0001-two-5-2.png", 2), ("0002-two-5-0.png", 0)].into_iter().enumerate() {
        let mut file = archive.by_index(at).unwrap();
        assert_eq!(file.name().unwrap(), name);
        let mut content = Vec::new();
        file.read_to_end(&mut content).unwrap();
        assert!(content == process.bytes(&format!("/api/v1/generations/{id}/images/{index}.png")).await);
    }
    let missing = json!([{"generation": id, "index": 9}]);
    assert_eq!(download(json!({"pictures": missing})).await.unwrap().status(), 404);
    for pictures in
        [json!([]), json!("all"), json!([{"generation": "../../etc/passwd", "index": 0}]), Value::Null]
    {
        let response = download(json!({"pictures": pictures})).await.unwrap();
        assert_eq!(response.status(), 422, "{pictures}");
    }
    let many = vec![json!({"generation": id, "index": 0}); 501];
    assert_eq!(download(json!({"pictures": many})).await.unwrap().status(), 422);
}

#[tokio::test]
async fn pictures_of_another_token_are_not_in_the_gallery() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 1})).await;
    let other = |method: Method, path: String| {
        with_timeout(process.request(method, &path).header("rdpm-client", OTHER_TOKEN).send())
    };
    let page: Value = other(Method::GET, "/api/v1/gallery".into()).await.unwrap().json().await.unwrap();
    assert_eq!(page["pictures"], json!([]));
    let page: Value =
        other(Method::GET, "/api/v1/gallery?search=one".into()).await.unwrap().json().await.unwrap();
    assert_eq!(page["pictures"], json!([]));
    for (method, path) in [
        (Method::PUT, "/favourite"),
        (Method::DELETE, "/favourite"),
        (Method::DELETE, ""),
        (Method::POST, "/restore"),
    ] {
        let response = other(method, format!("/api/v1/gallery/{id}/0{path}")).await.unwrap();
        assert_eq!(response.status(), 404, "{path}");
    }
    // A gallery belongs to somebody.
    let nobody = with_timeout(process.request(Method::GET, "/api/v1/gallery").send()).await.unwrap();
    assert_eq!(nobody.status(), 422);
}

#[tokio::test]
async fn pictures_of_another_key_are_refused() {
    let site = Site::new();
    let with_keys =
        |more: &[&str]| Process::start(rdpm().args(site.arguments(more)).env("RDPM_API_KEYS", KEYS));
    let send = |process: &Process, method: Method, path: &str, key: &str| {
        let request = process.request(method, path).bearer_auth(key);
        let request = if path == "/api/v1/generations" {
            request.json(&json!({"class": 0, "seed": 4}))
        } else {
            request
        };
        with_timeout(request.send())
    };
    let (alice, bob) = ("alice-alice-alice", "bob-bob-bob-bob-bob");
    let mut process = with_keys(&[]);
    let made = send(&process, Method::POST, "/api/v1/generations", alice).await.unwrap();
    let id = made.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned();
    let own = format!("/api/v1/generations/{id}");
    let picture = format!("/api/v1/gallery/{id}/0/image.png");
    let wait = async {
        while send(&process, Method::GET, &picture, alice).await.unwrap().status() != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    with_timeout(wait).await;
    for _ in 0..2 {
        assert_eq!(send(&process, Method::GET, &picture, bob).await.unwrap().status(), 404);
        assert_eq!(send(&process, Method::GET, &picture, alice).await.unwrap().status(), 200);
        for (method, path) in [
            (Method::PUT, format!("/api/v1/gallery/{id}/0/favourite")),
            (Method::DELETE, format!("/api/v1/gallery/{id}/0")),
        ] {
            assert_eq!(send(&process, method, &path, bob).await.unwrap().status(), 404, "{path}");
        }
        assert_eq!(send(&process, Method::DELETE, &own, bob).await.unwrap().status(), 403);
        let page: Value =
            send(&process, Method::GET, "/api/v1/gallery", bob).await.unwrap().json().await.unwrap();
        assert_eq!(page["pictures"], json!([]));
        let page: Value =
            send(&process, Method::GET, "/api/v1/gallery", alice).await.unwrap().json().await.unwrap();
        assert_eq!(page["pictures"][0]["generation"], json!(id));
        process.stop();
        process = with_keys(&[]);
    }
}

#[tokio::test]
async fn search_words_are_no_sql_and_no_query_syntax() {
    let site = Site::new();
    let process = site.serve(&[]);
    process.draw(&json!({"class": 0, "seed": 1})).await;
    for search in [
        "'; DROP TABLE pictures; --",
        "\" OR 1=1 --",
        "owner:x OR one",
        "one NOT one",
        "text : one) OR (owner : two",
        "NEAR(one two)",
        "*",
        "\"",
        "\0one",
        "%_",
        "^one",
    ] {
        let url = reqwest::Url::parse_with_params("http://x/api/v1/gallery", [("search", search)]).unwrap();
        let path = format!("{}?{}", url.path(), url.query().unwrap());
        let response = process.get(&path).await;
        assert_eq!(response.status(), 200, "{search}");
        let page: Value = response.json().await.unwrap();
        // A zero byte is left out; what is left is the word.
        let expected = usize::from(search == "\0one" || search == "^one");
        assert_eq!(page["pictures"].as_array().unwrap().len(), expected, "{search}");
    }
    for (name, value) in [("class", "' OR ''='"), ("model", "x' UNION SELECT 1 --"), ("style", "\"")] {
        let url = reqwest::Url::parse_with_params("http://x/api/v1/gallery", [(name, value)]).unwrap();
        assert_eq!(gallery(&process, url.query().unwrap()).await, [0; 0]);
    }
    assert_eq!(gallery(&process, "search=ONE").await, [1]);
    for query in [
        "limit=0",
        "limit=201",
        "cursor=-1",
        "cursor=1%20OR%201",
        "favourite=2",
        "after=yesterday",
        "class=a&class=b",
        "what=1",
    ] {
        assert_eq!(process.get(&format!("/api/v1/gallery?{query}")).await.status(), 422, "{query}");
    }
}

#[tokio::test]
async fn paths_lead_to_no_other_file() {
    let site = Site::new();
    let process = site.serve(&[]);
    let id = process.draw(&json!({"class": 0, "seed": 1})).await;
    for path in [
        "..%2f..%2fetc%2fpasswd/0/image.png".to_owned(),
        format!("{id}/..%2f..%2frdpm.sqlite/image.png"),
        format!("{id}/0%2f../image.png"),
        format!("{id}/-1/image.png"),
        format!("{id}/%2b0/image.png"),
        format!("{id}/16/image.png"),
        format!("{id}/4294967296/image.png"),
    ] {
        assert_eq!(process.get(&format!("/api/v1/gallery/{path}")).await.status(), 404, "{path}");
    }
    process.stop();
    // Even if somebody changes the database.
    std::fs::write(site.path().join("secret"), "secret").unwrap();
    for name in ["../../secret", "/etc/passwd", "../rdpm.sqlite"] {
        site.database().execute("UPDATE pictures SET file = ?1", [name]).unwrap();
        let process = site.serve(&[]);
        for path in
            [format!("/api/v1/gallery/{id}/0/image.png"), format!("/api/v1/generations/{id}/images/0.png")]
        {
            let response = process.get(&path).await;
            assert_eq!(response.status(), 503, "{path}");
            assert!(!response.text().await.unwrap().contains("secret"));
        }
        process.stop();
    }
}
