//! The Edit view: cells are marked by pointer and keyboard and drawn again, the others stand; branches from a token.

use std::time::Duration;

use serde_json::{Value, json};

use super::accessibility::violations;
use super::site::{Browser, Site, server};

/// Draws a picture and opens it in the Edit view.
async fn open(browser: &Browser) {
    browser.until_state("draw", "completed").await;
    browser.click("#draw [data-part=edit]").await;
    browser.until_loaded("edit").await;
    browser.until("document.querySelector('.mask-grid') && !document.querySelector('.editor').dataset.empty.includes('true')").await;
    browser.until_painted().await;
}

/// The colours of the last step's tokens, cell by cell, when they don't fade any more.
async fn tokens(browser: &Browser) -> Vec<Value> {
    browser.until("document.querySelector('#edit [data-part=tokens]').dataset.step === '10'").await;
    let mut before = Vec::new();
    loop {
        browser.until_painted().await;
        let colors = colors(browser).await;
        if colors == before {
            return colors;
        }
        before = colors;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The colours of the token grid, cell by cell.
async fn colors(browser: &Browser) -> Vec<Value> {
    let script = "const canvas = document.querySelector('#edit [data-part=tokens]'), pitch = canvas.width / 7; \
        const copy = Object.assign(document.createElement('canvas'), {width: canvas.width, height: canvas.height}); \
        const pixels = copy.getContext('2d', {willReadFrequently: true}); \
        pixels.drawImage(canvas, 0, 0); \
        return Array.from({length: 49}, (_, i) => [...pixels.getImageData((i % 7 + .09) * pitch, (Math.floor(i / 7) + .09) * pitch, 1, 1).data].join())";
    browser.script(script).await.as_array().unwrap().clone()
}

async fn marked(browser: &Browser) -> Value {
    browser
        .script("return [...document.querySelectorAll('.mask-grid [role=gridcell]')].flatMap((cell, i) => cell.ariaSelected === 'true' ? [i] : [])")
        .await
}

/// Moves a pointer over the grid, from one cell to another.
async fn paint(browser: &Browser, from: [u32; 2], to: [u32; 2]) {
    let script = format!(
        "const grid = document.querySelector('.mask-grid'), box = grid.getBoundingClientRect(); \
         const at = (name, [row, column]) => grid.dispatchEvent(new PointerEvent(name, {{pointerId: 1, button: 0, bubbles: true, \
             clientX: box.left + box.width * (column + .5) / 7, clientY: box.top + box.height * (row + .5) / 7}})); \
         at('pointerdown', {from:?}); at('pointermove', {to:?}); at('pointerup', {to:?})"
    );
    browser.script(&script).await;
}

#[tokio::test]
async fn painted_cells_are_drawn_again_and_the_others_stand() {
    let site = Site::open("/?class=Sneaker&seed=7").await;
    open(&site).await;
    let before = tokens(&site).await;
    let original = site.script("return document.querySelector('#edit [data-part=download]').href").await;
    // Without marks there is nothing to draw.
    site.click("#submit").await;
    assert!(site.text("#edit .status").await.contains("First paint"));
    paint(&site, [0, 0], [6, 0]).await;
    assert_eq!(marked(&site).await, json!([0, 7, 14, 21, 28, 35, 42]));
    site.click(".mask-tools input[value=rectangle]").await;
    paint(&site, [0, 1], [6, 2]).await;
    assert_eq!(site.text(".mask-summary").await, "21 of 49 cells will be drawn again.");
    // Painting on a marked cell erases.
    paint(&site, [0, 2], [6, 2]).await;
    let half: Vec<usize> = (0..49).filter(|cell| cell % 7 < 2).collect();
    assert_eq!(marked(&site).await, json!(half));
    site.click(".mask-actions button:nth-child(1)").await;
    assert_eq!(marked(&site).await.as_array().unwrap().len(), 21);
    site.click(".mask-actions button:nth-child(2)").await;
    assert_eq!(marked(&site).await, json!(half));
    site.click(".mask-actions button:nth-child(3)").await;
    assert_eq!(marked(&site).await.as_array().unwrap().len(), 35);
    site.click(".mask-actions button:nth-child(3)").await;

    site.click("#class-8").await;
    site.fill("#seed", "5").await;
    site.run("edit").await;
    let after = tokens(&site).await;
    let changed: Vec<usize> = (0..49).filter(|&cell| before[cell] != after[cell]).collect();
    assert!(changed.len() > 8 && changed.iter().all(|cell| half.contains(cell)), "{changed:?}");
    let drawn = site.script("return document.querySelector('#edit [data-part=download]').href").await;
    assert_ne!(drawn, original);
    // It is kept in the history, and its address draws it.
    site.until("document.querySelectorAll('#draw .history-list li').length === 2").await;
    let address = site.script("return location.href").await.as_str().unwrap().to_owned();
    site.goto(&address).await;
    site.until_state("edit", "completed").await;
    assert_eq!(site.script("return document.querySelector('#edit [data-part=download]').href").await, drawn);
    assert_eq!(tokens(&site).await, after);
    let other = Browser::start(1440, 1000).await;
    other.goto(&address).await;
    other
        .until(
            "location.href.includes('cells') && document.querySelector('.editor')?.dataset.result === 'true'",
        )
        .await;
    other.until_state("edit", "completed").await;
    assert_eq!(tokens(&other).await, after);
    assert_eq!(marked(&other).await, json!(half));
    other.close().await;
    site.close().await;
}

#[tokio::test]
async fn cells_are_marked_and_drawn_by_keyboard_alone() {
    let site = Site::open("/?class=Sneaker&seed=7").await;
    site.until_state("draw", "completed").await;
    const ENTER: &str = "\u{e007}";
    let (tab, right, down, shift, control) = ("\u{e004}", "\u{e014}", "\u{e015}", "\u{e008}", "\u{e009}");
    let reach = async |target: &str| {
        for _ in 0..90 {
            if site.script(&format!("return document.activeElement.matches({target:?})")).await == json!(true)
            {
                return;
            }
            site.press(tab).await;
        }
        panic!("{target} isn't reachable by Tab");
    };
    site.script("document.querySelector('#draw [data-part=download]').focus()").await;
    reach("#draw [data-part=edit]").await;
    site.press(ENTER).await;
    site.until_loaded("edit").await;
    let before = tokens(&site).await;
    site.script("document.body.focus(); document.querySelector('.tabs [aria-current]').focus()").await;
    reach("[role=gridcell]").await;
    site.press(" ").await;
    site.press(&format!("{shift}{right}{right}")).await;
    site.press(down).await;
    site.press(" ").await;
    assert_eq!(marked(&site).await, json!([0, 1, 2, 9]));
    site.press(&format!("{control}z")).await;
    assert_eq!(marked(&site).await, json!([0, 1, 2]));
    site.press(&format!("{control}y")).await;
    assert_eq!(marked(&site).await, json!([0, 1, 2, 9]));
    let name = site.script("return document.activeElement.ariaLabel").await;
    assert_eq!(name, json!("Row 2, column 3: drawn again"));
    reach("#submit").await;
    site.press(ENTER).await;
    site.until_state("edit", "completed").await;
    let after = tokens(&site).await;
    let changed: Vec<usize> = (0..49).filter(|&cell| before[cell] != after[cell]).collect();
    assert!(!changed.is_empty() && changed.iter().all(|cell| [0, 1, 2, 9].contains(cell)), "{changed:?}");
    site.close().await;
}

#[tokio::test]
async fn another_code_of_a_cell_branches_from_its_step() {
    let site = Site::open("/?class=Sneaker&seed=7").await;
    open(&site).await;
    site.click("#edit [data-part=bars] > :nth-child(4)").await;
    site.script("document.querySelector('#edit [data-part=tokens]').focus()").await;
    site.press("\u{e014}").await;
    let button = "#edit .branch-button";
    let label = site.script(&format!("return document.querySelector('{button}').ariaLabel")).await;
    let code = label.as_str().unwrap().split(' ').nth(2).unwrap().to_owned();
    assert!(label.as_str().unwrap().contains("row 1, column 2 in step 4"), "{label}");
    site.click(button).await;
    site.until("location.search.includes('branch=4.0.1')").await;
    site.until_state("edit", "completed").await;
    site.until("document.querySelector('#edit [data-part=tokens]').dataset.step === '10'").await;
    let codes = async || {
        site.script("document.querySelector('#edit [data-part=tokens]').focus()").await;
        site.script("return [...document.querySelectorAll('#edit [data-part=code-history] li')].map(item => item.textContent)").await
    };
    assert_eq!(codes().await[3], json!(code));
    assert!(site.text("#edit .status").await.contains("The steps before the changed token"));
    // The tree has the original and, below it, the branch that is shown; choosing the original goes back to it.
    let current = "#edit .tree [aria-current]";
    let branch = site.text(current).await;
    assert!(branch.contains(&format!("Step 4, row 1, column 2: code {code}")), "{branch}");
    let differ: u32 =
        branch.split("code").nth(1).unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((1..=49 * 7).contains(&differ), "{branch}");
    site.click("#edit .tree > li > button").await;
    assert!(site.text(current).await.contains("Sneaker"));
    site.until_painted().await;
    assert_ne!(codes().await[3], json!(code));
    // An edit of the original is a second child, and the address is that of what is shown.
    paint(&site, [0, 0], [6, 0]).await;
    site.run("edit").await;
    site.until("document.querySelectorAll('#edit .tree > li > ul > li').length === 2").await;
    assert!(site.text(current).await.contains("7 cells"));
    site.click("#edit .tree > li > ul > li:first-child > button").await;
    site.until("location.search.includes('branch=4.0.1')").await;
    assert_eq!(codes().await[3], json!(code));
    assert_eq!(violations(&site).await, json!([]));
    site.close().await;
}

#[tokio::test]
async fn marks_and_results_are_accessible_and_fit_a_narrow_screen() {
    let (_server, url) = server(0);
    for theme in ["light", "dark"] {
        let browser = Browser::start(1440, 1000).await;
        browser.emulate_media(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await;
        browser.goto(&format!("{url}/?class=Sneaker&seed=7")).await;
        open(&browser).await;
        paint(&browser, [1, 1], [4, 4]).await;
        assert_eq!(violations(&browser).await, json!([]), "marked, {theme}");
        browser.run("edit").await;
        browser.script("document.querySelector('#edit [data-part=tokens]').focus()").await;
        browser.press("\u{e014}").await;
        assert_eq!(violations(&browser).await, json!([]), "drawn, {theme}");
        browser.set_size(320, 700).await;
        browser.until_painted().await;
        let width = browser.script("return document.documentElement.scrollWidth").await.as_u64().unwrap();
        assert!(width <= 320, "{width} pixels");
        browser.close().await;
    }
}
