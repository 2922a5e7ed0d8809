//! The tokenization view: encoding a picture, and drawing variations.

use fantoccini::Locator;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Site, from_data_url, saved_file};

/// The number of different token grids on the strip.
const GRIDS: &str = "new Set([...document.querySelectorAll('#tokenize .step-strip canvas')].map(canvas => canvas.toDataURL())).size";

async fn reconstruction(site: &Site) -> Value {
    site.script("return document.querySelector('[data-part=reconstruction]').src").await
}

#[tokio::test]
async fn a_file_is_encoded_decoded_and_continued_from_a_step() {
    let site = Site::open("/?view=tokenize").await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("coat.png");
    let coat = format!("{}/weights/fashion-mnist/classes/4.png", env!("CARGO_MANIFEST_DIR"));
    let coat = image::open(coat).unwrap();
    coat.resize_exact(56, 56, image::imageops::FilterType::Nearest).save(&file).unwrap();
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    site.client.find(Locator::Css("#file")).await.unwrap().send_keys(file.to_str().unwrap()).await.unwrap();
    site.until_state("tokenize", "completed").await;
    site.until_painted().await;
    assert_eq!(site.script(&format!("return {GRIDS}")).await, json!(10));
    assert!(site.text("[data-part=input-note]").await.contains("56 × 56"));
    // The reconstruction resembles the input.
    let decoded = from_data_url(reconstruction(&site).await.as_str().unwrap()).to_luma8();
    let squares: u64 = decoded
        .pixels()
        .zip(coat.to_luma8().pixels())
        .map(|(a, b)| u64::from(a.0[0].abs_diff(b.0[0])).pow(2))
        .sum();
    let rms = (squares as f64 / f64::from(decoded.width() * decoded.height())).sqrt();
    assert!(rms < 40.0, "RMS error {rms} of 255");

    site.fill("#from_step", "3").await;
    site.click("#class-8").await;
    site.fill("#count", "2").await;
    site.run("tokenize").await;
    assert!(site.text("#tokenize .status").await.contains("Steps 1 to 3 come from your picture"));
    assert_eq!(
        site.script("return document.querySelectorAll('#tokenize .sheet canvas').length").await,
        json!(2)
    );
    // Step 2 was encoded, step 8 drawn.
    let entropy = async |step: u32| {
        site.click(&format!("#tokenize [data-part=bars] > :nth-child({step})")).await;
        site.script("document.querySelector('#tokenize [data-part=tokens]').focus()").await;
        site.press("\u{e015}").await;
        site.text("#tokenize [data-part=entropy]").await
    };
    assert_eq!(entropy(2).await, "none (encoded)");
    assert!(entropy(8).await.ends_with("of 8 bits"));

    // The history keeps the variations, and shows them again without the server.
    let sheet =
        "return [...document.querySelectorAll('#tokenize .sheet canvas')].map(canvas => canvas.toDataURL())";
    site.script("document.querySelector('#tokenize [data-part=bars] > :last-child').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true}))").await;
    // The last step fades in.
    let fade = std::time::Duration::from_millis(600);
    tokio::time::sleep(fade).await;
    let drawn = site.script(sheet).await;
    site.script("sessionStorage.clear()").await;
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    let entry = "[data-part=history-list] a[href*='view=tokenize']";
    site.until(&format!("document.querySelector(\"{entry}\")")).await;
    site.script("window.fetch = () => Promise.reject(new TypeError('no server'))").await;
    site.click(entry).await;
    site.until_state("tokenize", "completed").await;
    tokio::time::sleep(fade).await;
    assert!(site.script(sheet).await == drawn, "other pictures");
    assert_eq!(site.script("return document.getElementById('from_step').value").await, "3");
    assert_eq!(
        site.script("return document.querySelector('#tokenize [data-part=input]').naturalWidth").await,
        json!(28)
    );
    site.close().await;
}

