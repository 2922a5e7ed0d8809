//! The tokenization view: encoding a picture, and drawing variations.

use fantoccini::Locator;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::site::{Site, from_data_url};

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
