//! Pictures kept on the server: the gallery's second source.

use std::path::Path;
use std::time::Duration;

use fantoccini::Locator;
use fantoccini::actions::{InputSource, KeyAction, KeyActions, MouseActions, PointerAction};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::accessibility::violations;
use super::site::{Browser, Site, generated, saved_file, server_with};

const CELLS: &str = "document.querySelectorAll('.picture-cell[data-state=loaded]:not([hidden])').length";
const SELECTED: &str = "document.querySelectorAll('.picture-cell[aria-selected=true]').length";
const COUNT: &str = "document.querySelector('.gallery-count').textContent";
const STATUS: &str = "document.querySelector('.server-gallery .gallery-status').textContent";
const MESSAGE: &str = "document.querySelector('.server-gallery .gallery-message').innerText";

/// The page of a server that keeps pictures.
struct Kept {
    site: Site,
    store: TempDir,
}

impl std::ops::Deref for Kept {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Kept {
    async fn open() -> Self {
        let store = TempDir::new().unwrap();
        let (server, url) = server_with(0, &["--store", store.path().to_str().unwrap()]);
        let browser = Browser::start(1280, 800).await;
        Self { site: Site { browser, url, server }, store }
    }

    /// Draws what an address says, and waits until the server has kept it.
    async fn draw(&self, query: &str, kept: i64) {
        self.goto(&format!("{}/?{query}", self.url)).await;
        self.until_state("draw", "completed").await;
        let database = Connection::open(self.store.path().join("rdpm.sqlite")).unwrap();
        let count = || database.query_row("SELECT count(*) FROM pictures", [], |row| row.get::<_, i64>(0));
        for _ in 0..600 {
            if count() == Ok(kept) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?} instead of {kept} pictures were kept", count());
    }

    /// Opens the gallery and shows the pictures of the server.
    async fn open_gallery(&self) {
        self.script("document.querySelector('[data-part=open-gallery]').click()").await;
        self.until("document.querySelector('.gallery')?.open").await;
        self.script("document.querySelector('[name=gallery-source][value=server]').click()").await;
        self.until(&format!("document.querySelector('.server-gallery') && {COUNT}")).await;
    }

    async fn press_button(&self, text: &str) {
        let button = format!(
            "[...document.querySelectorAll('.server-gallery button')].find(button => button.textContent.startsWith('{text}') && !button.hidden)"
        );
        self.until(&format!("{button} && !{button}.disabled")).await;
        self.script(&format!("{button}.click()")).await;
    }

    async fn filter(&self, label: &str, value: &str) {
        let field = format!("document.querySelector('.server-filters [aria-label={label}]')");
        self.until(&format!("[...{field}.options].some(({{value}}) => value === '{value}')")).await;
        self.script(&format!(
            "const field = {field}; field.value = '{value}'; field.dispatchEvent(new Event('change', {{bubbles: true}}))"
        ))
        .await;
    }

    /// Clicks the picture at a position with keys held down.
    async fn click_picture(&self, position: usize, held: &[char]) {
        let cells = self.client.find_all(Locator::Css(".picture-cell:not([hidden]) img")).await.unwrap();
        let key = |down: bool| {
            let actions = KeyActions::new("keys".into());
            held.iter().fold(actions, |actions, &value| {
                actions.then(if down { KeyAction::Down { value } } else { KeyAction::Up { value } })
            })
        };
        let mouse = MouseActions::new("mouse".into())
            .then(PointerAction::MoveToElement {
                element: cells[position].clone(),
                duration: None,
                x: 0.0,
                y: 0.0,
            })
            .then(PointerAction::Down { button: 0 })
            .then(PointerAction::Up { button: 0 });
        self.client.perform_actions(key(true)).await.unwrap();
        self.client.perform_actions(mouse).await.unwrap();
        self.client.perform_actions(key(false)).await.unwrap();
    }

