//! The settings form, and the page's address.

use rdpm::request::numeric_sampling_fields;
use serde_json::{Value, json};

use super::site::{Site, bytes_of};

const SETTINGS: &str = "return ['seed', 'guidance', 'temperature', 'top_k', 'top_p', 'count'] \
    .map(id => document.getElementById(id).value)";

#[tokio::test]
async fn a_link_restores_every_setting_and_draws_the_identical_picture() {
    let site = Site::open("/").await;
    site.click("#class-8").await;
    for (field, value) in [
        ("seed", "12"),
        ("guidance", "3"),
        ("temperature", "0.8"),
        ("top_k", "40"),
        ("top_p", "0.9"),
        ("count", "2"),
    ] {
        site.fill(&format!("#{field}"), value).await;
    }
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    let saved = "return document.querySelector('[data-part=download]').href";
    let first = site.script(saved).await;
    let link = site.script("return location.href").await;

    // In another tab, whose session storage is empty.
    let window = site.client.new_window(true).await.unwrap();
    site.client.switch_to_window(window.handle).await.unwrap();
    site.goto(link.as_str().unwrap()).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script(SETTINGS).await, json!(["12", "3", "0.8", "40", "0.9", "2"]));
    assert_eq!(site.text("#draw [data-part=title]").await, "Bag");
    let second = site.script(saved).await;
    assert_eq!(bytes_of(first.as_str().unwrap()), bytes_of(second.as_str().unwrap()));
    site.close().await;
}

#[tokio::test]
async fn every_numeric_sampling_option_of_the_table_is_sent_linked_described_and_compared() {
    let site = Site::open("/?class=Bag&seed=12").await;
    let options: Vec<_> = numeric_sampling_fields().map(|field| (field.name, field.input.unwrap())).collect();
    assert!(options.len() >= 4);
    let on_page = "return [...document.querySelectorAll('[data-sampling-option]')].map(input => input.name)";
    assert_eq!(site.script(on_page).await, json!(options.iter().map(|(name, _)| *name).collect::<Vec<_>>()));

    site.until_state("draw", "completed").await;
    for (name, input) in &options {
        site.fill(&format!("#{name}"), &input.comparison_value.to_string()).await;
    }
    site.run("draw").await;
    let address = site.script("return location.search").await;
    let facts = site.text("[data-part=result-summary]").await.replace('\u{a0}', " ");
    let link = site
        .script("return JSON.parse(sessionStorage['rdpm.run']).run.jobs.map(job => job.links.self).join()")
        .await;
    let job = reqwest::get(format!("{}{}", site.url, link.as_str().unwrap())).await.unwrap();
    let job: Value = job.json().await.unwrap();
    for (name, input) in &options {
        let value = input.comparison_value;
        assert!(address.as_str().unwrap().contains(&format!("&{name}={value}")), "{address}");
        assert!(facts.contains(&format!(" · {} {value} · ", input.label.to_lowercase())), "{facts}");
        assert_eq!(job[name].as_f64(), Some(value), "{job}");
    }

    // The values that are off are neither sent nor described.
    site.click("#reset").await;
    site.run("draw").await;
    let address = site.script("return location.search").await;
    let facts = site.text("[data-part=result-summary]").await.to_lowercase();
    let off = options.iter().filter(|(_, input)| input.off_at.is_some());
    for (name, input) in off {
        assert!(!address.as_str().unwrap().contains(name), "{address}");
        assert!(!facts.contains(&input.label.to_lowercase()), "{facts}");
    }

    // A comparison suggests a value for each.
    site.click(".tabs [data-view-link=compare]").await;
    site.until_loaded("compare").await;
    for (name, input) in &options {
        site.script(&format!(
            "const vary = document.getElementById('vary'); vary.value = '{name}'; \
             vary.dispatchEvent(new Event('change', {{bubbles: true}}))"
        ))
        .await;
        let titles = "return document.querySelectorAll('[data-part=side-title]')[1].textContent";
        let expected = format!("{} {}", input.label, input.comparison_value);
        assert_eq!(site.script(titles).await, json!(expected));
    }
    site.close().await;
}

#[tokio::test]
async fn the_seed_is_random_for_each_run_unless_locked() {
    let site = Site::open("/").await;
    let seed = "return document.getElementById('seed').value";
    let draw = async || {
        site.run("draw").await;
        site.script(seed).await
    };
    let (first, second) = (draw().await, draw().await);
    assert_ne!(first, second);
    site.click("#lock-seed").await;
    assert_eq!(draw().await, second);
    site.click("#random-seed").await;
    let random = site.script(seed).await;
    assert_ne!(random, second);
    assert_eq!(draw().await, random);
    site.close().await;
}

#[tokio::test]
async fn presets_and_reset_set_the_sliders() {
    let site = Site::open("/?guidance=7&temperature=3&top_k=5&count=4").await;
    assert_eq!(site.script(SETTINGS).await, json!(["", "7", "3", "5", "1", "4"]));
    site.click("[data-preset=greedy]").await;
    assert_eq!(site.script(SETTINGS).await, json!(["", "2", "0", "256", "1", "4"]));
    assert_eq!(
        site.script("return document.querySelector('[data-preset=greedy]').ariaPressed").await,
        json!("true")
    );
    site.click("#reset").await;
    assert_eq!(site.script(SETTINGS).await, json!(["", "2", "1.1", "256", "1", "1"]));
    assert_eq!(site.script("return document.getElementById('temperature-range').value").await, json!("1.1"));
    site.close().await;
}

