//! Finished pictures: history, saving, copying; and what the browser's storage holds.

use image::DynamicImage;
use image::imageops::FilterType;
use serde_json::json;
use tempfile::TempDir;

use super::site::{Site, bytes_of, generated, saved_file};

#[tokio::test]
async fn two_tabs_draw_at_the_same_time_and_share_the_history() {
    let site = Site::open("/?class=Bag&seed=1&count=8").await;
    let first = site.client.window().await.unwrap();
    let window = site.client.new_window(true).await.unwrap();
    site.client.switch_to_window(window.handle).await.unwrap();
    site.goto(&format!("{}/?class=Dress&seed=2&count=8", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Dress", "--seed", "2"]));
    site.client.switch_to_window(first).await.unwrap();
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, generated(&["--class", "Bag", "--seed", "1"]));
    site.until("document.querySelectorAll('#draw .history-list a').length === 2").await;
    site.close().await;
}

#[tokio::test]
async fn the_history_restores_settings_and_can_be_deleted() {
    let site = Site::open("/?class=Sneaker&seed=9&guidance=3").await;
    site.until_state("draw", "completed").await;
    let picture = site.picture().await;
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("2"));
    site.until("document.querySelector('#draw .history-list a')").await;
    site.click("#draw .history-list a").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return document.getElementById('guidance').value").await, json!("3"));
    assert_eq!(site.picture().await, picture);
    site.click("[data-part=clear-history]").await;
    site.until("document.querySelector('[data-part=confirm-delete]')").await;
    site.click("[data-part=confirm-delete]").await;
    site.until("document.querySelector('[data-part=clear-history]').hidden").await;
    assert_eq!(
        site.script(
            "return [localStorage.length, document.querySelectorAll('#draw .history-list a').length]"
        )
        .await,
        json!([0, 0])
    );
    site.close().await;
}

#[tokio::test]
async fn invalid_or_full_storage_does_not_break_the_page() {
    let site = Site::open("/").await;
    let broken = [
        r#""{""#,
        r#""null""#,
        r#"JSON.stringify([null, 1, {}, {address: "javascript:alert(1)", label: "x", seed: 1, thumbnail: "data:image/png;base64,AAAA"}, {address: "/?seed=1", label: "x", seed: 1, thumbnail: "/api/v1/models"}])"#,
        r#"JSON.stringify({session: {jobs: [{body: {class: 1}, links: {self: "//elsewhere", events: 7}}]}, settings: 3, address: "/"})"#,
        r#"JSON.stringify({address: "/", settings: {classes: ["Bag"], seeds: [1], count: 1}, session: {jobs: [{body: {class: "Bag", seed: 1, count: 1}, links: {self: "/api/v1/generations/none", events: "/api/v1/generations/none/events"}}], ended: true}})"#,
        r#"JSON.stringify({address: "/", settings: {classes: ["Bag"], seeds: [1], count: 1}, run: {jobs: [{body: {class: "Bag", seed: 1, count: 1}, links: {self: "/api/v1/generations/none", events: "/api/v1/generations/none/events"}}], ended: true}})"#,
    ];
    for value in broken {
        site.script(&format!(
            "localStorage['rdpm.history./?seed=1'] = {value}; sessionStorage['rdpm.run'] = {value}"
        ))
        .await;
        site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
        assert_eq!(
            site.script("return document.querySelectorAll('#draw .history-list a').length").await,
            json!(0)
        );
        site.until_state("draw", "idle").await;
    }
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert_eq!(
        site.script("return document.querySelectorAll('#draw .history-list a').length").await,
        json!(1)
    );
    // Without room in the storage only the history is lost.
    site.script("localStorage.clear(); Storage.prototype.setItem = () => { throw new Error('full'); }").await;
    site.run("draw").await;
    // The console shows the 404 responses for the unknown run.
    let console_messages = site.console_messages().await;
    assert!(
        console_messages.iter().all(|one| one["message"].as_str().unwrap().contains("/none")),
        "{console_messages:?}"
    );
    site.browser.close().await;
}

