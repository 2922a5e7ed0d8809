//! The viewer: tokens, previews, timeline, playback, contact sheet.

use serde_json::json;

use super::site::{Browser, Site, generated, server};

/// Records every step that the token grid shows.
const RECORD_STEPS: &str = "window.shown = []; const canvas = document.querySelector('#draw [data-part=tokens]'); \
    new MutationObserver(() => window.shown.push(Number(canvas.dataset.step))) \
    .observe(canvas, {attributes: true, attributeFilter: ['data-step']})";

/// The content of the clean preview.
const CLEAN: &str = "return document.querySelector('#draw [data-part=clean]').toDataURL()";

#[tokio::test]
async fn drawing_a_class_shows_ten_steps_and_gives_the_same_image_as_the_command_line() {
    let site = Site::open("/").await;
    site.click("#class-7").await;
    site.fill("#seed", "7").await;
    site.script(RECORD_STEPS).await;
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return window.shown.filter(Boolean)").await, json!((1..=10).collect::<Vec<_>>()));
    assert_eq!(site.picture().await, generated(&["--class", "Sneaker", "--seed", "7"]));

    // Slider, bars and the arrow keys on the play button show any step.
    site.until_painted().await;
    let last = site.script(CLEAN).await;
    site.script(
        "const slider = document.querySelector('#draw [data-part=step]'); slider.value = 3; \
         slider.dispatchEvent(new Event('input', {bubbles: true}))",
    )
    .await;
    let shows_step =
        |step: u32| format!("document.querySelector('#draw [data-part=tokens]').dataset.step === '{step}'");
    site.until(&shows_step(3)).await;
    site.until(&format!("(() => {{ {CLEAN} }})() !== '{}'", last.as_str().unwrap())).await;
    site.click("#draw [data-part=bars] > :nth-child(5)").await;
    site.until(&shows_step(5)).await;
    site.script("document.querySelector('#draw [data-part=play]').focus()").await;
    site.press("\u{e014}\u{e014}").await; // right arrow
    site.until(&shows_step(7)).await;
    site.close().await;
}