#[tokio::test]
async fn a_picture_can_be_sketched_dropped_pasted_or_chosen_from_the_examples() {
    let site = Site::open("/?view=tokenize").await;
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    site.script(
        "const sketch = document.querySelector('[data-part=sketch]'); const box = sketch.getBoundingClientRect(); \
         const at = (name, x, y) => sketch.dispatchEvent(new PointerEvent(name, {pointerId: 1, button: 0, \
             clientX: box.left + box.width * x, clientY: box.top + box.height * y})); \
         at('pointerdown', .3, .2); at('pointermove', .3, .8); at('pointermove', .7, .8); at('pointerup', .7, .8)",
    )
    .await;
    site.until_state("tokenize", "completed").await;
    let mut seen = vec![reconstruction(&site).await];

    // A file created by the page is handled like one of the user's.
    let give_file = |class: u32, how: &str| {
        format!(
            "fetch('/api/v1/models/fashion-mnist/classes/{class}.png').then(r => r.blob()).then(blob => {{ \
             const data = new DataTransfer(); data.items.add(new File([blob], 'a.png', {{type: 'image/png'}})); {how} }})"
        )
    };
    let drop = "document.querySelector('[data-part=drop-zone]').dispatchEvent(\
        new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}))";
    let paste =
        "document.body.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, bubbles: true}))";
    for script in [
        give_file(1, drop),
        give_file(2, paste),
        "document.querySelector('[data-example$=\"9.png\"]').click()".into(),
    ] {
        let before = seen.last().unwrap().as_str().unwrap().to_owned();
        site.script(&script).await;
        site.until(&format!("document.querySelector('[data-part=reconstruction]').src !== '{before}'")).await;
        seen.push(reconstruction(&site).await);
    }
    site.close().await;
}

#[tokio::test]
async fn a_file_that_is_not_an_image_shows_an_error() {
    let site = Site::open("/?view=tokenize").await;
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("letter.png");
    std::fs::write(&file, "Dear model,").unwrap();
    let input = site.client.find(Locator::Css("#file")).await.unwrap();
    input.send_keys(file.to_str().unwrap()).await.unwrap();
    site.until("document.querySelector('#tokenize .status').innerText.includes('letter.png')").await;
    // Variations need a picture.
    site.click("#submit").await;
    assert!(site.text("#tokenize .status").await.contains("First drop, paste, choose or draw a picture"));
    site.close().await;
}

/// Draws a line on the sketch pad, at a height of 0…1.
async fn stroke(site: &Site, y: f64) {
    site.script(&format!(
        "const sketch = document.querySelector('[data-part=sketch]'); const box = sketch.getBoundingClientRect(); \
         const at = (name, x) => sketch.dispatchEvent(new PointerEvent(name, {{pointerId: 1, button: 0, \
             clientX: box.left + box.width * x, clientY: box.top + box.height * {y}}})); \
         at('pointerdown', .2); at('pointermove', .8); at('pointerup', .8)"
    ))
    .await;
}

/// The sketch in a coarse form: lines of its middle column that are not background.
const LINES: &str = "(() => { const copy = new OffscreenCanvas(280, 280).getContext('2d', {willReadFrequently: true}); \
    copy.drawImage(document.querySelector('[data-part=sketch]'), 0, 0); \
    return [...copy.getImageData(140, 0, 1, 280).data].filter((value, i) => i % 4 === 0 && value > 100).length })()";

