//! Accessibility, keyboard, screen sizes, layout shifts, size of the first load, content security policy.

use serde_json::{Value, json};

use super::site::{Browser, Site, npm, server, transferred};

const VIEWS: [&str; 5] = ["draw", "compare", "tokenize", "edit", "how"];

/// The violations that axe-core finds in what is visible.
pub async fn violations(browser: &Browser) -> Value {
    browser.script(&npm("axe-core/axe.min.js")).await;
    let rules = "{resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}";
    let script = format!(
        "const done = arguments[0]; axe.run(document, {rules}).then(result => done(result.violations.map(violation => \
         [violation.id, violation.nodes.map(node => node.target.join(' ') + ': ' + node.failureSummary)]))) \
         .catch(error => done(String(error)))"
    );
    browser.client.execute_async(&script, Vec::new()).await.unwrap()
}

#[tokio::test]
async fn axe_finds_no_violation_on_any_view_in_light_and_dark() {
    let (_server, url) = server(0);
    for theme in ["light", "dark"] {
        let browser = Browser::start(1440, 1000).await;
        browser.emulate_media(&[("prefers-color-scheme", theme), ("prefers-reduced-motion", "reduce")]).await;
        for view in VIEWS {
            browser.goto(&format!("{url}/?view={view}")).await;
            browser.until_loaded(view).await;
            assert_eq!(violations(&browser).await, json!([]), "{view}, {theme}, before");
        }
        // With pictures, an inspected cell, an open menu, and field errors.
        browser.goto(&format!("{url}/?class=Bag&class=Dress&seed=2&temperature=99")).await;
        browser.click("#submit").await;
        browser.until_state("draw", "completed").await;
        browser.script("document.querySelector('#draw [data-part=tokens]').focus()").await;
        browser.press("\u{e014}").await;
        browser.click("[data-part=copy-menu] summary").await;
        browser.script("document.getElementById('guidance').value = 77").await;
        browser.click("#submit").await;
        assert_eq!(violations(&browser).await, json!([]), "pictures, {theme}");
        browser.click("[data-part=save-menu] summary").await;
        assert_eq!(violations(&browser).await, json!([]), "save panel, {theme}");
        browser.press("\u{e00c}").await; // escape
        browser.click("#draw [data-part=enlarge]").await;
        browser.until("document.querySelector('dialog')?.open").await;
        assert_eq!(violations(&browser).await, json!([]), "large picture, {theme}");
        browser.press("\u{e00c}").await;
        browser.click("[data-part=open-gallery]").await;
        browser.until("document.querySelector('.gallery')?.open").await;
        assert_eq!(violations(&browser).await, json!([]), "gallery, {theme}");
        browser.press("\u{e00c}").await;
        browser.click("[data-part=clear-history]").await;
        browser.until("document.querySelector('[data-part=confirm-delete]')").await;
        assert_eq!(violations(&browser).await, json!([]), "question, {theme}");
        browser.press("\u{e00c}").await;
        browser.click("[data-open=shortcuts]").await;
        assert_eq!(violations(&browser).await, json!([]), "shortcuts, {theme}");
        browser.press("\u{e00c}").await;
        browser.click("#draw [data-open=code]").await;
        browser.until("document.querySelector('.code-drawer')?.open").await;
        assert_eq!(violations(&browser).await, json!([]), "code, {theme}");
        browser.goto(&format!("{url}/?view=compare&class=Bag&seed=2")).await;
        browser.until_state("compare", "completed").await;
        assert_eq!(violations(&browser).await, json!([]), "comparison, {theme}");
        browser.set_size(360, 800).await;
        browser.goto(&format!("{url}/?model=fashion-mnist")).await;
        browser.until_loaded("draw").await;
        assert_eq!(violations(&browser).await, json!([]), "phone, {theme}");
        browser.close().await;
    }
}