#[tokio::test]
async fn a_picture_can_be_saved_and_copied_as_link_curl_python_and_tokens() {
    let site = Site::open("/?class=Ankle+boot&seed=6&top_k=50").await;
    site.until_state("draw", "completed").await;
    let name = site.script("return document.querySelector('[data-part=download]').download").await;
    assert_eq!(name, json!("ankle-boot-6.png"));
    let saved = site.script("return document.querySelector('[data-part=download]').href").await;
    let saved = bytes_of(saved.as_str().unwrap());
    let copy = async |what: &str| {
        // The status text disappears by itself, so every change is recorded.
        site.script(
            "const status = document.querySelector('[data-part=action-status]'); status.textContent = ''; window.texts = []; \
             new MutationObserver(() => window.texts.push(status.textContent)).observe(status, {childList: true})",
        )
        .await;
        site.click("[data-part=copy-menu] summary").await;
        site.click(&format!("[data-copy={what}]")).await;
        site.until("window.texts.some(text => text.includes('Cop'))").await;
        site.script("return document.getElementById('copy-text').value").await.as_str().unwrap().to_owned()
    };
    let link = copy("link").await;
    assert!(
        link.contains("class=Ankle+boot") && link.contains("seed=6") && link.contains("top_k=50"),
        "{link}"
    );
    let tokens: Vec<Vec<Vec<u32>>> = serde_json::from_str(&copy("tokens").await).unwrap();
    assert_eq!((tokens.len(), tokens[0].len(), tokens[0][0].len()), (10, 7, 7));

    let folder = TempDir::new().unwrap();
    let python = copy("python").await;
    std::fs::write(folder.path().join("draw.py"), python).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output =
            std::process::Command::new(program).args(arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let file = run("python3", &["draw.py"]);
    let pixels = |bytes: &[u8]| image::load_from_memory(bytes).unwrap();
    assert_eq!(pixels(&std::fs::read(folder.path().join(file.trim())).unwrap()), pixels(&saved));
    // The curl command writes the picture, large enough to look at.
    std::fs::remove_file(folder.path().join("ankle-boot-6.png")).unwrap();
    run("sh", &["-c", &copy("curl").await]);
    let written = pixels(&std::fs::read(folder.path().join("ankle-boot-6.png")).unwrap());
    assert_eq!(written.width(), 28 * 32);
    assert_eq!(reduced(&written), pixels(&saved));
    site.close().await;
}

/// A picture without the scale of its file.
fn reduced(picture: &DynamicImage) -> DynamicImage {
    picture.resize_exact(28, 28, FilterType::Nearest)
}

async fn choose(site: &Site, part: &str, value: &str) {
    site.script(&format!(
        "const select = document.querySelector('[data-part={part}]'); select.value = '{value}'; \
         select.dispatchEvent(new Event('change', {{bubbles: true}}))"
    ))
    .await;
}

#[tokio::test]
async fn the_chosen_picture_of_several_is_linked_copied_and_saved() {
    let site = Site::open("/?class=Bag&class=Dress&seed=7&count=2&pick=4").await;
    site.until_state("draw", "completed").await;
    // The link opens the fourth picture: the second one of the second class.
    let facts = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(facts.starts_with("Picture 4 of 4 · Bag · Seed 7 · no. 2 · "), "{facts}");
    let checked = "return document.querySelector('#draw .sheet input:checked').value";
    assert_eq!(site.script(checked).await, json!("3"));
    let second = generated(&["--class", "Bag", "--seed", "7", "--count", "2"]);
    let second = second.crop_imm(second.width() - 28, second.height() - 28, 28, 28).to_luma8();
    assert_eq!(site.picture().await.to_luma8(), second);

    let title = "return document.title";
    assert_eq!(site.script(title).await, json!("Bag, seed 7, no. 2 · RDPM: pictures from tokens"));

    // Choosing another one changes the address and the title; a reload shows it again.
    site.click("#draw .sheet label:nth-child(3)").await;
    assert_eq!(site.script(title).await, json!("Bag, seed 7 · RDPM: pictures from tokens"));
    assert!(site.script("return location.search").await.as_str().unwrap().ends_with("&pick=3"));
    site.client.refresh().await.unwrap();
    site.until("document.querySelector('#draw .status').innerText.includes('Restored')").await;
    assert_eq!(site.script(checked).await, json!("2"));
    assert!(
        site.text("[data-part=result-summary]").await.replace('\u{a0}', " ").starts_with("Picture 3 of 4")
    );

    // curl and Python write the chosen picture.
    site.click("#draw .sheet label:nth-child(4)").await;
    site.script(
        "navigator.clipboard.writeText = text => { window.written = text; return Promise.resolve() }",
    )
    .await;
    let folder = TempDir::new().unwrap();
    for (copy, program, flag) in [("curl", "sh", "-c"), ("python", "python3", "-c")] {
        site.click("[data-part=copy-menu] summary").await;
        site.script("window.written = ''").await;
        site.click(&format!("[data-copy={copy}]")).await;
        site.until("window.written").await;
        let code = site.script("return window.written").await;
        let output = std::process::Command::new(program)
            .args([flag, code.as_str().unwrap()])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{copy}: {}", String::from_utf8_lossy(&output.stderr));
        let file = folder.path().join("bag-7-2.png");
        assert_eq!(reduced(&image::open(&file).unwrap()).to_luma8(), second, "{copy}");
        std::fs::remove_file(file).unwrap();
    }
    site.close().await;
}

#[tokio::test]
async fn a_picture_is_saved_large_and_in_every_format() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    site.record_files().await;
    site.click("[data-part=download]").await;
    let (name, file) = saved_file(&site, 1).await;
    let saved = image::load_from_memory(&file).unwrap();
    assert_eq!((name.as_str(), saved.width()), ("coat-6.png", 28 * 32));
    assert_eq!(reduced(&saved), site.picture().await);

    let cases = [
        ("picture", "clean", "webp", "1", "coat-6.webp", 28),
        ("picture", "clean", "jpeg", "4", "coat-6.jpeg", 4 * 28),
        ("picture", "tokens", "png", "8", "coat-6-tokens-step-10.png", 8 * 28),
        ("animation", "noisy", "gif", "4", "coat-6-noisy.gif", 4 * 28),
        ("animation", "clean", "png", "1", "coat-6-clean.png", 28),
        ("animation", "tokens", "webp", "1", "coat-6-tokens.webp", 28),
    ];
    for (i, (what, content, format, scale, name, width)) in cases.into_iter().enumerate() {
        site.click("[data-part=save-menu] summary").await;
        for (part, value) in
            [("save-what", what), ("save-content", content), ("save-format", format), ("save-scale", scale)]
        {
            choose(&site, part, value).await;
        }
        site.click("[data-part=save]").await;
        let (saved, file) = saved_file(&site, i + 2).await;
        assert_eq!((saved.as_str(), image::load_from_memory(&file).unwrap().width()), (name, width));
        site.until("document.querySelector('[data-part=save]').ariaBusy === 'false'").await;
    }
    site.close().await;
}

