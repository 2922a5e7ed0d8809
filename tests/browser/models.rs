//! A second model beside the shipped one that differs in everything: colour, seven steps, 3 × 3 tokens, no class pictures.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::accessibility::violations;
use super::program::{Program, rdpm};
use super::site::{Browser, Site, from_data_url};

/// T of the second model.
const STEPS: usize = 7;

/// A folder with both models.
fn weights() -> TempDir {
    let (weights, repository) = (TempDir::new().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
    std::os::unix::fs::symlink(
        repository.join("weights/fashion-mnist"),
        weights.path().join("fashion-mnist"),
    )
    .unwrap();
    let (from, to) = (repository.join("tests/fixtures/eighth"), weights.path().join("seven"));
    fs::create_dir(&to).unwrap();
    let config = fs::read_to_string(from.join("config.json")).unwrap();
    let mut config: Value = serde_json::from_str(&config).unwrap();
    config["name"] = "seven".into();
    config["title"] = "Seven steps".into();
    config["trajectory"]["schedule"] = json!([0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0]);
    config["classes"] = json!(["Sun & moon", "Star"]);
    fs::write(to.join("config.json"), config.to_string()).unwrap();
    let mut tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(from.join("model.safetensors"), &Device::Cpu).unwrap();
    let steps = tensors.get_mut("denoiser.timestep.weight").unwrap();
    *steps = steps.narrow(0, 0, STEPS).unwrap().contiguous().unwrap();
    candle_core::safetensors::save(&tensors, to.join("model.safetensors")).unwrap();
    weights
}

fn server(weights: &TempDir) -> (Program, String) {
    let mut command = rdpm();
    command.env("RDPM_WEIGHTS", weights.path()).args(["serve", "--port", "0"]);
    let (program, address) = Program::start(&mut command, "http://");
    (program, format!("http://{address}"))
}

/// Opens a page of a server with both models. Returns the folder of weights, too.
async fn open(path: &str, width: u32) -> (Site, TempDir) {
    let weights = weights();
    let (server, url) = server(&weights);
    let browser = Browser::start(width, 1000).await;
    browser.goto(&format!("{url}{path}")).await;
    (Site { browser, url, server }, weights)
}

async fn address(site: &Site) -> Value {
    site.script("return location.pathname + location.search").await
}

#[tokio::test]
async fn a_second_model_can_be_chosen_and_drawn_with() {
    let (site, _weights) = open("/", 1440).await;
    let titles = site
        .script("return [...document.querySelectorAll('#model option')].map(option => option.text)")
        .await;
    assert_eq!(titles, json!(["Fashion-MNIST", "Seven steps"]));
    site.script("const chooser = document.getElementById('model'); chooser.value = 'seven'; chooser.dispatchEvent(new Event('change'))").await;
    site.until("location.search === '?model=seven' && document.documentElement.dataset.ready === 'true'")
        .await;
    assert_eq!(site.script("return document.getElementById('model').value").await, "seven");
    // An arrow key chooses without leaving the page; the button opens the chosen model with the seed, count and guidance.
    site.fill("#seed", "5").await;
    site.fill("#count", "2").await;
    site.fill("#guidance", "3").await;
    site.script("document.getElementById('model').focus()").await;
    site.press("\u{e013}").await; // up
    assert_eq!(
        site.script("return [document.getElementById('model').value, document.body.dataset.model]").await,
        json!(["fashion-mnist", "seven"])
    );
    site.click("#open-model").await;
    site.until("document.body.dataset.model === 'fashion-mnist' && document.documentElement.dataset.ready === 'true'").await;
    let values = "return ['seed', 'count', 'guidance'].map(id => document.getElementById(id).value)";
    assert_eq!(site.script(values).await, json!(["5", "2", "3"]));
    site.goto(&format!("{}/?model=seven", site.url)).await;
    site.fill("#seed", "5").await;
    site.fill("#count", "2").await;
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert_eq!(
        address(&site).await,
        "/?model=seven&class=Sun+%26+moon&seed=5&count=2&guidance=2&temperature=1.1"
    );
    let picture = site.picture().await;
    assert_eq!((picture.width(), picture.color()), (24, image::ColorType::Rgb8));
    let counts = site
        .script(
            "return ['bars', 'ticks'].map(part => document.querySelectorAll(`#draw [data-part=${part}] > *`).length) \
             .concat(document.querySelector('#draw [data-part=step]').max)",
        )
        .await;
    assert_eq!(counts, json!([7, 7, "7"]));
    assert!(site.text("[data-part=result-summary]").await.contains("7 × 9 tokens"));

    // Copied code names the model.
    site.click("[data-part=copy-menu] summary").await;
    site.script(
        "navigator.clipboard.writeText = text => { window.written = text; return Promise.resolve() }",
    )
    .await;
    site.click("[data-copy=curl]").await;
    site.until("window.written").await;
    assert!(site.script("return window.written").await.as_str().unwrap().contains("\"model\":\"seven\""));
    // History entries name it, also on the other model's page.
    let entry = "document.querySelector('[data-part=history-list] a')";
    assert!(site.script(&format!("return {entry}.search")).await.as_str().unwrap().contains("model=seven"));
    // The links to the other views name it.
    site.click(".tabs [data-view-link=compare]").await;
    assert_eq!(address(&site).await, "/?view=compare&model=seven");
    site.goto(&format!("{}/?class=Bag&seed=3", site.url)).await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await.width(), 28);
    site.script("[...document.querySelectorAll('[data-part=history-list] a')].find(link => link.search.includes('seven')).click()").await;
    site.until("document.body.dataset.model === 'seven'").await;
    site.until_state("draw", "completed").await;
    assert_eq!(site.picture().await, picture);
    site.close().await;
}

