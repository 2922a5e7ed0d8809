//! Tools that use the same harness as the tests; `scripts/screenshots` and `scripts/frame-times` run them.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use base64::Engine as _;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde_json::{Value, json};

use super::server_gallery::fill;
use super::site::{Browser, server, server_with};

/// Screenshots for `docs/images/`: every view at three widths in both themes.
#[tokio::test]
#[ignore = "writes docs/images/page-*.png; scripts/screenshots runs it"]
async fn screenshots() {
    let (_server, url) = server(0);
    for theme in ["light", "dark"] {
        for (width, height) in [(360, 800), (768, 1024), (1440, 900)] {
            let browser = Browser::start(width, height).await;
            browser.emulate_media(&[("prefers-color-scheme", theme)]).await;
            browser.cdp("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
            browser.goto(&format!("{url}/?model=emoji&prompt=hamburger&style=all&seed=2")).await;
            browser.until_state("draw", "completed").await;
            browser.script("document.activeElement.blur(); document.querySelector('#draw [data-part=bars] > :nth-child(4)').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))").await;
            select_cell(&browser, "draw").await;
            save(&browser, &format!("draw-{width}-{theme}")).await;
            browser.goto(&format!("{url}/?view=compare&class=Ankle+boot&seed=7&vary=temperature&to=0")).await;
            browser.until_state("compare", "completed").await;
            select_cell(&browser, "compare").await;
            save(&browser, &format!("compare-{width}-{theme}")).await;
            browser.goto(&format!("{url}/?view=tokenize&class=Bag&seed=7")).await;
            browser.until("document.body.dataset.loaded === 'tokenize'").await;
            browser.script("document.querySelector('[data-example$=\"4.png\"]').click()").await;
            browser.until_state("tokenize", "completed").await;
            save(&browser, &format!("tokenize-{width}-{theme}")).await;
            browser.goto(&format!("{url}/?view=how")).await;
            browser.until_state("how", "completed").await;
            save(&browser, &format!("how-{width}-{theme}")).await;
            browser.close().await;
        }
    }
}

/// Selects a cell near the middle.
async fn select_cell(browser: &Browser, view: &str) {
    browser
        .script(&format!(
            "const canvas = document.querySelector('#{view} [data-part=tokens]'); const box = canvas.getBoundingClientRect(); \
             canvas.dispatchEvent(new PointerEvent('pointerdown', {{pointerType: 'mouse', clientX: box.left + box.width * .36, clientY: box.top + box.height * .64}}))"
        ))
        .await;
}

async fn save(browser: &Browser, name: &str) {
    browser.script("scrollTo(0, 0)").await;
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    let picture = browser.cdp("Page.captureScreenshot", json!({"format": "png"})).await;
    let bytes = base64::engine::general_purpose::STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
    let picture = image::load_from_memory(&bytes).unwrap().to_rgb8();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/page-{name}.png"));
    let file = BufWriter::new(File::create(&path).unwrap());
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Adaptive);
    picture.write_with_encoder(encoder).unwrap();
    println!("{}", path.display());
}

/// Frame times while a contact sheet of 16 pictures plays, and while nothing moves.
#[tokio::test]
#[ignore = "measures; scripts/frame-times runs it"]
async fn frame_times() {
    let (_server, url) = server(0);
    let browser = Browser::start(1440, 900).await;
    browser.goto(&format!("{url}/?class=Dress&seed=3&count=16")).await;
    browser.until_state("draw", "completed").await;
    let measure = "const done = arguments[0], times = []; let last = 0; \
        const frame = now => { if (last) times.push(now - last); last = now; times.length < 240 ? requestAnimationFrame(frame) : done(times); }; \
        requestAnimationFrame(frame)";
    let idle = browser.client.execute_async(measure, Vec::new()).await.unwrap();
    let playing = format!("document.querySelector('#draw [data-part=play]').click(); {measure}");
    let playing = browser.client.execute_async(&playing, Vec::new()).await.unwrap();
    for (name, times) in [("nothing moves", idle), ("16 pictures play", playing)] {
        println!("{name}: {}", summary(&times));
    }
    browser.close().await;
}

/// Frame times while the gallery of 100,000 pictures on the server scrolls.
#[tokio::test]
#[ignore = "measures; scripts/frame-times runs it"]
async fn gallery_frame_times() {
    let store = tempfile::TempDir::new().unwrap();
    let (_server, url) = server_with(0, &["--store", store.path().to_str().unwrap()]);
    let browser = Browser::start(1280, 800).await;
    browser.goto(&format!("{url}/?class=Dress&seed=3")).await;
    browser.until_state("draw", "completed").await;
    browser.until("performance.now() > 4000").await;
    fill(store.path(), 100_000);
    browser.script("document.querySelector('[data-part=open-gallery]').click()").await;
    browser.until("document.querySelector('.gallery')?.open").await;
    browser.script("document.querySelector('[name=gallery-source][value=server]').click()").await;
    browser.until("document.querySelector('.gallery-count').textContent === '100,000 pictures'").await;
    for pixels in [0, 20, 60, 200, 5000] {
        let measure = format!(
            "const done = arguments[0], times = [], grid = document.querySelector('.picture-grid'); let last = 0; \
             const frame = now => {{ if (last) times.push(now - last); last = now; grid.scrollTop += {pixels}; \
             times.length < 240 ? requestAnimationFrame(frame) : done(times); }}; requestAnimationFrame(frame)"
        );
        let times = browser.client.execute_async(&measure, Vec::new()).await.unwrap();
        println!("the gallery scrolls by {pixels} pixels a frame: {}", summary(&times));
    }
    browser.close().await;
}

fn summary(times: &Value) -> String {
    let mut times: Vec<f64> = serde_json::from_value(times.clone()).unwrap();
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let late = times.iter().filter(|&&time| time > 25.0).count();
    format!(
        "{:.1} frames/s; median {:.1} ms, 95 % below {:.1} ms, 99 % below {:.1} ms, longest {:.1} ms; {late} of {} frames late",
        1000.0 / mean,
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0),
        times.len()
    )
}
