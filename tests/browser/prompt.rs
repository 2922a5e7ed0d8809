//! The prompt line, styles and examples of the emoji model, which knows words.

use fantoccini::Locator;
use serde_json::{Value, json};

use super::accessibility::violations;
use super::site::{Browser, Site, TIMEOUT, bytes_of, from_data_url, generated, server};

const DOWN: &str = "\u{e015}";
const UP: &str = "\u{e013}";
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

const OPTIONS: &str = "return [...document.querySelectorAll('#prompt-options [role=option]')].map(option => option.textContent)";

async fn type_prompt(site: &Site, text: &str) {
    site.script("const field = document.getElementById('prompt'); field.value = ''; field.focus()").await;
    site.press(text).await;
}

async fn query(site: &Site) -> Value {
    site.script("return Object.fromEntries(new URLSearchParams(location.search))").await
}

#[tokio::test]
async fn a_prompt_is_completed_by_keyboard_and_drawn_in_a_style() {
    let site = Site::open("/?model=emoji").await;
    type_prompt(&site, "beating hea").await;
    site.until("document.querySelectorAll('#prompt-options [role=option]').length > 0").await;
    let input = "const input = document.getElementById('prompt'); \
        return ['role', 'aria-expanded', 'aria-activedescendant'].map(name => input.getAttribute(name))";
    assert_eq!(site.script(input).await, json!(["combobox", "true", null]));
    assert_eq!(site.script(OPTIONS).await[0], "beating heart");
    site.press(DOWN).await;
    assert_eq!(site.script(input).await[2], "prompt-option-0");
    site.press(UP).await;
    assert_eq!(site.script(input).await[2], Value::Null);
    site.press(ESCAPE).await;
    assert_eq!(site.script(input).await[1], "false");
    assert_eq!(site.script("return document.getElementById('prompt').value").await, "beating hea");
    site.press(DOWN).await;
    site.until("!document.getElementById('prompt-options').hidden").await;
    site.press(DOWN).await;
    site.press(ENTER).await;
    assert_eq!(site.script("return document.getElementById('prompt').value").await, "beating heart");
    assert_eq!(site.script("return document.querySelector('#draw .status').dataset.state").await, "idle");

    site.script("document.querySelector('[name=style][value=twemoji]').click()").await;
    site.fill("#prompt", "red heart").await;
    site.fill("#seed", "12").await;
    site.script("document.getElementById('prompt').focus()").await;
    site.press(ENTER).await;
    site.until_state("draw", "completed").await;
    assert_eq!(
        query(&site).await,
        json!({"model": "emoji", "prompt": "red heart", "style": "twemoji", "seed": "12", "count": "1",
            "guidance": "3", "temperature": "0.6"})
    );
    let flags = ["--prompt", "red heart", "--style", "twemoji", "--seed", "12", "--model", "emoji"];
    assert_eq!(site.picture().await, generated(&flags));
    let summary = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(summary.starts_with("red heart · twemoji style · Seed 12"), "{summary}");
    assert_eq!(site.text("#draw [data-part=title]").await, "red heart");

    // The address draws the same picture in another tab, and code samples contain prompt and style.
    let first = site.script("return document.querySelector('[data-part=download]').href").await;
    let link = site.script("return location.href").await;
    let window = site.client.new_window(true).await.unwrap();
    site.client.switch_to_window(window.handle).await.unwrap();
    site.goto(link.as_str().unwrap()).await;
    site.until_state("draw", "completed").await;
    let second = site.script("return document.querySelector('[data-part=download]').href").await;
    assert_eq!(bytes_of(first.as_str().unwrap()), bytes_of(second.as_str().unwrap()));
    assert_eq!(
        site.script("return document.title.split(' · ')[0]").await,
        "red heart, twemoji style, seed 12"
    );
    let copy = "navigator.clipboard.writeText = async text => { window.copied = text }; \
        document.querySelector('[data-copy=curl]').click()";
    site.script(copy).await;
    site.until("window.copied").await;
    let copied = site.script("return copied").await;
    let copied = copied.as_str().unwrap();
    assert!(copied.contains(r#""prompt":"red heart","style":"twemoji","seed":12"#), "{copied}");
    assert!(copied.ends_with("-o red-heart-twemoji-12.png"), "{copied}");
    let code = code(&site, "shell").await;
    assert!(code.starts_with("rdpm generate --prompt='red heart' --model emoji --seed 12"), "{code}");
    assert!(code.contains("--style twemoji"), "{code}");
    site.close().await;
}

/// The code of a language.
async fn code(site: &Site, language: &str) -> String {
    if site.script("return !document.querySelector('.code-drawer')?.open").await == true {
        site.click("#draw [data-open=code]").await;
        site.until("document.querySelector('.code-drawer')?.open").await;
    }
    site.script(&format!("document.querySelector('[name=code-language][value={language}]').click()")).await;
    site.text(".code-drawer code").await
}

#[tokio::test]
async fn misspelt_words_are_offered_while_typing_and_not_replaced() {
    let site = Site::open("/?model=emoji").await;
    type_prompt(&site, "big hamberger").await;
    site.until("document.querySelectorAll('#prompt-options [role=option]').length > 0").await;
    assert_eq!(site.script(OPTIONS).await[0], "big hamburger");
    let name = "return document.getElementById('prompt-options').getAttribute('aria-label')";
    assert_eq!(site.script(name).await, "Similar words");
    assert_eq!(site.script("return document.getElementById('prompt').value").await, "big hamberger");
    site.press(ENTER).await;
    site.until_state("draw", "completed").await;
    assert_eq!(query(&site).await["prompt"], "big hamberger");
    assert!(site.text("#prompt-unknown").await.contains("hamberger"));
    site.close().await;
}

#[tokio::test]
async fn a_prompt_and_a_class_take_turns_and_the_history_keeps_what_was_drawn() {
    let site = Site::open("/?model=emoji").await;
    site.click("label[for=class-4]").await;
    assert_eq!(site.text("#draw [data-part=title]").await, "Animal");
    type_prompt(&site, "panda").await;
    assert_eq!(site.script("return document.getElementById('class-any').checked").await, true);
    site.script("document.querySelector('[name=style][value=noto]').click()").await;
    site.run("draw").await;
    let prompt = query(&site).await;
    assert_eq!(
        (&prompt["prompt"], &prompt["style"], &prompt["class"]),
        (&json!("panda"), &json!("noto"), &Value::Null)
    );
    let panda = site.picture().await;
    // A class takes the place of the prompt; the server chooses a subject of it and a style.
    site.click("label[for=class-4]").await;
    assert_eq!(site.script("return document.getElementById('prompt').value").await, "");
    site.script("document.querySelector('[name=style][value=\"\"]').click()").await;
    site.fill("#seed", "7").await;
    site.run("draw").await;
    let animal = query(&site).await;
    assert_eq!((&animal["class"], &animal["prompt"]), (&json!("Animal"), &Value::Null));
    // OpenAI's API takes no class: the code names what was drawn, which is the same picture.
    let openai = code(&site, "openai").await;
    let after =
        |mark: &str| openai.split(mark).nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let (subject, style) = (after("prompt=\""), after("\"style\":\""));
    let flags = ["--prompt", &subject, "--style", &style, "--seed", "7", "--model", "emoji"];
    assert_eq!(site.picture().await, generated(&flags));
    // The history names both, and shows the first again without the server.
    site.until("document.querySelectorAll('[data-part=history-list] a').length === 2").await;
    let labels =
        "return [...document.querySelectorAll('[data-part=history-list] a')].map(link => link.title)";
    let labels = site.script(labels).await;
    assert_eq!(labels[0], format!("{subject}, {style} style, seed 7"));
    assert!(labels[1].as_str().unwrap().starts_with("panda, noto style, seed "), "{labels}");
    site.click("[data-part=history-list] li:last-child a").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, panda);
    assert_eq!(site.script("return document.getElementById('prompt').value").await, "panda");
    assert_eq!(query(&site).await, prompt);
    site.close().await;
}

#[tokio::test]
async fn all_styles_draw_a_sheet_and_a_class_tells_subject_and_style_of_each_picture() {
    let site = Site::open("/?model=emoji&prompt=panda&style=all&seed=3").await;
    site.until_state("draw", "completed").await;
    let labels = "return [...document.querySelectorAll('[data-part=sheet] label > span')].map(span => span.textContent)";
    assert_eq!(
        site.script(labels).await,
        json!([
            "noto",
            "noto-blobs",
            "twemoji",
            "emojione",
            "fluent-flat",
            "fluent-3d",
            "fxemoji",
            "streamline"
        ])
    );
    assert_eq!(query(&site).await["style"], "all");
    site.script("document.querySelectorAll('[data-part=sheet] input')[2].click()").await;
    let summary = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(summary.contains("panda · twemoji style"), "{summary}");

    // A class without a prompt, as in old addresses: the server chooses subject and style.
    site.goto(&format!("{}/?model=emoji&class=Heart&seed=7&count=2", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script("return document.querySelector('#class-1').checked").await, true);
    let labels = site.script(labels).await;
    let label = labels[0].as_str().unwrap();
    assert!(label.contains("heart") && label.contains(" · ") && label.ends_with("no. 1"), "{labels}");
    let summary = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(summary.contains(" style · Seed 7"), "{summary}");

    // Both: the class is sent beside the prompt.
    site.goto(&format!("{}/?model=emoji&class=Animal&prompt=red+heart&seed=7", site.url)).await;
    site.until_state("draw", "completed").await;
    let request = "return JSON.parse(sessionStorage['rdpm.run']).run.jobs[0].body";
    let request = site.script(request).await;
    assert_eq!((&request["class"], &request["prompt"]), (&json!("Animal"), &json!("red heart")));
    site.close().await;
}

#[tokio::test]
async fn unknown_words_and_prompts_without_a_known_word_are_told_beside_the_field() {
    let site = Site::open("/?model=emoji").await;
    type_prompt(&site, "<b>red</b> heart of xyzzy").await;
    site.press(ENTER).await;
    site.until_state("draw", "completed").await;
    let unknown = site.text("#prompt-unknown").await;
    assert!(unknown.contains("xyzzy") && !unknown.contains("heart"), "{unknown}");
    for (prompt, near) in [("hamberger", "hamburger"), ("кошка", "cat face")] {
        type_prompt(&site, prompt).await;
        assert_eq!(site.text("#prompt-unknown").await, "");
        site.press(ENTER).await;
        site.until("!document.getElementById('prompt-error').hidden").await;
        let error = site.text("#prompt-error").await;
        assert!(error.contains(near), "{error}");
        let invalid = "return document.getElementById('prompt').getAttribute('aria-invalid')";
        assert_eq!(site.script(invalid).await, "true");
    }
    // Typing removes the error; an emoji is a prompt.
    type_prompt(&site, "x").await;
    assert_eq!(site.script("return document.getElementById('prompt-error').hidden").await, true);
    site.fill("#prompt", "🐼").await;
    site.run("draw").await;
    assert_eq!(query(&site).await["prompt"], "🐼");
    site.browser.close().await; // the console names the refused requests
}

#[tokio::test]
async fn any_text_is_drawn_or_refused_beside_the_field() {
    let site = Site::open("/?model=emoji").await;
    let (long, wide) = ("red heart ".repeat(200), "猫".repeat(1000));
    for (prompt, is_drawn) in [
        ("<img src=x onerror=alert(1)> heart", true),
        ("'; DROP TABLE jobs; -- heart", true),
        ("RED Hearts!!!", true),
        ("strawberries", true),
        ("👍🏽", true),
        (long.trim(), true),
        ("&model=fashion-mnist&class=Bag", true),
        ("\u{202e}\u{200b}", false),
        ("قطة", false),
        (&wide, false),
    ] {
        let set = "const [text] = arguments, field = document.getElementById('prompt'); field.focus(); field.value = text; \
            field.dispatchEvent(new Event('input', {bubbles: true})); document.getElementById('settings').requestSubmit()";
        site.client.execute(set, vec![json!(prompt)]).await.unwrap();
        if is_drawn {
            site.until_state("draw", "completed").await;
            assert_eq!(query(&site).await["prompt"], prompt);
            assert_eq!(site.text("#draw [data-part=title]").await, prompt);
        } else {
            site.until("!document.getElementById('prompt-error').hidden || !document.getElementById('class-error').hidden")
                .await;
        }
        let intact = "return [document.querySelectorAll('img[src=x]').length, document.documentElement.scrollWidth <= innerWidth]";
        assert_eq!(site.script(intact).await, json!([0, true]), "{prompt}");
    }
    site.browser.close().await; // the console names the refused requests
}

#[tokio::test]
async fn the_first_view_knows_words_and_each_model_keeps_its_addresses() {
    let site = Site::open("/?utm_source=test").await;
    let model = "return document.body.dataset.model";
    assert_eq!(site.script(model).await, "emoji");
    site.fill("#prompt", "panda").await;
    site.run("draw").await;
    assert_eq!(query(&site).await["model"], "emoji");
    // Links without a model mean the default one, as before.
    site.goto(&format!("{}/?class=Bag&seed=7", site.url)).await;
    assert_eq!(site.script(model).await, "fashion-mnist");
    site.until_state("draw", "completed").await;
    let address = "return document.querySelector('.logo a').getAttribute('href')";
    assert_eq!(site.script(address).await, "/?model=fashion-mnist");
    site.goto(&format!("{}/?view=compare", site.url)).await;
    assert_eq!(site.script(model).await, "fashion-mnist");
    site.close().await;
}

#[tokio::test]
async fn a_surprise_an_example_and_an_empty_prompt_are_drawn() {
    let site = Site::open("/?model=emoji").await;
    assert_eq!(site.text("#draw [data-part=title]").await, "A surprise");
    site.click("#surprise").await;
    site.until_state("draw", "completed").await;
    let surprise = query(&site).await;
    assert!(surprise["prompt"].as_str().is_some_and(|prompt| !prompt.is_empty()), "{surprise}");
    assert_eq!((&surprise["style"], &surprise["class"]), (&Value::Null, &Value::Null));
    let summary = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    assert!(summary.contains(" style · Seed "), "{summary}");
    site.script("document.querySelector('#draw .status').dataset.state = 'submitted'").await;
    site.click("[data-example-prompt]").await;
    site.until_state("draw", "completed").await;
    let example = query(&site).await;
    assert_eq!((&example["prompt"], &example["style"]), (&json!("hamburger"), &json!("noto")));
    // Without a prompt and a class, a class is chosen.
    site.fill("#prompt", "").await;
    site.run("draw").await;
    assert!(query(&site).await["class"].is_string());
    site.close().await;
}

#[tokio::test]
async fn without_scripts_prompt_and_style_are_plain_fields() {
    let (_server, url) = server(0);
    let browser = Browser::start(390, 844).await;
    browser.cdp("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    browser.goto(&format!("{url}/?model=emoji&prompt=red+heart+xyzzy&style=noto&seed=12")).await;
    assert_eq!(browser.text("#prompt-unknown").await, "Unknown words, without effect: xyzzy.");
    browser.client.find(Locator::Css("#submit")).await.unwrap().click().await.unwrap();
    let shown = Locator::Css(".no-script-results img");
    let picture = browser.client.wait().at_most(TIMEOUT).for_element(shown).await.unwrap();
    let source = picture.attr("src").await.unwrap().unwrap();
    let flags = ["--prompt", "red heart", "--style", "noto", "--seed", "12", "--model", "emoji"];
    assert_eq!(from_data_url(&source), generated(&flags));
    let label = browser.text(".no-script-results").await;
    assert!(label.contains("red heart, noto style, seed 12"), "{label}");
    browser.close().await;
    let page = reqwest::get(format!("{url}/?model=emoji&prompt=%3Cscript%3Ehart&seed=1")).await.unwrap();
    let page = page.text().await.unwrap();
    assert!(!page.contains("<script>hart") && page.contains("heart"), "{page}");
}

#[tokio::test]
async fn axe_finds_no_violation_in_the_prompt_line_in_light_and_dark_and_on_a_phone() {
    let (_server, url) = server(0);
    for (theme, width) in [("light", 1440), ("dark", 390)] {
        let browser = Browser::start(width, 844).await;
        browser.emulate_media(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await;
        browser.goto(&format!("{url}/?model=emoji")).await;
        browser.until_loaded("draw").await;
        assert_eq!(violations(&browser).await, json!([]), "{theme}");
        browser
            .script("const field = document.getElementById('prompt'); field.focus(); field.value = ''")
            .await;
        browser.press("cat").await;
        browser.until("!document.getElementById('prompt-options').hidden").await;
        browser.press(DOWN).await;
        assert_eq!(violations(&browser).await, json!([]), "suggestions, {theme}");
        // By touch: a tap takes a suggestion, and the field keeps the focus.
        browser.click("#prompt-options [role=option]").await;
        assert_eq!(browser.script("return document.activeElement.id").await, "prompt");
        assert_eq!(
            browser.script("return document.documentElement.scrollWidth <= innerWidth").await,
            true,
            "{width}"
        );
        browser.close().await;
    }
}