#[tokio::test]
async fn saving_an_animation_stays_busy_until_the_file_is_there() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    site.record_files().await;
    site.script(
        "const fetched = window.fetch; \
         window.fetch = (...request) => String(request[0]).includes('animation') \
            ? new Promise(resolve => { window.answer = () => resolve(fetched(...request)); }) : fetched(...request)",
    )
    .await;
    site.click("[data-part=save-menu] summary").await;
    choose(&site, "save-what", "animation").await;
    site.click("[data-part=save]").await;
    site.until("window.answer").await;
    // Longer than a brief message stays.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(site.text("[data-part=action-status]").await, "Creating the animation…");
    assert_eq!(
        site.script("return document.querySelector('[data-part=save]').ariaBusy").await,
        json!("true")
    );
    site.script("window.answer()").await;
    assert_eq!(saved_file(&site, 1).await.0, "coat-6-clean.gif");
    site.until("document.querySelector('[data-part=save]').ariaBusy === 'false'").await;
    site.close().await;
}

#[tokio::test]
async fn actions_that_need_a_picture_are_disabled_and_say_why() {
    let site = Site::open("/").await;
    let disabled = "return ['[data-part=download]', '[data-part=save]', '[data-copy=link]', '[data-copy=tokens]'] \
        .map(selector => document.querySelector(selector).ariaDisabled)";
    assert_eq!(site.script(disabled).await, json!(["true", "true", "true", "true"]));
    site.click("[data-part=copy-menu] summary").await;
    assert_eq!(site.text("[data-part=copy-note]").await, "Press Draw first.");
    site.click("[data-part=save-menu] summary").await;
    assert_eq!(site.text("[data-part=save-note]").await, "Press Draw first.");
    site.press("\u{e00c}").await; // escape
    site.run("draw").await;
    assert_eq!(site.script(disabled).await, json!(["false", "false", "false", "false"]));
    assert_eq!(
        site.script("return document.querySelector('[data-part=copy-note]').hidden").await,
        json!(true)
    );
    site.close().await;
}

