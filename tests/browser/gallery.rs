//! Pictures kept in this browser: shown without the server, the gallery, Back, and storage that doesn't work.

use fantoccini::Locator;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Site, generated, saved_file};

const RUNS: &str = "document.querySelectorAll('#draw .history-list a').length";
const TILES: &str = "document.querySelectorAll('.gallery-list label').length";

/// Clicks a button of the gallery.
async fn press(site: &Site, text: &str) {
    let button = format!(
        "[...document.querySelectorAll('dialog[open] button')].findLast(button => button.textContent === '{text}')"
    );
    site.until(&button).await;
    site.script(&format!("{button}.click()")).await;
}

#[tokio::test]
async fn a_picture_of_the_history_is_shown_with_its_steps_without_the_server() {
    let site = Site::open("/?class=Bag&seed=4&count=2").await;
    site.until_state("draw", "completed").await;
    site.fill("#seed", "5").await;
    site.run("draw").await;
    site.until(&format!("{RUNS} === 2")).await;
    let Site { browser, server, .. } = site;
    drop(server);
    browser.click("#draw .history-list li:nth-child(2) a").await;
    browser.until("document.querySelector('#draw .status').innerText.includes('Shown again')").await;
    assert_eq!(browser.script("return location.search.includes('seed=4')").await, json!(true));
    assert_eq!(browser.picture().await, generated(&["--class", "Bag", "--seed", "4"]));
    browser.click("#draw [data-part=bars] > :nth-child(3)").await;
    browser.until("document.querySelector('#draw [data-part=tokens]').dataset.step === '3'").await;
    browser.click("#draw .sheet label:nth-child(2)").await;
    let both = generated(&["--class", "Bag", "--seed", "4", "--first", "1"]);
    assert_eq!(browser.picture().await, both);
    browser.close().await;
}

#[tokio::test]
async fn back_and_forward_show_the_drawings_before_and_after() {
    let site = Site::open("/?class=Bag&seed=4").await;
    site.until_state("draw", "completed").await;
    let first = site.picture().await;
    site.fill("#seed", "5").await;
    site.run("draw").await;
    let second = site.picture().await;
    site.client.back().await.unwrap();
    site.until("location.search.includes('seed=4') && document.querySelector('#draw .status').innerText.includes('seed 4')").await;
    assert_eq!(site.picture().await, first);
    assert_eq!(site.script("return document.getElementById('seed').value").await, json!("4"));
    site.client.forward().await.unwrap();
    site.until("location.search.includes('seed=5') && document.querySelector('#draw .status').innerText.includes('seed 5')").await;
    assert_eq!(site.picture().await, second);
    site.close().await;
}