    async fn close(self) {
        self.site.close().await;
    }
}

/// Fills a gallery that has a picture with copies of it, up to `count` pictures.
pub fn fill(store: &Path, count: i64) {
    let mut database = Connection::open(store.join("rdpm.sqlite")).unwrap();
    let (id, owner): (String, String) = database
        .query_row("SELECT generation, owner FROM pictures WHERE number = 1", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let word: String = Sha256::digest(owner)[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let transaction = database.transaction().unwrap();
    let columns =
        "owner_token, model, request, status, resumable, created, started, ended, events, bytes, pictures";
    let copy_generation = format!(
        "INSERT INTO generations (id, {columns}) SELECT ?1, {columns} FROM generations WHERE id = ?2"
    );
    let copy_picture = "INSERT INTO pictures (generation, image, owner, model, class, style, words, seed, created, file, bytes)
        SELECT ?1, 0, owner, model, ?2, ?3, ?4, ?5, created + ?5, file, bytes FROM pictures WHERE number = 1";
    for n in 1..count {
        let own = format!("{n:08x}-0000-4000-8000-000000000000");
        transaction.prepare(&copy_generation).unwrap().execute((&own, &id)).unwrap();
        let (class, style, words) =
            (format!("class {}", n % 16), format!("style {}", n % 8), format!("red heart {}", n % 1332));
        transaction.prepare(copy_picture).unwrap().execute((&own, &class, &style, &words, n)).unwrap();
        let text = "INSERT INTO picture_text (rowid, owner, text) VALUES (last_insert_rowid(), ?1, ?2)";
        transaction
            .prepare(text)
            .unwrap()
            .execute((&word, format!("{words} {style} {class} fashion-mnist")))
            .unwrap();
    }
    transaction.commit().unwrap();
}

#[tokio::test]
async fn pictures_on_the_server_are_filtered_searched_and_starred() {
    let kept = Kept::open().await;
    kept.draw("class=Bag&class=Dress&seed=3&count=2", 4).await;
    kept.open_gallery().await;
    kept.until(&format!("{CELLS} === 4 && {COUNT} === '4 pictures'")).await;
    kept.filter("Class", "Dress").await;
    kept.until(&format!("{CELLS} === 2 && {COUNT} === '2 pictures'")).await;
    kept.filter("Class", "").await;
    kept.until(&format!("{CELLS} === 4")).await;
    kept.filter("Model", "fashion-mnist").await;
    kept.fill(".server-filters [type=search]", "ba").await;
    kept.until(&format!("{CELLS} === 2 && {COUNT} === '2 pictures'")).await;
    assert!(kept.text(".picture-caption").await.contains("Bag"));
    kept.script(
        "const [from] = document.querySelectorAll('.server-filters [type=date]'); from.value = '2999-01-01'; \
         from.dispatchEvent(new Event('change'))",
    )
    .await;
    kept.until(&format!("{MESSAGE}.includes('No picture has these properties.')")).await;
    kept.press_button("Clear the filters").await;
    kept.until(&format!("{CELLS} === 4")).await;

    // A star stays on the server.
    kept.click_picture(1, &[]).await;
    kept.press_button("Star").await;
    kept.until(&format!("{STATUS}.startsWith('Starred 1 picture.')")).await;
    kept.goto(&format!("{}/?model=fashion-mnist", kept.url)).await;
    kept.open_gallery().await;
    kept.until(&format!("{CELLS} === 4")).await;
    kept.click(".server-filters .checkbox input").await;
    kept.until(&format!("{CELLS} === 1 && {COUNT} === '1 picture'")).await;
    let starred = "return document.querySelector('.picture-cell:not([hidden])').ariaLabel";
    assert!(kept.script(starred).await.as_str().unwrap().ends_with("starred"));
    kept.click_picture(0, &[]).await;
    kept.press_button("Remove star").await;
    kept.until(&format!("{STATUS}.startsWith('Removed')")).await;
    kept.close().await;
}

#[tokio::test]
async fn selected_pictures_are_downloaded_deleted_and_restored() {
    let kept = Kept::open().await;
    kept.draw("class=Bag&class=Dress&seed=3&count=2", 4).await;
    kept.record_files().await;
    kept.open_gallery().await;
    kept.until(&format!("{CELLS} === 4")).await;
    const SHIFT: char = '\u{e008}';
    const CONTROL: char = '\u{e009}';
    kept.click_picture(0, &[]).await;
    kept.click_picture(2, &[SHIFT]).await;
    kept.until(&format!("{SELECTED} === 3")).await;
    kept.click_picture(1, &[CONTROL]).await;
    kept.until(&format!("{SELECTED} === 2")).await;
    assert_eq!(kept.text(".server-gallery .gallery-facts").await, "2 pictures selected");
    kept.press_button("Download").await;
    let (name, content) = saved_file(&kept, 1).await;
    assert_eq!(name, "rdpm-pictures.zip");
    assert_eq!(content[..2], *b"PK");

    kept.press_button("Delete").await;
    kept.until(&format!("{STATUS} === '2 pictures deleted.'")).await;
    kept.until(&format!("{CELLS} === 2 && {COUNT} === '2 pictures'")).await;
    kept.press_button("Undo").await;
    kept.until(&format!("{CELLS} === 4 && {SELECTED} === 2")).await;
    // After all are deleted the gallery says so, and undo is still there.
    kept.script("document.querySelector('.picture-grid').focus()").await;
    kept.press("\u{e009}a").await;
    kept.until(&format!("{SELECTED} === 4")).await;
    kept.press("\u{e017}").await; // delete
    kept.until(&format!("{MESSAGE}.includes('keeps no pictures of yours yet')")).await;
    kept.press_button("Undo deleting 4").await;
    kept.until(&format!("{CELLS} === 4")).await;
    kept.close().await;
}

#[tokio::test]
async fn pictures_of_the_server_open_in_the_views() {
    let kept = Kept::open().await;
    kept.draw("model=emoji&class=Animal&seed=2", 1).await;
    kept.draw("class=Bag&seed=3&count=2&guidance=3", 3).await;
    kept.goto(&format!("{}/?model=fashion-mnist", kept.url)).await;
    kept.script("sessionStorage.clear()").await;
    kept.open_gallery().await;
    kept.until(&format!("{CELLS} === 3")).await;
    let second = "document.querySelector('.server-gallery .gallery-facts').textContent.includes('no. 2')";
    let choose = format!(
        "[...document.querySelectorAll('.picture-cell')].find(cell => {{ cell.click(); return {second}; }})"
    );
    kept.script(&choose).await;
    kept.press_button("Draw").await;
    kept.until("!document.querySelector('.gallery').open").await;
    kept.until_state("draw", "completed").await;
    // Nothing was drawn again: the steps are the server's.
    assert!(kept.text("#draw .status").await.starts_with("Shown again"));
    let expected = generated(&["--class", "Bag", "--seed", "3", "--first", "1", "--guidance", "3"]);
    assert_eq!(kept.picture().await, expected);
    let address = kept.script("return location.search").await;
    let address = address.as_str().unwrap();
    assert!(address.contains("guidance=3") && address.ends_with("pick=2"), "{address}");

    kept.open_gallery().await;
    kept.script(&choose).await;
    kept.press_button("Edit").await;
    kept.until("document.querySelector('#edit [data-part=title]')?.textContent === 'Edit: Bag'").await;
    assert_eq!(kept.script("return document.body.dataset.view").await, json!("edit"));

    kept.script("document.querySelector('.tabs [data-view-link=draw]').click()").await;
    kept.open_gallery().await;
    kept.script(&choose).await;
    kept.press_button("Compare").await;
    kept.until("document.body.dataset.loaded === 'compare' && location.search.includes('guidance=3')").await;
    kept.until("document.getElementById('guidance').value === '3'").await;

    // Another model's picture opens on that model's page.
    kept.script("document.querySelector('.tabs [data-view-link=draw]').click()").await;
    kept.open_gallery().await;
    kept.filter("Model", "emoji").await;
    kept.until(&format!("{CELLS} === 1")).await;
    kept.script("document.querySelector('.picture-cell').click()").await;
    kept.press_button("Draw").await;
    kept.until("document.body.dataset.model === 'emoji'").await;
    kept.until_state("draw", "completed").await;
    assert_eq!(kept.picture().await, generated(&["--model", "emoji", "--class", "Animal", "--seed", "2"]));
    kept.close().await;
}

#[tokio::test]
async fn thousands_of_pictures_cost_no_more_than_a_window_of_them() {
    let kept = Kept::open().await;
    kept.draw("class=Bag&seed=3", 1).await;
    fill(kept.store.path(), 4000);
    let nodes = "return document.querySelectorAll('.picture-grid *').length";
    for (width, theme) in [(1280, "light"), (360, "dark")] {
        kept.set_size(width, 800).await;
        kept.emulate_media(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await;
        kept.goto(&format!("{}/?model=fashion-mnist", kept.url)).await;
        kept.open_gallery().await;
        kept.until(&format!("{CELLS} > 8 && {COUNT} === '4,000 pictures'")).await;
        kept.click_picture(0, &[]).await;
        assert_eq!(violations(&kept).await, json!([]), "{theme}");
        let before = kept.script(nodes).await.as_u64().unwrap();
        let mut most = before;
        for share in [0.1, 0.5, 0.77, 1.0, 0.3, 0.0, 1.0] {
            kept.script(&format!(
                "const grid = document.querySelector('.picture-grid'); grid.scrollTop = grid.scrollHeight * {share}"
            ))
            .await;
            kept.until_painted().await;
            kept.until(&format!(
                "!document.querySelector('.picture-cell[data-state=loading]:not([hidden])') && {CELLS} > 8"
            ))
            .await;
            most = most.max(kept.script(nodes).await.as_u64().unwrap());
        }
        assert!(most < 800 && most < 3 * before, "{most} elements, at first {before}");
        // The oldest picture is the last; the focus stays in the grid while its cell isn't there.
        kept.until("[...document.querySelectorAll('.picture-cell:not([hidden])')].some(cell => cell.ariaLabel === 'Bag, seed 3')").await;
        let focus = "return document.activeElement.className";
        assert_eq!(kept.script(focus).await, json!("picture-grid"));
        let overflow = "const dialog = document.querySelector('.gallery'); return dialog.scrollWidth - dialog.clientWidth";
        assert_eq!(kept.script(overflow).await, json!(0), "at {width} pixels");
    }
    kept.close().await;
}

#[tokio::test]
async fn the_server_gallery_works_by_keyboard() {
    let kept = Kept::open().await;
    kept.draw("class=Bag&seed=3", 1).await;
    fill(kept.store.path(), 600);
    kept.goto(&format!("{}/?model=fashion-mnist", kept.url)).await;
    kept.open_gallery().await;
    kept.press("\u{e00c}").await; // escape
    kept.until("!document.querySelector('.gallery').open").await;
    kept.script("document.querySelector('[data-part=open-gallery]').focus()").await;
    kept.press("\u{e007}").await; // enter
    // The source that was shown last has the focus.
    kept.until("document.activeElement.classList.contains('picture-grid')").await;
    kept.until(&format!("{CELLS} > 20")).await;
    let active = "return document.getElementById(document.querySelector('.picture-grid').getAttribute('aria-activedescendant')).ariaLabel";
    assert_eq!(kept.script(active).await, json!("red heart 599, style 7 style, seed 599"));
    kept.press("\u{e014}").await; // right
    kept.press("\u{e015}").await; // down
    let columns = kept.script("return Number(document.querySelector('.picture-grid').ariaColCount)").await;
    let seed = 598 - columns.as_u64().unwrap();
    assert!(kept.script(active).await.as_str().unwrap().ends_with(&format!("seed {seed}")));
    kept.press(" ").await;
    kept.until(&format!("{SELECTED} === 1")).await;
    kept.press("\u{e008}\u{e014}\u{e014}").await; // shift, right, right
    kept.until(&format!("{SELECTED} === 3")).await;
    kept.press("\u{e009}a").await; // control, a
    kept.until(
        "document.querySelector('.server-gallery .gallery-facts').textContent === '500 pictures selected'",
    )
    .await;
    kept.press("\u{e00c}").await;
    kept.until(&format!("{SELECTED} === 0")).await;
    // The last picture is reached, and is shown in Draw.
    kept.press("\u{e009}\u{e010}").await; // control, end
    kept.until("document.querySelector('.picture-cell.active')?.ariaLabel === 'Bag, seed 3'").await;
    kept.press("\u{e007}").await;
    kept.until("!document.querySelector('.gallery').open").await;
    kept.until_state("draw", "completed").await;
    assert_eq!(kept.picture().await, generated(&["--class", "Bag", "--seed", "3"]));
    kept.close().await;
}

#[tokio::test]
async fn without_the_server_the_gallery_says_so_and_tries_again() {
    let kept = Kept::open().await;
    kept.draw("class=Bag&seed=3", 1).await;
    kept.open_gallery().await;
    kept.until(&format!("{CELLS} === 1")).await;
    kept.script("window.original = fetch; window.fetch = () => Promise.reject(new TypeError('offline'))")
        .await;
    kept.fill(".server-filters [type=search]", "bag").await;
    kept.until(&format!("{MESSAGE}.includes('can’t be reached')")).await;
    assert_eq!(violations(&kept).await, json!([]));
    kept.script("window.fetch = window.original").await;
    kept.press_button("Try again").await;
    kept.until(&format!("{CELLS} === 1")).await;
    kept.close().await;
}

#[tokio::test]
async fn a_server_without_a_store_has_no_second_source() {
    let site = Site::open("/?class=Bag&seed=3").await;
    site.until_state("draw", "completed").await;
    site.click("[data-part=open-gallery]").await;
    site.until("document.querySelector('.gallery')?.open").await;
    assert_eq!(
        site.script("return document.querySelectorAll('[name=gallery-source]').length").await,
        json!(0)
    );
    assert_eq!(site.script("return localStorage.getItem('rdpm.client')").await, Value::Null);
    site.close().await;
}
