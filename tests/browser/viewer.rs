//! The viewer: tokens, previews, timeline, playback, contact sheet.

use serde_json::json;

use super::site::{Site, generated};

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
