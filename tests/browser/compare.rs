//! The comparison view: two pictures side by side.

use serde_json::json;

use super::site::{Site, generated, saved_file};

#[tokio::test]
async fn a_comparison_shows_both_pictures_at_the_same_step() {
    let site = Site::open("/?view=compare&class=Sandal&seed=4").await;
    // A link with a class and a seed starts the run.
    site.until_state("compare", "completed").await;
    site.script(
        "const vary = document.getElementById('vary'); vary.value = 'temperature'; \
         vary.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.fill("#to", "9").await;
    site.click("#submit").await;
    assert_eq!(site.text("#to-error").await, "Enter a number from 0 to 5.");
    site.fill("#to", "0").await;
    site.run("compare").await;
    let titles =
        "return [...document.querySelectorAll('[data-part=side-title]')].map(title => title.innerText)";
    assert_eq!(site.script(titles).await, json!(["Temperature 1.1", "Temperature 0"]));
    site.click("#compare [data-part=bars] > :nth-child(6)").await;
    let steps =
        "return [...document.querySelectorAll('#compare [data-part=tokens]')].map(c => c.dataset.step)";
    site.until(&format!("(() => {{ {steps} }})().join() === '6,6'")).await;

    // The cell is inspected in both pictures; at temperature 0 the most likely code has probability 1.
    site.script("document.querySelector('#compare [data-part=tokens]').focus()").await;
    site.press("\u{e015}").await;
    let probabilities =
        "return [...document.querySelectorAll('#compare [data-part=probability]')].map(p => p.innerText)";
    let probabilities = site.script(probabilities).await;
    assert_eq!(probabilities[1], json!("100 %"));
    assert_ne!(probabilities[0], json!("100 %"));
    let link = site.script("return location.search").await;
    let link = link.as_str().unwrap();
    for part in ["view=compare", "class=Sandal", "seed=4", "vary=temperature", "to=0"] {
        assert!(link.contains(part), "{link}");
    }
    site.close().await;
}

#[tokio::test]
async fn switching_to_compare_does_not_start_a_run() {
    let site = Site::open("/?class=Sandal&seed=4").await;
    site.until_state("draw", "completed").await;
    site.click(".tabs [data-view-link=compare]").await;
    site.until("document.body.dataset.loaded === 'compare'").await;
    assert_eq!(
        site.script("return document.querySelector('#compare .status').dataset.state").await,
        json!("idle")
    );
    site.close().await;
}

#[tokio::test]
async fn the_sides_differ_and_equal_ones_are_refused() {
    let site = Site::open("/?view=compare").await;
    site.until("document.body.dataset.loaded === 'compare'").await;
    let values = "return [document.getElementById('guidance').value, document.getElementById('to').value]";
    // As the value on the right is not the user's choice, it follows.
    site.fill("#guidance", "0").await;
    let [left, right] = serde_json::from_value::<[String; 2]>(site.script(values).await).unwrap();
    assert_ne!(left, right);
    site.fill("#to", "0").await;
    site.click("#submit").await;
    assert!(site.text("#to-error").await.starts_with("Both sides would be the same."));
    site.script(
        "const vary = document.getElementById('vary'); vary.value = 'class'; \
         vary.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    assert_ne!(site.script("return document.getElementById('to-class').value").await, json!("T-shirt/top"));
    site.close().await;
}

#[tokio::test]
async fn both_pictures_are_side_by_side_and_can_be_saved_copied_and_shown_again() {
    for (width, height) in [(375, 667), (390, 844), (768, 1024), (1440, 900)] {
        let site =
            Site::open_at("/?view=compare&class=Bag&seed=3&vary=temperature&to=0", width, height).await;
        site.until_state("compare", "completed").await;
        let boxes = site
            .script(
                "return [...document.querySelectorAll('#compare [data-part=clean]')].map(canvas => { \
                 const {top, left, right} = canvas.getBoundingClientRect(); return [top, left, right]; })",
            )
            .await;
        let [left, right]: [[f64; 3]; 2] = serde_json::from_value(boxes).unwrap();
        assert!((left[0] - right[0]).abs() < 1.0 && left[2] <= right[1], "{width}: {left:?} {right:?}");
        // The control that says what changes stands first.
        let first = "const top = selector => document.querySelector(selector).getBoundingClientRect().top; \
            return top('.compare-settings') < top('.classes')";
        assert_eq!(site.script(first).await, json!(true), "{width}");
        assert_eq!(site.script("return window.layoutShifts").await, json!([]), "{width}");
        site.browser.close().await;
    }
    let site = Site::open("/?view=compare&class=Bag&seed=3&vary=temperature&to=0").await;
    site.until_state("compare", "completed").await;
    site.record_files().await;
    site.click("[name=side-choice][value='1']").await;
    let facts = site.text("#compare [data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(facts.starts_with("Picture 2 of 2 · Bag") && facts.contains("temperature 0 "), "{facts}");
    site.click("#compare [data-part=download]").await;
    assert_eq!(saved_file(&site, 1).await.0, "bag-3.png");
    site.click("#compare [data-part=save-menu] summary").await;
    site.script(
        "const what = document.querySelector('#compare [data-part=save-what]'); what.value = 'sheet'; \
         what.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.click("#compare [data-part=save]").await;
    let (_, sheet) = saved_file(&site, 2).await;
    let sheet = image::load_from_memory(&sheet).unwrap();
    assert_eq!(sheet.width(), 2 * sheet.height());
    // The history shows it in Compare again.
    site.click(".tabs [data-view-link=draw]").await;
    site.until("document.querySelector('#draw .history-list a')").await;
    site.fill("#seed", "1").await;
    site.click("#draw .history-list a").await;
    site.until("document.body.dataset.view === 'compare' && document.getElementById('seed').value === '3'")
        .await;
    site.until_state("compare", "completed").await;
    site.close().await;
}

#[tokio::test]
async fn a_matrix_varies_two_settings_of_one_seed() {
    let site = Site::open("/?view=compare&class=Bag&seed=3").await;
    site.until_state("compare", "completed").await;
    site.record_files().await;
    site.click("[name=comparison][value=matrix]").await;
    site.script(
        "const axis = document.getElementById('y-setting'); axis.value = 'class'; \
         axis.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    for (columns, rows, error) in [
        ("0 1 2 3 4", "Bag, Coat, Dress, Shirt", "That makes 20 pictures"),
        ("0 1 99", "Bag", "Guidance: Enter a number"),
        ("0 1", "Bag, Boat", "“Boat” isn’t a class"),
    ] {
        site.fill("#x-values", columns).await;
        site.fill("#y-values", rows).await;
        site.click("#submit").await;
        let shown = site.text("#matrix-error").await;
        assert!(shown.starts_with(error), "{shown}");
    }
    site.fill("#x-values", "0,5 3").await;
    site.fill("#y-values", "bag, Coat").await;
    site.run("compare").await;
    let heads = "return [...document.querySelectorAll('.matrix th')].map(cell => cell.innerText)";
    assert_eq!(site.script(heads).await, json!(["0.5", "3", "Bag", "Coat"]));
    site.click("[data-part=save-matrix]").await;
    let (name, file) = saved_file(&site, 1).await;
    assert_eq!(name, "matrix-guidance-class-3.png");
    assert!(image::load_from_memory(&file).unwrap().width() > 2 * 192);
    // A cell opens on the stage; Back returns to the matrix.
    site.click(".matrix tbody tr:nth-child(2) td:last-child button").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Coat", "--seed", "3", "--guidance", "3"]));
    site.client.back().await.unwrap();
    site.until("document.body.dataset.view === 'compare'").await;
    assert_eq!(site.script("return document.querySelectorAll('.matrix-cell').length").await, json!(4));
    // A link draws it, without a layout shift.
    site.client.refresh().await.unwrap();
    site.until_state("compare", "completed").await;
    assert_eq!(site.script(heads).await, json!(["0.5", "3", "Bag", "Coat"]));
    assert_eq!(site.script("return window.layoutShifts").await, json!([]));
    // The history shows it again without the server.
    let cells = "return [...document.querySelectorAll('.matrix canvas')].map(canvas => canvas.toDataURL())";
    // The last step fades in.
    let fade = std::time::Duration::from_millis(600);
    tokio::time::sleep(fade).await;
    let drawn = site.script(cells).await;
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    let entry = "[data-part=history-list] a[href*='view=compare'][href*='x=guidance']";
    site.until(&format!("document.querySelector(\"{entry}\")")).await;
    site.script("const send = window.fetch; window.fetch = (url, options) => String(url).includes('generations') ? Promise.reject(new TypeError('no server')) : send(url, options)").await;
    site.click(entry).await;
    site.until_state("compare", "completed").await;
    tokio::time::sleep(fade).await;
    assert_eq!(site.script(heads).await, json!(["0.5", "3", "Bag", "Coat"]));
    assert!(site.script(cells).await == drawn, "other pictures");
    site.close().await;
}
