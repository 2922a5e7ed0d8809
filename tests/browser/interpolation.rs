//! The pictures between two others: chosen, drawn, moved through, played, saved.

use image::{AnimationDecoder, DynamicImage};
use serde_json::json;

use super::accessibility::violations;
use super::site::{Browser, Site, from_data_url, generated, saved_file, server};

const DIALOG: &str = "document.querySelector('.interpolation')";

/// Draws two pictures and opens the dialog for the second one.
async fn open(browser: &Browser) {
    browser.until_state("draw", "completed").await;
    browser.fill("#seed", "5").await;
    browser.run("draw").await;
    browser.until("document.querySelectorAll('#draw .history-list a').length === 2").await;
    browser.click("#draw [data-part=interpolate]").await;
    browser.until(&format!("{DIALOG}?.open")).await;
}

async fn press(browser: &Browser, text: &str) {
    let button = format!(
        "[...{DIALOG}.querySelectorAll('button')].find(button => button.textContent === '{text}' && !button.disabled)"
    );
    browser.until(&button).await;
    browser.script(&format!("{button}.click()")).await;
}

async fn draw(browser: &Browser) {
    press(browser, "Draw").await;
    browser.until(&format!("{DIALOG}.dataset.state === 'completed'")).await;
}

/// The picture at a place of the slider, from 1.
async fn picture(browser: &Browser, place: u32) -> DynamicImage {
    let slider = format!("{DIALOG}.querySelector('.slider')");
    browser
        .script(&format!(
            "const slider = {slider}; slider.value = {place}; slider.dispatchEvent(new Event('input'))"
        ))
        .await;
    browser.until_painted().await;
    let source = browser.script(&format!("return {DIALOG}.querySelector('canvas').toDataURL()")).await;
    from_data_url(source.as_str().unwrap()).into_luma8().into()
}

#[tokio::test]
async fn slider_moves_from_one_picture_of_the_history_to_another() {
    let site = Site::open("/?class=Bag&seed=4").await;
    site.record_files().await;
    open(&site).await;
    let label = format!("{DIALOG}.querySelector('.gallery-list label').innerText");
    assert_eq!(site.script(&format!("return {label}.trim()")).await, json!("Bag, seed 4"));
    assert_eq!(
        site.script(&format!("return {DIALOG}.querySelectorAll('.gallery-list label').length")).await,
        json!(1)
    );
    let [first, second] = ["5", "4"].map(|seed| generated(&["--class", "Bag", "--seed", seed]));
    for (kind, text) in [("steps", "Half of the steps"), ("noise", "Noise"), ("latent", "Picture")] {
        site.click(&format!(".interpolation input[value={kind}]")).await;
        draw(&site).await;
        assert_eq!(picture(&site, 1).await, first, "{text}");
        assert_eq!(picture(&site, 9).await, second, "{text}");
        let middle = picture(&site, 5).await;
        assert!(middle != first && middle != second, "{text}");
    }

    // By the keyboard.
    site.script(&format!("{DIALOG}.querySelector('.slider').focus()")).await;
    site.press("\u{e012}").await;
    let value = format!("return {DIALOG}.querySelector('.slider').ariaValueText");
    assert_eq!(site.script(&value).await, json!("Picture 4 of 9"));
    site.press("\u{e010}").await;
    assert_eq!(site.script(&value).await, json!("Picture 9 of 9: Bag, seed 4"));
    // Back from the end, and forth again.
    press(&site, "Play").await;
    site.until(&format!("{DIALOG}.querySelector('.slider').value === '1'")).await;
    site.until(&format!("{DIALOG}.querySelector('.slider').value === '3'")).await;
    press(&site, "Pause").await;

    press(&site, "Save GIF").await;
    let (name, file) = saved_file(&site, 1).await;
    assert_eq!(name, "between.gif");
    let film = image::codecs::gif::GifDecoder::new(std::io::Cursor::new(file)).unwrap();
    assert_eq!(film.into_frames().count(), 16);

    press(&site, "Code").await;
    site.until(&format!("{DIALOG}.querySelector('code').textContent.includes('which=images')")).await;
    let code = site.script(&format!("return {DIALOG}.querySelector('code').textContent")).await;
    let code = code.as_str().unwrap();
    assert!(
        code.contains(r#""a":{"seed":5,"index":0,"class":"Bag"}"#) && code.contains(r#""kind":"latent""#),
        "{code}"
    );
    press(&site, "Close").await;
    site.until(&format!("!{DIALOG}.open")).await;
    site.close().await;
}

#[tokio::test]
async fn interpolation_has_no_accessibility_violations_and_fits_narrow_windows() {
    let (_server, address) = server(0);
    for theme in ["light", "dark"] {
        let browser = Browser::start(1280, 800).await;
        browser.emulate_media(&[("prefers-color-scheme", theme)]).await;
        browser.goto(&format!("{address}/?class=Bag&seed=4")).await;
        open(&browser).await;
        assert_eq!(violations(&browser).await, json!([]), "opened, {theme}");
        draw(&browser).await;
        press(&browser, "Code").await;
        assert_eq!(violations(&browser).await, json!([]), "drawn, {theme}");
        browser.set_size(320, 700).await;
        browser.until_painted().await;
        let width = browser.script(&format!("return {DIALOG}.scrollWidth - {DIALOG}.clientWidth")).await;
        assert_eq!(width, json!(0));
        assert_eq!(violations(&browser).await, json!([]), "narrow, {theme}");
        browser.close().await;
    }
}

#[tokio::test]
async fn first_picture_alone_says_what_to_do() {
    let site = Site::open("/?class=Bag&seed=4").await;
    site.until_state("draw", "completed").await;
    site.until("document.querySelectorAll('#draw .history-list a').length === 1").await;
    site.click("#draw [data-part=interpolate]").await;
    site.until(&format!("{DIALOG}?.open")).await;
    assert!(site.text(".interpolation-question").await.starts_with("Draw another picture first."));
    let disabled =
        format!("return [...{DIALOG}.querySelectorAll('button:disabled')].map(button => button.textContent)");
    assert_eq!(site.script(&disabled).await, json!(["Play", "Save GIF", "Draw", "Code"]));
    site.close().await;
}
