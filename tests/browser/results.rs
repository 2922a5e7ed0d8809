//! Finished pictures: history, saving, copying; and what the browser's storage holds.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Site, bytes_of, generated};

#[tokio::test]
async fn two_tabs_draw_at_the_same_time_and_share_the_history() {
    let site = Site::open("/?class=Bag&seed=1&count=8").await;
    let first = site.client.window().await.unwrap();
    let window = site.client.new_window(true).await.unwrap();
    site.client.switch_to_window(window.handle).await.unwrap();
    site.goto(&format!("{}/?class=Dress&seed=2&count=8", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Dress", "--seed", "2"]));
    site.client.switch_to_window(first).await.unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Bag", "--seed", "1"]));
    site.until("document.querySelectorAll('#draw .history-list a').length === 2").await;
    site.close().await;
}

#[tokio::test]
async fn the_history_restores_settings_and_can_be_deleted() {
    let site = Site::open("/?class=Sneaker&seed=9&guidance=3").await;
    site.until_state("draw", "completed").await;
    let picture = site.picture().await;
    site.goto(&site.url).await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("2"));
    site.click("#draw .history-list a").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("3"));
    assert_eq!(site.picture().await, picture);
    site.click("[data-part=clear-history]").await;
    assert_eq!(
        site.script(
            "return [localStorage.length, document.querySelectorAll('#draw .history-list a').length]"
        )
        .await,
        json!([0, 0])
    );
    site.close().await;
}

#[tokio::test]
async fn invalid_or_full_storage_does_not_break_the_page() {
    let site = Site::open("/").await;
    let broken = [
        r#""{""#,
        r#""null""#,
        r#"JSON.stringify([null, 1, {}, {address: "javascript:alert(1)", label: "x", seed: 1, thumbnail: "data:image/png;base64,AAAA"}, {address: "/?seed=1", label: "x", seed: 1, thumbnail: "/api/v1/models"}])"#,
        r#"JSON.stringify({session: {jobs: [{body: {class: 1}, links: {self: "//elsewhere", events: 7}}]}, settings: 3, address: "/"})"#,
        r#"JSON.stringify({address: "/", settings: {classes: ["Bag"], seeds: [1], count: 1}, session: {jobs: [{body: {class: "Bag", seed: 1, count: 1}, links: {self: "/api/v1/generations/none", events: "/api/v1/generations/none/events"}}], ended: true}})"#,
        r#"JSON.stringify({address: "/", settings: {classes: ["Bag"], seeds: [1], count: 1}, run: {jobs: [{body: {class: "Bag", seed: 1, count: 1}, links: {self: "/api/v1/generations/none", events: "/api/v1/generations/none/events"}}], ended: true}})"#,
    ];
    for value in broken {
        site.script(&format!(
            "localStorage['rdpm.history./?seed=1'] = {value}; sessionStorage['rdpm.run'] = {value}"
        ))
        .await;
        site.goto(&site.url).await;
        assert_eq!(
            site.script("return document.querySelectorAll('#draw .history-list a').length").await,
            json!(0)
        );
        site.until_state("draw", "idle").await;
    }
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert_eq!(
        site.script("return document.querySelectorAll('#draw .history-list a').length").await,
        json!(1)
    );
    // Without room in the storage only the history is lost.
    site.script("localStorage.clear(); Storage.prototype.setItem = () => { throw new Error('full'); }").await;
    site.run("draw").await;
    // The console shows the 404 responses for the unknown run.
    let console_messages = site.console_messages().await;
    assert!(
        console_messages.iter().all(|one| one["message"].as_str().unwrap().contains("/none")),
        "{console_messages:?}"
    );
    site.browser.close().await;
}

#[tokio::test]
async fn a_picture_can_be_saved_and_copied_as_link_curl_python_and_tokens() {
    let site = Site::open("/?class=Ankle+boot&seed=6&top_k=50").await;
    site.until_state("draw", "completed").await;
    let name = site.script("return document.querySelector('[data-part=download]').download").await;
    assert_eq!(name, json!("ankle-boot-6.png"));
    let saved = site.script("return document.querySelector('[data-part=download]').href").await;
    let saved = bytes_of(saved.as_str().unwrap());
    let copy = async |what: &str| {
        // The status text disappears by itself, so every change is recorded.
        site.script(
            "const status = document.querySelector('[data-part=action-status]'); status.textContent = ''; window.texts = []; \
             new MutationObserver(() => window.texts.push(status.textContent)).observe(status, {childList: true})",
        )
        .await;
        site.click("[data-part=copy-menu] summary").await;
        site.click(&format!("[data-copy={what}]")).await;
        site.until("window.texts.some(text => text.includes('Cop'))").await;
        site.script("return document.getElementById('copy-text').value").await.as_str().unwrap().to_owned()
    };
    let link = copy("link").await;
    assert!(
        link.contains("class=Ankle+boot") && link.contains("seed=6") && link.contains("top_k=50"),
        "{link}"
    );
    let tokens: Vec<Vec<Vec<u32>>> = serde_json::from_str(&copy("tokens").await).unwrap();
    assert_eq!((tokens.len(), tokens[0].len(), tokens[0][0].len()), (10, 7, 7));

    let folder = TempDir::new().unwrap();
    let python = copy("python").await;
    std::fs::write(folder.path().join("draw.py"), python).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output =
            std::process::Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let file = run("python3", &["draw.py"]);
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
    assert_eq!(pixels(&std::fs::read(folder.path().join(file.trim())).unwrap()), pixels(&saved));
    let answer: Value = serde_json::from_str(&run("sh", &["-c", &copy("curl").await])).unwrap();
    assert_eq!((&answer["class"], &answer["seed"]), (&json!("Ankle boot"), &json!(6)));
    site.close().await;
}

#[tokio::test]
async fn an_animation_can_be_saved() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    // Records the start of the file that the page saves.
    site.script(
        "const make = URL.createObjectURL; \
         URL.createObjectURL = blob => { blob.arrayBuffer().then(b => window.saved = [...new Uint8Array(b.slice(0, 6))]); return make.call(URL, blob); }",
    )
    .await;
    site.click("[data-part=animation-menu] summary").await;
    site.click("[data-animation=tokens]").await;
    site.until("window.saved").await;
    assert_eq!(site.script("return String.fromCharCode(...window.saved)").await, json!("GIF89a"));
    site.close().await;
}