#[tokio::test]
async fn an_animation_can_be_saved() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    // Records the start of the file that the page saves.
    site.script(
        "const make = URL.createObjectURL; \
         URL.createObjectURL = blob => { blob.arrayBuffer().then(b => window.saved = [...new Uint8Array(b.slice(0, 6))]); return make.call(URL, blob); }",
    )
    .await;
    site.click("[data-part=save-menu] summary").await;
    choose(&site, "save-what", "animation").await;
    choose(&site, "save-content", "tokens").await;
    site.click("[data-part=save]").await;
    site.until("window.saved").await;
    assert_eq!(site.script("return String.fromCharCode(...window.saved)").await, json!("GIF89a"));
    site.close().await;
}

#[tokio::test]
async fn a_picture_can_be_copied_and_shared() {
    let site = Site::open("/?class=Coat&seed=6").await;
    site.until_state("draw", "completed").await;
    // Only some browsers can share files.
    assert_eq!(site.script("return document.querySelector('[data-part=share]').hidden").await, json!(true));
    site.script(
        "navigator.clipboard.write = async ([item]) => { const blob = await item.getType('image/png'); \
         const bitmap = await createImageBitmap(blob); window.copied = [blob.type, bitmap.width]; }",
    )
    .await;
    site.click("[data-part=save-menu] summary").await;
    site.click("[data-part=copy-image]").await;
    site.until("window.copied").await;
    assert_eq!(site.script("return window.copied").await, json!(["image/png", 28 * 32]));
    site.until("document.querySelector('[data-part=action-status]').innerText === 'Copied the picture.'")
        .await;
    // Where it is refused, the page says what to do.
    site.script("navigator.clipboard.write = () => Promise.reject(new Error('refused'))").await;
    site.click("[data-part=save-menu] summary").await;
    choose(&site, "save-what", "animation").await;
    assert_eq!(
        site.script("return document.querySelector('[data-part=copy-image]').ariaDisabled").await,
        json!("true")
    );
    choose(&site, "save-what", "picture").await;
    site.click("[data-part=copy-image]").await;
    site.until("document.querySelector('[data-part=action-status]').innerText.includes('Save it instead')")
        .await;

    let can_share = "navigator.canShare = data => Boolean(data.files); \
        navigator.share = async data => { window.shared = [data.files[0].name, data.files[0].type, data.url]; }";
    site.cdp("Page.addScriptToEvaluateOnNewDocument", json!({"source": can_share})).await;
    site.client.refresh().await.unwrap();
    site.until_state("draw", "completed").await;
    site.click("[data-part=save-menu] summary").await;
    site.click("[data-part=share]").await;
    site.until("window.shared").await;
    let shared = site.script("return window.shared").await;
    assert_eq!([&shared[0], &shared[1]], [&json!("coat-6.png"), &json!("image/png")]);
    assert!(shared[2].as_str().unwrap().contains("class=Coat&seed=6"), "{shared}");
    site.close().await;
}
