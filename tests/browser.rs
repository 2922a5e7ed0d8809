//! The page in a real browser: headless Chromium, driven over WebDriver, against the real program with the shipped
//! weights. Needs Debian's `chromium` and `chromium-driver`.

mod program;

use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use image::DynamicImage;
use program::{Program, rdpm};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server, a browser, and the page in it.
struct Site {
    client: Client,
    url: String,
    // Ended in this order when the test ends.
    _driver: Program,
    _server: Program,
    _profile: TempDir,
}

impl Site {
    async fn open(path: &str) -> Self {
        let (server, address) = Program::start(rdpm().args(["serve", "--port", "0"]), "http://");
        let (driver, port) =
            Program::start(Command::new("chromedriver").arg("--port=0"), "started successfully on port ");
        let profile = TempDir::new().unwrap();
        let profile_flag = format!("--user-data-dir={}", profile.path().display());
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1440,1000",
            &profile_flag,
        ];
        let capabilities =
            json!({"goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"}});
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        let site = Self {
            client,
            url: format!("http://{address}"),
            _driver: driver,
            _server: server,
            _profile: profile,
        };
        site.client.goto(&format!("{}{path}", site.url)).await.unwrap();
        site
    }

    async fn script(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap()
    }

    async fn click(&self, selector: &str) {
        self.client.find(Locator::Css(selector)).await.unwrap().click().await.unwrap();
    }

    async fn fill(&self, selector: &str, text: &str) {
        let field = self.client.find(Locator::Css(selector)).await.unwrap();
        field.clear().await.unwrap();
        field.send_keys(text).await.unwrap();
    }

    /// Polls until a script answers with true, for at most 60 seconds.
    async fn until(&self, condition: &str) {
        let start = Instant::now();
        while self.script(&format!("return Boolean({condition})")).await != json!(true) {
            let status = self.script("return document.getElementById('status').innerText").await;
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "not in 60 seconds: {condition}; status: {status}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What the browser's console holds of errors and warnings.
    async fn complaints(&self) -> Vec<Value> {
        let log = self.client.issue_cmd(Log).await.unwrap();
        log.as_array().unwrap().iter().filter(|entry| entry["level"] != "INFO").cloned().collect()
    }

    async fn close(self) {
        self.client.close().await.unwrap();
    }
}

/// Chromium's own command that reads the console.
#[derive(Debug)]
struct Log;

impl fantoccini::wd::WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({"type": "browser"}).to_string()))
    }
}

fn from_data_url(source: &str) -> DynamicImage {
    let encoded = source.strip_prefix("data:image/png;base64,").expect("a PNG data URL");
    image::load_from_memory(&base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
}

#[tokio::test]
async fn a_person_picks_a_class_sees_ten_steps_and_gets_the_image_that_the_command_line_makes() {
    let site = Site::open("/").await;
    site.click("label[for=class-7], #class-7").await;
    site.fill("#seed", "7").await;
    // Every step that the canvas shows is noted as it shows.
    site.script(
        "window.shown = new Set(); new MutationObserver(() => \
         window.shown.add(document.getElementById('tokens').dataset.step)) \
         .observe(document.getElementById('tokens'), {attributes: true, attributeFilter: ['data-step']})",
    )
    .await;
    site.click("#generate").await;
    site.until("document.getElementById('status').dataset.state === 'completed'").await;
    assert_eq!(site.script("return document.documentElement.dataset.stepsSeen").await, json!("10"));
    let shown = site
        .script("return [...window.shown].map(Number).filter(step => step > 0).sort((a, b) => a - b)")
        .await;
    assert_eq!(shown, json!((1..=10).collect::<Vec<_>>()));

    let result = site.script("return document.getElementById('result').src").await;
    let place = TempDir::new().unwrap();
    let output = place.path().join("sneaker.png");
    let made = rdpm()
        .args(["generate", "--class", "Sneaker", "--seed", "7", "--output"])
        .arg(&output)
        .status()
        .unwrap();
    assert!(made.success());
    assert_eq!(from_data_url(result.as_str().unwrap()), image::open(output).unwrap());

    // Scrubbing back shows an earlier step again.
    let last = site.script("return document.getElementById('clean').src").await;
    site.script(
        "const slider = document.getElementById('timeline'); slider.value = 3; \
         slider.dispatchEvent(new Event('input', {bubbles: true}))",
    )
    .await;
    site.until("document.getElementById('tokens').dataset.step === '3'").await;
    assert_ne!(site.script("return document.getElementById('clean').src").await, last);
    assert_eq!(site.complaints().await, Vec::<Value>::new());
    site.close().await;
}

#[tokio::test]
async fn a_link_restores_every_setting_and_draws_the_same_picture() {
    let site = Site::open("/?class=Bag&seed=12&guidance=3&temperature=0.8&count=2").await;
    let draw = async || {
        site.click("#generate").await;
        site.until("document.getElementById('status').dataset.state === 'completed'").await;
        site.script("return document.getElementById('result').src").await
    };
    let first = draw().await;
    let settings =
        "return ['seed', 'guidance', 'temperature', 'count'].map(id => document.getElementById(id).value)";
    assert_eq!(site.script(settings).await, json!(["12", "3", "0.8", "2"]));
    let link = site.script("return location.href").await;
    site.client.goto("about:blank").await.unwrap();
    site.client.goto(link.as_str().unwrap()).await.unwrap();
    assert_eq!(site.script(settings).await, json!(["12", "3", "0.8", "2"]));
    assert_eq!(draw().await, first);
    site.close().await;
}

#[tokio::test]
async fn a_setting_out_of_range_is_explained_and_the_page_goes_on() {
    let site = Site::open("/?class=hat&temperature=99").await;
    let notice = site.script("return document.getElementById('notice').innerText").await;
    assert!(notice.as_str().unwrap().contains("99"), "{notice}");
    site.fill("#seed", "1").await;
    site.click("#generate").await;
    site.until("document.getElementById('status').dataset.state === 'completed'").await;
    site.close().await;
}

#[tokio::test]
async fn cancel_ends_the_run() {
    let site = Site::open("/?count=16").await;
    site.click("#generate").await;
    site.until("!document.getElementById('cancel').hidden").await;
    site.click("#cancel").await;
    site.until("document.getElementById('status').dataset.state === 'canceled'").await;
    assert_eq!(site.complaints().await, Vec::<Value>::new());
    site.close().await;
}