#[tokio::test]
async fn every_view_adapts_to_the_model() {
    for width in [1440, 360] {
        let (site, _weights) = open("/?view=tokenize&model=seven&seed=4", width).await;
        site.until("document.body.dataset.loaded === 'tokenize'").await;
        // There are no class pictures to choose from, but the brush has a colour.
        assert_eq!(site.script("return document.querySelectorAll('[data-example]').length").await, json!(0));
        site.script("document.querySelector('[data-part=brush-color]').value = '#2060d0'").await;
        let stroke = "const canvas = document.querySelector('[data-part=sketch]'), box = canvas.getBoundingClientRect(); \
            const at = (name, x, y) => canvas.dispatchEvent(new PointerEvent(name, {bubbles: true, clientX: box.left + box.width * x, clientY: box.top + box.height * y})); \
            at('pointerdown', .2, .5); at('pointermove', .8, .5); at('pointerup', .8, .5)";
        site.script(stroke).await;
        site.until_state("tokenize", "completed").await;
        let seen = site.script("return document.querySelector('[data-part=input]').src").await;
        let seen = from_data_url(seen.as_str().unwrap()).to_rgb8();
        // Scaling it down sharpens the edges a little.
        let near = |pixel: image::Rgb<u8>, color: [u8; 3]| {
            pixel.0.into_iter().zip(color).all(|(seen, drawn)| seen.abs_diff(drawn) < 24)
        };
        assert!(
            near(seen[(12, 12)], [0x20, 0x60, 0xd0]) && near(seen[(12, 1)], [255; 3]),
            "{:?}",
            seen[(12, 12)]
        );
        let strip = site
            .script(
                "return [...document.querySelectorAll('#tokenize .step-strip li')].map(item => item.offsetTop)",
            )
            .await;
        let strip: Vec<i64> = serde_json::from_value(strip).unwrap();
        assert_eq!(strip.len(), STEPS);
        if width == 1440 {
            assert!(strip.windows(2).all(|pair| pair[0] == pair[1]), "{strip:?}");
        }
        assert!(site.text("[data-part=reconstruction-note]").await.contains("7 × 9 tokens"));

        site.goto(&format!("{}/?view=how&model=seven", site.url)).await;
        site.until_state("how", "completed").await;
        let counts = site
            .script("return [...document.querySelectorAll('#how .step-images')].map(list => list.children.length)")
            .await;
        assert_eq!(counts, json!([7, 7, 7, 7, 7]));
        let bars = site
            .script("return [...document.querySelectorAll('#how .error-chart i')].map(bar => bar.offsetTop)")
            .await;
        let bars: Vec<i64> = serde_json::from_value(bars).unwrap();
        assert!(bars.len() == STEPS && bars.windows(2).all(|pair| pair[0] == pair[1]), "{bars:?}");
        let text = site.text("#how").await;
        assert!(
            text.contains("16 codes make 4 bits")
                && text.contains("at step 4")
                && !text.contains("ten steps")
        );

        site.goto(&format!("{}/?view=compare&model=seven&class=Star&seed=4&vary=guidance&to=0", site.url))
            .await;
        site.until_state("compare", "completed").await;
        assert!(site.text("#compare .status").await.contains("of 63 tokens are the same"));
        for view in ["draw", "compare", "tokenize", "how"] {
            site.goto(&format!("{}/?view={view}&model=seven", site.url)).await;
            site.until_loaded(view).await;
            assert_eq!(violations(&site).await, json!([]), "{view}, {width}");
            let overflow = "return document.documentElement.scrollWidth - innerWidth";
            assert!(site.script(overflow).await.as_i64().unwrap() <= 0, "{view}, {width}");
            assert_eq!(site.script("return window.layoutShifts").await, json!([]), "{view}, {width}");
        }
        site.close().await;
    }
}

#[tokio::test]
async fn an_unknown_model_in_the_address_shows_a_notice() {
    let (site, _weights) = open("/?model=third&class=Star&seed=1&top_k=9999", 1440).await;
    site.until("document.documentElement.dataset.ready === 'true'").await;
    assert_eq!(site.text("#notice").await, "model can’t be “third”. Allowed: fashion-mnist, seven.");
    // The page is that of the default model, and works.
    assert_eq!(site.script("return document.body.dataset.model").await, "fashion-mnist");
    site.click("#submit").await;
    site.until_state("draw", "completed").await;
    assert!(!address(&site).await.as_str().unwrap().contains("model="));
    site.close().await;
}

#[tokio::test]
async fn without_scripts_the_form_keeps_its_model() {
    let weights = weights();
    let (_server, url) = server(&weights);
    let page = reqwest::get(format!("{url}/?model=seven")).await.unwrap().text().await.unwrap();
    assert!(page.contains("<input type=\"hidden\" name=\"model\" value=\"seven\">"));
    let body = "model=seven&class=Star&seed=12";
    let request =
        reqwest::Client::new().post(&url).header("content-type", "application/x-www-form-urlencoded");
    let page = request.body(body).send().await.unwrap().text().await.unwrap();
    let source = page.split("<img src=\"").find(|part| part.starts_with("data:image/png")).unwrap();
    let drawn = from_data_url(source.split('"').next().unwrap());
    assert_eq!((drawn.width(), drawn.color()), (24, image::ColorType::Rgb8));
    assert!(page.contains("data-model=\"seven\"") && page.contains("Star, seed 12"));
}