#[tokio::test]
async fn invalid_settings_in_the_address_are_listed_without_a_layout_shift() {
    let site =
        Site::open("/?class=hat&seed=-1&temperature=99&count=x&top_k=0&vary=%3Cb%3E&view=nowhere&utm=1")
            .await;
    let notice = site.text("#notice").await;
    for word in ["hat", "-1", "99", "“x”", "“0”", "<b>", "nowhere", "0 to 5", "Ankle boot"] {
        assert!(notice.contains(word), "{word}: {notice}");
    }
    assert!(!notice.contains("utm"), "{notice}");
    site.until_loaded("draw").await;
    assert_eq!(site.script("return window.layoutShifts").await, json!([]));
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.text("#notice").await, "");
    site.close().await;
}

#[tokio::test]
async fn invalid_fields_show_the_allowed_range_and_nothing_is_sent() {
    let site = Site::open("/").await;
    site.fill("#temperature", "9").await;
    site.fill("#seed", "seven").await;
    site.click("#submit").await;
    assert_eq!(site.text("#temperature-error").await, "Enter a number from 0 to 5.");
    assert!(site.text("#seed-error").await.contains("“seven” isn’t a seed"));
    assert_eq!(site.script("return document.activeElement.id").await, json!("seed"));
    site.fill("#seed", "1-9").await;
    site.fill("#temperature", "1").await;
    site.fill("#count", "3").await;
    site.click("#submit").await;
    assert!(site.text("#count-error").await.contains("27 pictures"));
    // The error has a row of its own.
    let widths = site
        .script("return ['count-error', 'settings'].map(id => document.getElementById(id).getBoundingClientRect().width)")
        .await;
    assert_eq!(widths[0], widths[1]);
    assert_eq!(
        site.script("return document.querySelector('#draw .status').dataset.state").await,
        json!("idle")
    );
    site.close().await;
}

#[tokio::test]
async fn invalid_fields_do_not_change_the_seed() {
    for view in ["draw", "compare"] {
        let site = Site::open(&format!("/?view={view}")).await;
        site.until_loaded(view).await;
        site.fill("#temperature", "9").await;
        site.click("#submit").await;
        assert_eq!(site.text("#temperature-error").await, "Enter a number from 0 to 5.");
        assert_eq!(site.script("return document.getElementById('seed').value").await, json!(""), "{view}");
        site.close().await;
    }
}

#[tokio::test]
async fn a_seed_locked_by_a_link_says_that_it_is_locked() {
    let site = Site::open("/").await;
    assert!(site.text("#seed-help").await.starts_with("Not locked"));
    site.goto(&format!("{}/?class=Bag&seed=12", site.url)).await;
    assert!(site.text("#seed-help").await.starts_with("Locked: each run uses this seed."));
    site.until_state("draw", "completed").await;
    site.client.refresh().await.unwrap();
    site.until_loaded("draw").await;
    assert!(site.text("#seed-help").await.starts_with("Locked"));
    site.click("#lock-seed").await;
    assert!(site.text("#seed-help").await.starts_with("Not locked: each run draws a new seed."));
    site.close().await;
}

#[tokio::test]
async fn a_decimal_comma_is_a_decimal_point() {
    let site = Site::open("/").await;
    site.fill("#guidance", "1,5").await;
    assert_eq!(site.script("return document.getElementById('guidance-range').value").await, json!("1.5"));
    site.fill("#count", "1,5").await;
    site.click("#submit").await;
    assert_eq!(site.text("#count-error").await, "Enter a whole number from 1 to 16.");
    site.fill("#count", "1").await;
    site.press("\u{e013}").await; // up
    site.run("draw").await;
    let address = site.script("return location.search").await;
    let address = address.as_str().unwrap();
    assert!(address.contains("count=2") && address.contains("guidance=1.5"), "{address}");
    site.close().await;
}

#[tokio::test]
async fn settings_playback_and_colours_are_remembered_for_each_model() {
    let site = Site::open("/").await;
    site.click("#class-8").await;
    site.fill("#guidance", "3").await;
    site.fill("#count", "2").await;
    site.run("draw").await;
    site.script(
        "const speed = document.querySelector('#draw [data-part=speed]'); speed.value = '2'; \
         speed.dispatchEvent(new Event('change', {bubbles: true}))",
    )
    .await;
    site.click("[name=draw-color-mode][value=entropy]").await;
    site.click("#draw [data-part=show-numbers]").await;
    let shown = "return [document.querySelector('[name=class]:checked').value, ...['guidance', 'count'].map(id => document.getElementById(id).value), \
        document.querySelector('#draw [data-part=speed]').value, document.querySelector('[name=draw-color-mode]:checked').value, \
        document.querySelector('#draw [data-part=show-numbers]').checked]";
    site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
    assert_eq!(site.script(shown).await, json!(["Bag", "3", "2", "2", "entropy", true]));
    assert_eq!(site.text("#draw [data-part=title]").await, "Bag");
    assert_eq!(site.script("return window.layoutShifts").await, json!([]));
    // A link means its own settings; another model has its own.
    site.goto(&format!("{}/?class=Coat&seed=3", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.script(shown).await, json!(["Coat", "2", "1", "2", "entropy", true]));
    site.goto(&format!("{}/?model=emoji", site.url)).await;
    assert_ne!(site.script(shown).await[4], json!("entropy"));
    // What is stored may be anything.
    for stored in [
        "null",
        "[]",
        r#"{"classes": [7, "Boat"], "numbers": {"guidance": "x", "count": 99}, "speed": "fast", "colorMode": "x"}"#,
    ] {
        site.script(&format!("localStorage['rdpm.preferences.fashion-mnist'] = '{stored}'")).await;
        site.goto(&format!("{}/?model=fashion-mnist", site.url)).await;
        assert_eq!(
            site.script(shown).await,
            json!(["T-shirt/top", "2", "1", "1", "code", false]),
            "{stored}"
        );
    }
    site.close().await;
}