#[tokio::test]
async fn everything_works_by_keyboard() {
    let site = Site::open("/").await;
    let at = "return document.activeElement.id || document.activeElement.dataset.part || document.activeElement.innerText";
    const TAB: &str = "\u{e004}";
    const RIGHT: &str = "\u{e014}";
    const ENTER: &str = "\u{e007}";
    // The skip link leads to the settings; the arrow keys choose a class.
    site.script("document.body.focus()").await;
    site.press(TAB).await;
    assert_eq!(site.script(at).await, json!("Skip to the settings"));
    site.press(ENTER).await;
    let mut path = Vec::new();
    let mut reach = async |target: &str| {
        for _ in 0..60 {
            site.press(TAB).await;
            let here = site.script(at).await;
            // The focused element has an outline.
            let outlined = site.script(
                "const outlined = element => getComputedStyle(element).outlineStyle !== 'none'; \
                 const here = document.activeElement; \
                 return [here, ...here.parentElement.querySelectorAll('*')].some(outlined)",
            );
            assert_eq!(outlined.await, json!(true), "{here}");
            path.push(here.clone());
            if here == target {
                return;
            }
        }
        panic!("{target} isn't reachable by Tab: {path:?}");
    };
    reach("several").await;
    reach("class-0").await;
    site.press(RIGHT).await;
    site.press(RIGHT).await;
    assert_eq!(site.script(at).await, json!("class-2"));
    reach("seed").await;
    site.press("77").await;
    reach("guidance").await;
    reach("submit").await;
    site.press(ENTER).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.text("#draw [data-part=title]").await, "Pullover");
    assert!(site.text("#draw .status").await.contains("seed 77"));
    // The viewer: cells, colour modes, timeline, speed.
    reach("tokens").await;
    site.press(RIGHT).await;
    assert_eq!(site.text("#draw [data-part=position]").await, "Row 1, column 2");
    reach("show-numbers").await;
    reach("play").await;
    site.press("\u{e012}\u{e012}").await; // left arrow
    site.until("document.querySelector('#draw [data-part=tokens]').dataset.step === '8'").await;
    reach("step").await;
    site.press("\u{e012}").await;
    site.until("document.querySelector('#draw [data-part=tokens]').dataset.step === '7'").await;
    reach("speed").await;
    reach("download").await;
    reach("Copy").await;
    site.press(ENTER).await;
    reach("curl command").await;
    site.press("\u{e00c}").await; // escape
    assert_eq!(site.script(at).await, json!("Copy"));
    site.close().await;
}

#[tokio::test]
async fn the_skip_link_leads_to_the_main_content_of_each_view() {
    let site = Site::open("/").await;
    for (path, words) in [
        ("/?view=compare", "Skip to the settings"),
        ("/?view=tokenize", "Skip to the settings"),
        ("/?view=how", "Skip to the text"),
    ] {
        site.goto(&format!("{}{path}", site.url)).await;
        site.script("document.body.focus()").await;
        site.press("\u{e004}").await; // tab
        assert_eq!(site.script("return document.activeElement.innerText").await, json!(words));
        let leads_to = "return document.querySelector(document.activeElement.hash).checkVisibility()";
        assert_eq!(site.script(leads_to).await, json!(true), "{path}");
    }
    site.close().await;
}

#[tokio::test]
async fn the_status_line_announces_progress() {
    let site = Site::open("/").await;
    let status = "document.querySelector('#draw .status')";
    assert_eq!(site.script(&format!("return {status}.role")).await, json!("status"));
    site.script(&format!(
        "window.texts = []; new MutationObserver(() => window.texts.push({status}.innerText)) \
         .observe({status}, {{subtree: true, childList: true, characterData: true}})"
    ))
    .await;
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    let texts = site.script("return window.texts.join(' | ')").await;
    let texts = texts.as_str().unwrap();
    assert!(texts.contains("Denoising T-shirt/top") && texts.contains("Done in"), "{texts}");
    site.close().await;
}

#[tokio::test]
async fn reduced_motion_disables_fades_and_animations() {
    let (_server, url) = server(0);
    let browser = Browser::start(1440, 1000).await;
    browser.emulate_media(&[("prefers-reduced-motion", "reduce")]).await;
    browser.goto(&format!("{url}/?class=Bag&seed=1")).await;
    browser.until_state("draw", "completed").await;
    browser.click("#draw [data-part=bars] > :nth-child(2)").await;
    // One frame later the picture is that of the step, without a fade.
    let script = "const done = arguments[0]; const canvas = document.querySelector('#draw [data-part=clean]'); \
        document.querySelector('#draw [data-part=bars] > :nth-child(6)').dispatchEvent(new PointerEvent('pointerdown', {bubbles: true})); \
        requestAnimationFrame(() => requestAnimationFrame(() => { const first = canvas.toDataURL(); \
            setTimeout(() => done(first === canvas.toDataURL()), 500); }))";
    assert_eq!(browser.client.execute_async(script, Vec::new()).await.unwrap(), json!(true));
    assert_eq!(browser.script("return document.getAnimations().length").await, json!(0));
    browser.close().await;
}

