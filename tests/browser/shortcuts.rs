//! Keyboard shortcuts.

use serde_json::json;

use super::site::{Site, saved_file};

const STEP: &str = "Number(document.querySelector('#draw [data-part=tokens]').dataset.step)";

#[tokio::test]
async fn keys_draw_play_step_save_and_list_the_shortcuts() {
    let site = Site::open("/").await;
    site.record_files().await;
    site.script("document.activeElement.blur()").await;
    site.press("d").await;
    site.until_state("draw", "completed").await;
    site.press("\u{e012}").await; // left arrow
    site.until(&format!("{STEP} === 9")).await;
    site.press("\u{e014}").await;
    site.until(&format!("{STEP} === 10")).await;
    site.press(" ").await;
    site.until(&format!("{STEP} < 10")).await;
    site.press(" ").await;
    assert_eq!(
        site.script("return document.querySelector('#draw [data-part=play]').ariaLabel").await,
        json!("Play")
    );
    site.press("s").await;
    assert!(saved_file(&site, 1).await.0.ends_with(".png"));
    site.press("?").await;
    site.until("document.querySelector('dialog')?.open").await;
    // While a dialog is open the keys are its own.
    let seed = site.script("return document.getElementById('seed').value").await;
    site.press("d").await;
    assert_eq!(site.script("return document.getElementById('seed').value").await, seed);
    site.click("dialog input").await;
    site.press("\u{e00c}").await; // escape
    // Turned off.
    site.script("document.activeElement.blur()").await;
    site.press("?").await;
    assert_eq!(site.script("return document.querySelector('dialog').open").await, json!(false));
    site.close().await;
}

#[tokio::test]
async fn keys_do_nothing_while_typing_or_on_controls_that_use_them() {
    let site = Site::open("/?class=Bag&seed=3").await;
    site.until_state("draw", "completed").await;
    let address = site.script("return location.search").await;
    site.fill("#seed", "d s?").await;
    assert_eq!(site.script("return document.getElementById('seed').value").await, json!("d s?"));
    assert_eq!(site.script("return document.querySelector('dialog')").await, json!(null));
    // The slider moves itself, by one step.
    site.script("document.querySelector('#draw [data-part=step]').focus()").await;
    site.press("\u{e012}").await;
    site.until(&format!("{STEP} === 9")).await;
    // A button that was reached by keyboard clicks; one that was clicked leaves Space to the viewer.
    site.script("document.getElementById('lock-seed').focus()").await;
    site.press("\u{e004}").await; // tab
    site.press("\u{e008}\u{e004}\u{e000}").await;
    site.press(" ").await;
    assert_eq!(site.script("return document.getElementById('lock-seed').ariaPressed").await, json!("false"));
    assert_eq!(site.script(&format!("return {STEP}")).await, json!(9));
    assert_eq!(site.script("return location.search").await, address);
    site.close().await;
}