#[tokio::test]
async fn the_gallery_filters_stars_deletes_and_restores_pictures() {
    let site = Site::open("/?class=Bag&class=Dress&seed=3&count=2").await;
    site.until_state("draw", "completed").await;
    site.until(&format!("{RUNS} === 1")).await;
    site.click("[data-part=open-gallery]").await;
    site.until(&format!("{TILES} === 4")).await;
    press(&site, "Star").await;
    site.until("document.querySelector('.gallery-list').innerText.includes('★')").await;
    site.script(
        "const filter = document.querySelector('.gallery [aria-label=Class]'); filter.value = 'Dress'; \
         filter.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    assert_eq!(site.script(&format!("return {TILES}")).await, json!(2));
    press(&site, "Delete").await;
    site.until(&format!("{TILES} === 1")).await;
    press(&site, "Undo").await;
    site.until(&format!("{TILES} === 2")).await;

    // A chosen picture is shown on the stage; its settings can be used for a new seed.
    site.click(".gallery-list label:nth-child(2)").await;
    press(&site, "Show").await;
    site.until("location.search.endsWith('pick=2')").await;
    assert_eq!(site.picture().await, generated(&["--class", "Dress", "--seed", "3", "--first", "1"]));
    site.fill("#guidance", "9").await;
    site.click("[data-part=open-gallery]").await;
    press(&site, "Use these settings").await;
    let form = "return [document.getElementById('guidance').value, document.getElementById('seed').value, document.getElementById('count').value]";
    site.until("document.getElementById('seed').value === ''").await;
    assert_eq!(site.script(form).await, json!(["2", "", "2"]));

    // Deleting all asks, and can be undone.
    site.click("[data-part=clear-history]").await;
    press(&site, "Cancel").await;
    assert_eq!(site.script(&format!("return {RUNS}")).await, json!(1));
    site.click("[data-part=clear-history]").await;
    site.until("document.querySelector('[data-part=confirm-delete]')").await;
    press(&site, "Delete").await;
    site.until(&format!("{RUNS} === 0")).await;
    site.click("[data-part=undo-history]").await;
    site.until(&format!("{RUNS} === 1")).await;
    site.close().await;
}

#[tokio::test]
async fn the_gallery_exports_and_imports_pictures() {
    let site = Site::open("/?class=Bag&seed=3&count=2").await;
    site.until_state("draw", "completed").await;
    site.record_files().await;
    site.until(&format!("{RUNS} === 1")).await;
    site.click("[data-part=open-gallery]").await;
    site.until(&format!("{TILES} === 2")).await;
    press(&site, "Export").await;
    let (name, content) = saved_file(&site, 1).await;
    assert_eq!(name, "rdpm-pictures.json");
    let exported: Value = serde_json::from_slice(&content).unwrap();
    assert_eq!(exported["pictures"][0]["steps"].as_array().unwrap().len(), 10);
    press(&site, "Delete all").await;
    site.until("document.querySelector('[data-part=confirm-delete]')").await;
    press(&site, "Delete").await;
    site.until(&format!("{TILES} === 0")).await;

    let folder = TempDir::new().unwrap();
    let mut broken = exported.clone();
    broken["pictures"][1]["picture"]["run"] = json!("javascript:alert(1)");
    for (file, content, message) in [
        ("text.json", "Dear gallery,".to_owned(), "isn’t JSON"),
        ("other.json", "[1, 2]".to_owned(), "holds no pictures"),
        ("broken.json", broken.to_string(), "Imported 1 picture; 1 can’t be read"),
        ("all.json", exported.to_string(), "Imported 2 pictures"),
    ] {
        let path = folder.path().join(file);
        std::fs::write(&path, content).unwrap();
        let input = site.client.find(Locator::Css("#gallery-file")).await.unwrap();
        input.send_keys(path.to_str().unwrap()).await.unwrap();
        site.until(&format!("document.querySelector('.gallery-status').innerText.includes('{message}')"))
            .await;
    }
    assert_eq!(site.script(&format!("return {TILES}")).await, json!(2));
    site.close().await;
}

#[tokio::test]
async fn without_working_storage_pictures_are_kept_in_memory_and_the_page_says_so() {
    let site = Site::open("/").await;
    for broken in [
        // Missing, refused, full, and of another page.
        "indexedDB.open = () => { throw new Error('refused') }",
        "IDBObjectStore.prototype.put = () => { throw new DOMException('full', 'QuotaExceededError') }",
    ] {
        site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
        site.script(broken).await;
        site.run("draw").await;
        site.until(&format!("{RUNS} === 1")).await;
        assert!(site.text("[data-part=history-note]").await.contains("until the page is closed"), "{broken}");
    }
    // Pictures that can't be read are left out.
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    site.run("draw").await;
    site.until(&format!("{RUNS} === 1")).await;
    site.client
        .execute_async(
            "const done = arguments[0], request = indexedDB.open('rdpm'); request.onsuccess = () => { \
             const store = request.result.transaction('pictures', 'readwrite').objectStore('pictures'); \
             store.put({id: 'x', run: '/?class=Bag', png: 'javascript:1'}, 'x'); store.put(7, 'y'); \
             store.put(null, 'z').onsuccess = () => { request.result.close(); done(); } }",
            Vec::new(),
        )
        .await
        .unwrap();
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    site.until(&format!("{RUNS} === 1")).await;
    site.close().await;
}