#[tokio::test]
async fn nothing_overflows_from_320_pixels_to_4k_and_at_200_percent_text_size() {
    let (_server, url) = server(0);
    let browser = Browser::start(1440, 1000).await;
    for (width, height, text) in [
        (320, 640, 100),
        (360, 800, 100),
        (768, 1024, 100),
        (1280, 720, 200),
        (375, 812, 200),
        (3840, 2160, 100),
    ] {
        browser.set_size(width, height).await;
        for view in VIEWS {
            browser.goto(&format!("{url}/?view={view}")).await;
            browser.until_loaded(view).await;
            browser.script(&format!("document.documentElement.style.fontSize = '{text}%'")).await;
            let overflowing = browser
                .script(
                    "const edge = document.documentElement.clientWidth; \
                     return [document.documentElement.scrollWidth > edge ? 'page' : '', \
                     ...[...document.querySelectorAll('body *')].filter(element => element.checkVisibility() && \
                        !element.closest('.visually-hidden, .skip, .history-list, .tiles, .view-header h2, .segments input') && \
                        element.getBoundingClientRect().right > edge + 1).map(element => element.outerHTML.slice(0, 80))].filter(Boolean)",
                )
                .await;
            assert_eq!(overflowing, json!([]), "{view} at {width} pixels, text {text} %");
        }
    }
    browser.close().await;
}

#[tokio::test]
async fn the_layout_does_not_shift_from_first_paint_to_finished_picture() {
    let (_server, url) = server(0);
    for (width, height) in [(320, 700), (768, 1024), (1440, 900)] {
        let browser = Browser::start(width, height).await;
        for view in VIEWS {
            browser.goto(&format!("{url}/?view={view}")).await;
            browser.until_loaded(view).await;
            assert_eq!(
                browser.script("return window.layoutShifts").await,
                json!([]),
                "{view} at {width} pixels"
            );
        }
        browser.goto(&format!("{url}/?model=fashion-mnist")).await;
        browser.fill("#seed", "7").await;
        browser.click("#submit").await;
        browser.until_state("draw", "completed").await;
        browser.until_painted().await;
        assert_eq!(browser.script("return window.layoutShifts").await, json!([]), "a run at {width} pixels");
        browser.close().await;
    }
}

#[tokio::test]
async fn the_first_load_is_below_150_kilobytes_and_from_this_server_only() {
    let site = Site::open("/").await;
    for model in ["fashion-mnist", "emoji"] {
        site.cdp("Network.clearBrowserCache", json!({})).await;
        site.goto(&format!("{}/?model={model}", site.url)).await;
        site.until_loaded("draw").await;
        // Only the font may arrive after the page has loaded.
        site.until("performance.getEntriesByType('resource').some(({name}) => name.endsWith('.woff2'))")
            .await;
        let loaded = transferred(&site).await;
        let sum: u64 = loaded.values().sum();
        assert!(sum > 30_000 && sum < 150_000, "{model}: {sum} bytes: {loaded:#?}");
        let foreign = site
            .script("return performance.getEntriesByType('resource').map(entry => entry.name).filter(name => !name.startsWith(location.origin))")
            .await;
        assert_eq!(foreign, json!([]));
    }
    site.close().await;
}

#[tokio::test]
async fn the_content_security_policy_forbids_inline_code_and_the_page_has_none() {
    let site = Site::open("/").await;
    let answer = reqwest::get(&site.url).await.unwrap();
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{policy}");
    let page = answer.text().await.unwrap();
    assert!(!page.contains(" style=") && !page.contains("<style") && !page.contains(" onclick="));
    // An injected script doesn't run.
    site.script("const script = document.createElement('script'); script.textContent = 'window.injected = 1'; document.head.append(script)")
        .await;
    assert_eq!(site.script("return window.injected === undefined").await, json!(true));
    let console_messages = site.console_messages().await;
    assert!(
        console_messages.iter().all(|one| one["message"].as_str().unwrap().contains("script-src")),
        "{console_messages:?}"
    );
    assert_eq!(console_messages.len(), 1);
    site.browser.close().await;
}

#[tokio::test]
async fn the_documentation_of_the_api_has_the_typography_of_the_page() {
    let (_server, url) = server(0);
    let style = "const {fontFamily, color, backgroundColor} = getComputedStyle(document.body); return [fontFamily, color, backgroundColor]";
    for theme in ["light", "dark"] {
        let browser = Browser::start(1440, 1000).await;
        browser.emulate_media(&[("prefers-color-scheme", theme)]).await;
        browser.goto(&format!("{url}/?model=fashion-mnist")).await;
        let page = browser.script(style).await;
        browser.goto(&format!("{url}/docs")).await;
        assert_eq!(browser.script(style).await, page, "{theme}");
        browser.until("document.querySelector('.run')").await;
        assert_eq!(violations(&browser).await, json!([]), "{theme}");
        assert_eq!(browser.console_messages().await, Vec::<Value>::new());
        browser.close().await;
    }
}