#[tokio::test]
async fn strokes_can_be_undone_redone_and_erased_and_survive_a_reload() {
    let site = Site::open("/?view=tokenize").await;
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    stroke(&site, 0.3).await;
    let one = site.script(&format!("return {LINES}")).await;
    stroke(&site, 0.7).await;
    let two = site.script(&format!("return {LINES}")).await;
    assert!(two.as_u64() > one.as_u64());
    site.click("[data-part=undo-sketch]").await;
    assert_eq!(site.script(&format!("return {LINES}")).await, one);
    site.click("[data-part=redo-sketch]").await;
    assert_eq!(site.script(&format!("return {LINES}")).await, two);
    site.click("[data-part=erase]").await;
    stroke(&site, 0.3).await;
    assert!(site.script(&format!("return {LINES}")).await.as_u64() < two.as_u64());
    site.click("[data-part=clear-sketch]").await;
    assert_eq!(site.script(&format!("return {LINES}")).await, json!(0));
    site.script("document.activeElement.blur()").await;
    site.press("z").await;
    site.press("z").await;
    assert_eq!(site.script(&format!("return {LINES}")).await, two);
    site.until_state("tokenize", "completed").await;
    site.fill("#from_step", "4").await;
    site.fill("#count", "2").await;
    site.run("tokenize").await;
    let before = reconstruction(&site).await;
    site.client.refresh().await.unwrap();
    site.until("document.querySelector('#tokenize .status')?.innerText.includes('Steps 1 to 4 come from your picture')")
        .await;
    assert_eq!(site.script(&format!("return {LINES}")).await, two);
    assert_eq!(reconstruction(&site).await, before);
    assert_eq!(
        site.script("return document.querySelectorAll('#tokenize .sheet canvas').length").await,
        json!(2)
    );
    site.close().await;
}

#[tokio::test]
async fn the_sketch_does_not_move_and_errors_stand_beside_their_control() {
    for (width, height) in [(375, 667), (768, 1024), (1440, 900)] {
        let site = Site::open_at("/?view=tokenize", width, height).await;
        site.until("document.body.dataset.loaded === 'tokenize'").await;
        let top = "return document.querySelector('[data-part=sketch]').getBoundingClientRect().top + scrollY";
        let before = site.script(top).await;
        stroke(&site, 0.4).await;
        site.until_state("tokenize", "completed").await;
        assert_eq!(site.script(top).await, before, "{width}");
        assert_eq!(site.script("return window.layoutShifts").await, json!([]), "{width}");
        site.close().await;
    }
    let site = Site::open("/?view=tokenize").await;
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("letter.png");
    std::fs::write(&file, "Dear model,").unwrap();
    for input in ["#file", "#camera"] {
        site.script("document.getElementById('file-error').hidden = true").await;
        let input = site.client.find(Locator::Css(input)).await.unwrap();
        input.send_keys(file.to_str().unwrap()).await.unwrap();
        site.until("!document.getElementById('file-error').hidden").await;
        assert!(site.text("#file-error").await.contains("letter.png"));
    }
    stroke(&site, 0.4).await;
    site.until_state("tokenize", "completed").await;
    assert_eq!(site.script("return document.getElementById('file-error').hidden").await, json!(true));
    // The reconstruction can be saved.
    site.record_files().await;
    site.click("#tokenize [data-part=download]").await;
    let (name, content) = saved_file(&site, 1).await;
    assert!(name.starts_with("reconstruction-"), "{name}");
    assert_eq!(image::load_from_memory(&content).unwrap().width(), 28 * 32);
    site.close().await;
}

#[tokio::test]
async fn a_model_that_can_name_pictures_says_what_one_looks_like_with_links_that_draw_it() {
    let site = Site::open("/?view=tokenize&model=emoji").await;
    site.until("document.body.dataset.loaded === 'tokenize'").await;
    let hidden = site.script("return document.querySelector('#tokenize [data-part=caption]').hidden").await;
    assert_eq!(hidden, json!(true));
    site.click("#tokenize .example:nth-of-type(13)").await; // Music: a guitar
    site.until_state("tokenize", "completed").await;
    let caption = site.text("#tokenize [data-part=caption]").await;
    assert!(caption.starts_with("Looks like: guitar "), "{caption}");
    site.click("#tokenize [data-part=caption] a").await;
    site.until("document.body.dataset.view === 'draw' && document.querySelector('#prompt')").await;
    assert_eq!(site.script("return document.querySelector('#prompt').value").await, json!("guitar"));
    site.close().await;
}