#[tokio::test]
async fn playback_speed_can_be_changed_paused_and_set_to_live() {
    let site = Site::open("/?class=Bag&seed=3").await;
    site.until_state("draw", "completed").await;
    // Replay at quarter speed, and pause.
    site.script(
        "const speed = document.querySelector('#draw [data-part=speed]'); speed.value = '0.25'; \
         speed.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.click("#draw [data-part=play]").await;
    let step = "Number(document.querySelector('#draw [data-part=tokens]').dataset.step)";
    // The replay starts at step 1; each step lasts long enough to pause at one of them.
    site.until(&format!("{step} >= 2")).await;
    site.click("#draw [data-part=play]").await;
    let at = site.script(&format!("return {step}")).await;
    assert!(at.as_u64().unwrap() < 10, "{at}");
    assert_eq!(
        site.script("return document.querySelector('#draw [data-part=play]').ariaLabel").await,
        json!("Play")
    );

    // Live playback shows each step as it arrives, so it ends with the run.
    site.script(
        "const speed = document.querySelector('#draw [data-part=speed]'); speed.value = 'live'; \
         speed.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.script(RECORD_STEPS).await;
    site.run("draw").await;
    let shown = site.script("return window.shown.filter(Boolean)").await;
    assert_eq!(shown.as_array().unwrap().last(), Some(&json!(10)), "{shown}");
    site.close().await;
}

#[tokio::test]
async fn a_contact_sheet_shows_several_classes_and_seeds_at_the_same_step() {
    let site = Site::open("/").await;
    site.click("label[for=several]").await;
    site.click("#class-8").await;
    site.click("#class-9").await;
    site.click("#class-0").await; // was chosen: removes it
    site.fill("#seed", "7, 20-21").await;
    site.fill("#count", "2").await;
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    let labels =
        site.script("return [...document.querySelectorAll('#draw .sheet span')].map(s => s.innerText)").await;
    assert_eq!(labels.as_array().unwrap().len(), 12);
    assert_eq!(labels[11], json!("Ankle boot · 21 · no. 2"));
    // Choosing one shows it in the viewer.
    site.click("#draw .sheet label:nth-child(12)").await;
    let sheet = generated(&["--class", "Ankle boot", "--seed", "21", "--count", "2"]);
    let mut second = sheet.crop_imm(sheet.width() - 28, 0, 28, 28);
    if sheet.height() > sheet.width() {
        second = sheet.crop_imm(0, sheet.height() - 28, 28, 28);
    }
    assert_eq!(site.picture().await.to_luma8(), second.to_luma8());
    // The sheet can show tokens.
    site.click(".section-header label:nth-child(3)").await;
    site.until(
        "new Set([...document.querySelectorAll('#draw .sheet canvas')].map(c => c.toDataURL())).size === 12",
    )
    .await;
    site.close().await;
}

#[tokio::test]
async fn the_grid_is_coloured_by_code_entropy_or_change_and_shows_numbers() {
    let site = Site::open("/?class=Coat&seed=5").await;
    site.until_state("draw", "completed").await;
    let mut seen = Vec::new();
    for mode in ["code", "entropy", "change"] {
        site.script(&format!("document.querySelector('[name=draw-color-mode][value={mode}]').click()")).await;
        site.until_painted().await;
        seen.push(site.script("return document.querySelector('#draw [data-part=tokens]').toDataURL()").await);
    }
    site.click("#draw [data-part=show-numbers]").await;
    site.until_painted().await;
    seen.push(site.script("return document.querySelector('#draw [data-part=tokens]').toDataURL()").await);
    for (i, one) in seen.iter().enumerate() {
        assert!(seen[..i].iter().all(|other| other != one), "view {i} looks like another");
    }
    assert_eq!(site.text("#draw [data-part=legend-low]").await, "same code");
    site.close().await;
}

#[tokio::test]
async fn the_whole_picture_is_visible_after_a_run_without_scrolling() {
    // Phones, where it is as wide as the text, a tablet, a desktop, and the desktop at 200 % zoom.
    for (width, height, size) in
        [(375, 667, 328), (390, 844, 343), (768, 1024, 400), (1440, 900, 400), (720, 450, 224)]
    {
        let site = Site::open_at("/?class=Bag&seed=1", width, height).await;
        site.until_state("draw", "completed").await;
        // Scrolling may be smooth.
        let rest = "const done = arguments[0]; let before; const look = () => { \
            if (before === scrollY) done(); else { before = scrollY; setTimeout(look, 150); } }; look()";
        site.client.execute_async(rest, Vec::new()).await.unwrap();
        let place = site
            .script(
                "const {top, bottom, width} = document.querySelector('#draw [data-part=clean]').getBoundingClientRect(); \
                 const bar = document.querySelector('.form-actions').getBoundingClientRect(); \
                 return [top, bottom, width, innerWidth < 1024 ? bar.top : innerHeight]",
            )
            .await;
        let [top, bottom, picture, end] = serde_json::from_value::<[f64; 4]>(place).unwrap();
        assert!(top >= 0.0 && bottom <= end, "{width} × {height}: from {top} to {bottom} of {end}");
        assert!(picture >= f64::from(size), "{width} × {height}: {picture} pixels wide");
        site.close().await;
    }
}

#[tokio::test]
async fn the_picture_is_shown_clean_or_noisy() {
    let site = Site::open("/?class=Bag&seed=1").await;
    site.until_state("draw", "completed").await;
    let visible = "return ['clean', 'noisy'].map(part => document.querySelector(`#draw [data-part=${part}]`).checkVisibility())";
    assert_eq!(site.script(visible).await, json!([true, false]));
    site.click("#draw [data-part=preview] label:nth-child(2)").await;
    assert_eq!(site.script(visible).await, json!([false, true]));
    site.close().await;
}

#[tokio::test]
async fn a_dialog_shows_the_large_picture_its_steps_and_the_other_pictures() {
    let site = Site::open("/?class=Bag&seed=1&count=3").await;
    site.until_state("draw", "completed").await;
    site.script("document.querySelector('#draw [data-part=enlarge]').focus()").await;
    site.press("\u{e007}").await; // enter
    site.until("document.querySelector('dialog')?.open").await;
    let caption = ".lightbox-caption";
    assert_eq!(site.text(caption).await, "1 of 3 · Bag, seed 1 · step 10 of 10");
    let width =
        site.script("return document.querySelector('dialog canvas').getBoundingClientRect().width").await;
    assert!(width.as_f64().unwrap() > 600.0, "{width}");
    site.press("\u{e012}\u{e012}").await; // left: the slider has the focus
    assert_eq!(site.text(caption).await, "1 of 3 · Bag, seed 1 · step 8 of 10");
    site.press("\u{e00f}").await; // page down
    assert_eq!(site.text(caption).await, "2 of 3 · Bag, seed 1 · step 8 of 10");
    assert!(site.script("return location.search").await.as_str().unwrap().ends_with("pick=2"));
    site.press("\u{e00c}").await; // escape
    assert_eq!(site.script("return document.querySelector('dialog')?.open").await, json!(false));
    assert_eq!(site.script("return document.activeElement.dataset.part").await, json!("enlarge"));
    site.close().await;
}

#[tokio::test]
async fn tiles_show_their_own_steps_while_they_are_drawn() {
    let site = Site::open("/").await;
    // Records the texts of the counter, and at each of them how many different tiles there are beside noise.
    site.script(
        "window.counts = []; const count = document.querySelector('[data-part=sheet-count]'); \
         new MutationObserver(() => window.counts.push(count.textContent)).observe(count, {childList: true}); \
         window.spoken = []; const spoken = document.querySelector('[data-part=sheet-announcement]'); \
         new MutationObserver(() => window.spoken.push(spoken.textContent)).observe(spoken, {childList: true})",
    )
    .await;
    site.click("label[for=several]").await;
    for class in 1..8 {
        site.click(&format!("#class-{class}")).await;
    }
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    let counts = site.script("return [...new Set(window.counts)]").await;
    let counts: Vec<String> = serde_json::from_value(counts).unwrap();
    assert_eq!(counts.first().map(String::as_str), Some("0 of 8"));
    assert_eq!(counts.last().map(String::as_str), Some("8 pictures"));
    assert!(counts.len() > 4, "{counts:?}");
    let spoken: Vec<String> =
        serde_json::from_value(site.script("return window.spoken.filter(Boolean)").await).unwrap();
    assert!(
        (1..=4).contains(&spoken.len()) && spoken.last().unwrap() == "8 of 8 pictures drawn",
        "{spoken:?}"
    );
    // A replay shows all tiles at the same step.
    let tiles =
        "return [...document.querySelectorAll('#draw .sheet canvas')].map(canvas => canvas.toDataURL())";
    site.until_painted().await;
    let finished = site.script(tiles).await;
    site.click("#draw [data-part=bars] > :nth-child(2)").await;
    site.until_painted().await;
    let replayed = site.script(tiles).await;
    let pairs = finished.as_array().unwrap().iter().zip(replayed.as_array().unwrap());
    assert_eq!(pairs.filter(|(finished, replayed)| finished != replayed).count(), 8);
    site.close().await;
}

#[tokio::test]
async fn a_drawn_picture_can_be_saved_and_its_replay_skipped() {
    let site = Site::open("/").await;
    site.script(
        "const speed = document.querySelector('#draw [data-part=speed]'); speed.value = '0.25'; \
         speed.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.click("#submit").await;
    site.until_state("draw", "replaying").await;
    let status = site.text("#draw .status").await;
    assert!(status.contains("Finished in") && status.contains("Replaying"), "{status}");
    assert!(
        site.script("return document.querySelector('[data-part=download]').href")
            .await
            .as_str()
            .unwrap()
            .starts_with("data:")
    );
    // Pausing isn't the end.
    site.click("#draw [data-part=play]").await;
    assert!(site.text("#draw .status").await.contains("Paused at step"));
    site.click("#draw [data-part=skip]").await;
    site.until_state("draw", "completed").await;
    let step = "return document.querySelector('#draw [data-part=tokens]').dataset.step";
    assert_eq!(site.script(step).await, json!("10"));
    assert!(site.text("#draw .status").await.contains("Done in"));
    site.close().await;
}

#[tokio::test]
async fn reduced_motion_shows_the_last_step_without_playing_the_others() {
    let (_server, url) = server(0);
    let browser = Browser::start(1440, 1000).await;
    browser.emulate_media(&[("prefers-reduced-motion", "reduce")]).await;
    browser.goto(&format!("{url}/?model=fashion-mnist")).await;
    browser.script(
        "window.states = []; const line = document.querySelector('#draw .status'); \
         new MutationObserver(() => window.states.push(line.dataset.state)).observe(line, {attributes: true})",
    )
    .await;
    browser.click("#submit").await;
    browser.until_state("draw", "completed").await;
    let states = browser.script("return window.states").await;
    assert!(!states.as_array().unwrap().contains(&json!("replaying")), "{states}");
    browser.close().await;
}

#[tokio::test]
async fn the_largest_entropy_fills_a_bar_and_the_first_step_has_no_change() {
    let site = Site::open("/?class=Bag&seed=3").await;
    site.until_state("draw", "completed").await;
    let largest = "return Math.max(...[...document.querySelectorAll('#draw [data-part=bars] span')].map(bar => parseFloat(bar.style.getPropertyValue('--value'))))";
    assert_eq!(site.script(largest).await, json!(100));
    // Without a step before there are neither distances nor equal codes.
    site.click("[name=draw-color-mode][value=change]").await;
    site.click("#draw [data-part=bars] > :nth-child(1)").await;
    // Until the colours have faded in.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    let canvas = "return document.querySelector('#draw [data-part=tokens]').toDataURL()";
    let without_numbers = site.script(canvas).await;
    site.click("#draw [data-part=show-numbers]").await;
    site.until_painted().await;
    assert_eq!(site.script(canvas).await, without_numbers);
    site.close().await;
}

#[tokio::test]
async fn the_chosen_class_is_visible_in_the_row_of_a_phone() {
    let site = Site::open_at("/?model=emoji&class=Flag", 390, 844).await;
    site.until_loaded("draw").await;
    let visible = "const tile = document.querySelector('[name=class]:checked').getBoundingClientRect(); \
        return tile.left >= 0 && tile.right <= innerWidth";
    assert_eq!(site.script(visible).await, json!(true));
    site.close().await;
}
